//! The bytes to write: frames and small payloads in one buffer, large payloads as they are between
//! them, so that a turn needs one vectored write and a large payload is never copied.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

use crate::frame::{CONTINUATION_FLAGS, END_HEADERS, END_STREAM, FrameKind, HEAD_BYTES, Head};

/// A payload up to this size is copied behind its head: cheaper than a slice of its own.
const COPIED_PAYLOAD: usize = 2_048;
/// A buffer larger than this is given back once it is empty.
const KEPT_CAPACITY: usize = 64 << 10;
/// Written bytes in front of unwritten ones are cut off above this.
const MOST_WRITTEN: usize = 32 << 10;

/// What the connection wants written, in order.
///
/// Write what [`Output::slices`] gives, then tell how much went out with [`Output::advance`].
#[derive(Debug, Default)]
pub struct Output {
    bytes: Vec<u8>,
    /// How many of `bytes` are written.
    written: usize,
    payloads: VecDeque<Payload>,
    /// Bytes in `payloads`.
    payload_bytes: usize,
    replies: Replies,
}

/// A payload that goes out before the byte at `at`.
#[derive(Debug)]
struct Payload {
    at: usize,
    bytes: Bytes,
}

/// Counts replies in the output, from above and in constant space: those since the last mark, and
/// those before it, which are gone once everything up to the mark is written.
#[derive(Debug, Default)]
struct Replies {
    before: u32,
    since: u32,
    until_mark: usize,
}

impl Output {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes there are to write.
    pub fn len(&self) -> usize {
        self.bytes
            .len()
            .saturating_sub(self.written)
            .saturating_add(self.payload_bytes)
    }

    /// Fills `slices` from the front with what to write next; returns how many it filled.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0usize;
        let mut at = self.written;
        let mut put = |slice: &'a [u8]| {
            if !slice.is_empty()
                && let Some(free) = slices.get_mut(filled)
            {
                *free = IoSlice::new(slice);
                filled = filled.saturating_add(1);
            }
        };
        for payload in &self.payloads {
            put(self.bytes.get(at..payload.at).unwrap_or_default());
            put(&payload.bytes);
            at = payload.at;
        }
        put(self.bytes.get(at..).unwrap_or_default());
        filled
    }

    /// All there is to write as one slice, unless a payload lies between.
    pub fn contiguous(&self) -> Option<&[u8]> {
        if self.payloads.is_empty() {
            self.bytes.get(self.written..)
        } else {
            None
        }
    }

    /// Takes `count` bytes off the front: they are written.
    pub fn advance(&mut self, count: usize) {
        self.replies.written(count);
        let mut left = count;
        while let Some(first) = self.payloads.front_mut() {
            let before = first.at.saturating_sub(self.written).min(left);
            self.written = self.written.saturating_add(before);
            left = left.saturating_sub(before);
            let part = first.bytes.len().min(left);
            if self.written < first.at || part < first.bytes.len() {
                first.bytes.advance(part);
                self.payload_bytes = self.payload_bytes.saturating_sub(part);
                return self.tidy();
            }
            left = left.saturating_sub(part);
            self.payload_bytes = self.payload_bytes.saturating_sub(part);
            self.payloads.pop_front();
        }
        self.written = self.written.saturating_add(left).min(self.bytes.len());
        self.tidy();
    }

    fn tidy(&mut self) {
        if self.written == self.bytes.len() && self.payloads.is_empty() {
            self.written = 0;
            self.bytes.clear();
            if self.bytes.capacity() > KEPT_CAPACITY {
                self.bytes = Vec::new();
            }
        } else if self.written > MOST_WRITTEN {
            self.bytes.drain(..self.written.min(self.bytes.len()));
            for payload in &mut self.payloads {
                payload.at = payload.at.saturating_sub(self.written);
            }
            self.written = 0;
        }
    }

    /// Gives unused memory back.
    pub(crate) fn trim(&mut self) {
        if self.is_empty() {
            self.bytes = Vec::new();
            self.payloads = VecDeque::new();
        }
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// A whole frame with a small payload.
    pub(crate) fn frame(&mut self, kind: FrameKind, flags: u8, stream: u32, payload: &[u8]) {
        self.put(&Head::new(kind, flags, stream, payload.len()).to_bytes());
        self.put(payload);
    }

    /// The same for a reply to something that the peer sent; returns how many may be unwritten.
    pub(crate) fn reply(&mut self, kind: FrameKind, flags: u8, stream: u32, payload: &[u8]) -> u32 {
        self.frame(kind, flags, stream, payload);
        let total = self.len();
        self.replies.add(total)
    }

    /// A DATA frame.
    pub(crate) fn data(&mut self, flags: u8, stream: u32, payload: Bytes) {
        self.put(&Head::new(FrameKind::DATA, flags, stream, payload.len()).to_bytes());
        if payload.len() <= COPIED_PAYLOAD {
            self.put(&payload);
        } else {
            self.payload_bytes = self.payload_bytes.saturating_add(payload.len());
            self.payloads.push_back(Payload {
                at: self.bytes.len(),
                bytes: payload,
            });
        }
    }

    /// HEADERS whose block `encode` appends, cut into CONTINUATION frames above `frame_bytes`.
    pub(crate) fn headers(
        &mut self,
        flags: u8,
        stream: u32,
        frame_bytes: u32,
        encode: impl FnOnce(&mut Vec<u8>),
    ) {
        let start = self.bytes.len();
        self.put(&[0; HEAD_BYTES]);
        encode(&mut self.bytes);
        let length = self
            .bytes
            .len()
            .saturating_sub(start)
            .saturating_sub(HEAD_BYTES);
        if length > frame_bytes as usize {
            return self.cut_block(flags, stream, frame_bytes as usize, start);
        }
        let head = Head::new(FrameKind::HEADERS, flags | END_HEADERS, stream, length).to_bytes();
        if let Some(place) = self.bytes.get_mut(start..start.saturating_add(HEAD_BYTES)) {
            place.copy_from_slice(&head);
        }
    }

    fn cut_block(&mut self, flags: u8, stream: u32, frame_bytes: usize, start: usize) {
        let block = self.bytes.split_off(start.saturating_add(HEAD_BYTES));
        self.bytes.truncate(start);
        let mut pieces = block.chunks(frame_bytes.max(1)).peekable();
        let mut kind = FrameKind::HEADERS;
        let mut flags = flags & END_STREAM;
        while let Some(piece) = pieces.next() {
            let last = if pieces.peek().is_none() {
                END_HEADERS
            } else {
                CONTINUATION_FLAGS
            };
            self.frame(kind, flags | last, stream, piece);
            kind = FrameKind::CONTINUATION;
            flags = CONTINUATION_FLAGS;
        }
    }
}

impl Replies {
    fn add(&mut self, total: usize) -> u32 {
        if self.until_mark == 0 {
            self.before = std::mem::take(&mut self.since);
            self.until_mark = total;
        }
        self.since = self.since.saturating_add(1);
        self.before.saturating_add(self.since)
    }

    fn written(&mut self, count: usize) {
        self.until_mark = self.until_mark.saturating_sub(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes `step` bytes at a time and collects what comes.
    fn drain(output: &mut Output, step: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while !output.is_empty() {
            let mut slices = [IoSlice::new(&[]); 4];
            let filled = output.slices(&mut slices);
            let before = all.len();
            for slice in &slices[..filled] {
                let room = step.saturating_sub(all.len() - before).min(slice.len());
                all.extend_from_slice(&slice[..room]);
            }
            let count = all.len() - before;
            output.advance(count);
        }
        all
    }

    #[test]
    fn payloads_and_frames_keep_their_order_however_they_are_written() {
        let fill = || {
            let mut output = Output::default();
            for stream in [1, 3, 5] {
                output.headers(0, stream, 16_384, |out| out.extend_from_slice(b"block"));
                output.data(0, stream, Bytes::from(vec![b'x'; 3_000]));
                output.data(0, stream, Bytes::from_static(b"small"));
                output.data(END_STREAM, stream, Bytes::from(vec![b'y'; 40_000]));
            }
            output
        };
        let whole = drain(&mut fill(), usize::MAX);
        assert_eq!(whole.len(), 3 * (9 * 4 + 5 + 3_000 + 5 + 40_000));
        for step in [1, 7, 3_013, 50_000] {
            assert!(drain(&mut fill(), step) == whole, "step {step}");
        }
    }

    #[test]
    fn a_large_block_is_cut_into_continuations() {
        let mut output = Output::default();
        output.headers(END_STREAM, 1, 4, |out| out.extend_from_slice(b"0123456789"));
        let frame = |kind, flags, text: &[u8]| {
            [&Head::new(kind, flags, 1, text.len()).to_bytes(), text].concat()
        };
        let expected = [
            frame(FrameKind::HEADERS, END_STREAM, b"0123"),
            frame(FrameKind::CONTINUATION, 0, b"4567"),
            frame(FrameKind::CONTINUATION, END_HEADERS, b"89"),
        ];
        assert_eq!(output.contiguous(), Some(&expected.concat()[..]));
    }

    #[test]
    fn replies_are_counted_until_they_are_written() {
        let mut output = Output::default();
        let ping = |output: &mut Output| output.reply(FrameKind::PING, 1, 0, &[0; 8]);
        let counts: Vec<_> = (0..10).map(|_| ping(&mut output)).collect();
        assert_eq!(counts, (1..=10).collect::<Vec<_>>());
        output.advance(output.len());
        assert_eq!(ping(&mut output), 11, "the mark passes with the next reply");
        output.advance(output.len());
        assert_eq!(ping(&mut output), 2);
        for _ in 0..1_000 {
            output.advance(17);
            assert!(ping(&mut output) <= 4, "who reads is never counted out");
        }
    }
}
