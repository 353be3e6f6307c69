//! One stream: how far each direction is (RFC 9113 section 5.1), its windows, and what waits for
//! the peer's window to open.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::event::End;
use crate::flow::{ReceiveWindow, SendWindow};
use crate::headers::HeaderList;

/// How far one direction of a stream is. Both `Done` is the RFC's closed, one `Done` half-closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The headers are to come.
    #[default]
    Head,
    /// Data and trailers may come.
    Body,
    /// The end has come.
    Done,
}

#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// 0 for a free slot.
    pub(crate) id: u32,
    pub(crate) receive: Phase,
    pub(crate) send: Phase,
    pub(crate) send_window: SendWindow,
    pub(crate) receive_window: ReceiveWindow,
    /// Bytes handed over and not released.
    pub(crate) held: u32,
    /// Small pieces of data told since something was released.
    pub(crate) unread_small: u32,
    /// Whether data has come already: where one message came, more may be on their way.
    pub(crate) is_streaming: bool,
    /// Where its data is being gathered, counted from 1; 0 for nowhere.
    pub(crate) gathered: u32,
    /// A request whose response has no content: HEAD.
    pub(crate) head_request: bool,
    /// What content-length leaves to come; `None` if it was not given.
    pub(crate) expected: Option<u64>,
    pub(crate) queue: Queue,
    /// Whether the stream stands in the line of those that may send.
    pub(crate) in_line: bool,
}

impl Stream {
    pub(crate) fn is_closed(&self) -> bool {
        self.receive == Phase::Done && self.send == Phase::Done
    }

    /// Whether something in the queue may be sent as far as this stream is concerned.
    pub(crate) fn can_send(&self) -> bool {
        match self.queue.next_len() {
            None => false,
            Some(0) => true,
            Some(_) => self.send_window.available() > 0,
        }
    }

    /// Counts data against content-length; false if they disagree.
    pub(crate) fn count_content(&mut self, bytes: usize, end: End) -> bool {
        let Some(expected) = self.expected.as_mut() else {
            return true;
        };
        let Some(left) = expected.checked_sub(bytes as u64) else {
            return false;
        };
        *expected = left;
        left == 0 || end == End::More
    }
}

/// Data that waits, then what ends the stream. Small pieces are joined, so the memory is what the
/// bytes need, however small their frames were.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    pieces: VecDeque<Piece>,
    bytes: usize,
    last: Last,
}

#[derive(Debug)]
enum Piece {
    Shared(Bytes),
    Joined(BytesMut),
}

/// What follows the data.
#[derive(Debug, Default)]
pub(crate) enum Last {
    /// More commands.
    #[default]
    Open,
    /// END_STREAM on the last DATA.
    Data,
    Trailers(Box<HeaderList>),
}

/// Below this a piece is copied: what it is a slice of may be much larger.
const JOINED_PIECE: usize = 4_096;
/// Up to this size pieces are joined.
const JOINED_BYTES: usize = 16 << 10;

impl Queue {
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0 && matches!(self.last, Last::Open)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn push(&mut self, payload: Bytes) {
        if payload.is_empty() {
            return;
        }
        self.bytes = self.bytes.saturating_add(payload.len());
        if payload.len() > JOINED_PIECE {
            return self.pieces.push_back(Piece::Shared(payload));
        }
        match self.pieces.back_mut() {
            Some(Piece::Joined(joined))
                if joined.len().saturating_add(payload.len()) <= JOINED_BYTES =>
            {
                joined.extend_from_slice(&payload);
            }
            _ => self
                .pieces
                .push_back(Piece::Joined(BytesMut::from(&payload[..]))),
        }
    }

    /// Whether the end is queued: no more may follow.
    pub(crate) fn is_ended(&self) -> bool {
        !matches!(self.last, Last::Open)
    }

    pub(crate) fn end(&mut self, last: Last) {
        self.last = last;
    }

    /// Bytes of the next DATA frame at most; 0 if only the end is left, `None` if nothing.
    pub(crate) fn next_len(&self) -> Option<usize> {
        match self.pieces.front() {
            Some(Piece::Shared(bytes)) => Some(bytes.len()),
            Some(Piece::Joined(bytes)) => Some(bytes.len()),
            None if matches!(self.last, Last::Open) => None,
            None => Some(0),
        }
    }

    /// The next piece, up to `most` bytes of it.
    pub(crate) fn pop(&mut self, most: usize) -> Bytes {
        let (bytes, rest) = match self.pieces.pop_front() {
            None => return Bytes::new(),
            Some(Piece::Shared(mut bytes)) => {
                let first = bytes.split_to(most.min(bytes.len()));
                (first, Piece::Shared(bytes))
            }
            Some(Piece::Joined(mut bytes)) => {
                let first = bytes.split_to(most.min(bytes.len())).freeze();
                (first, Piece::Joined(bytes))
            }
        };
        if rest.len() > 0 {
            self.pieces.push_front(rest);
        }
        self.bytes = self.bytes.saturating_sub(bytes.len());
        bytes
    }

    /// What ends the stream, once no data is left.
    pub(crate) fn pop_last(&mut self) -> Last {
        if self.pieces.is_empty() {
            std::mem::take(&mut self.last)
        } else {
            Last::Open
        }
    }
}

impl Piece {
    fn len(&self) -> usize {
        match self {
            Self::Shared(bytes) => bytes.len(),
            Self::Joined(bytes) => bytes.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pieces_are_joined() {
        let mut queue = Queue::default();
        for _ in 0..10_000 {
            queue.push(Bytes::from_static(b"12345"));
        }
        assert_eq!(queue.bytes(), 50_000);
        assert!(queue.pieces.len() <= 4);
    }

    #[test]
    fn what_goes_in_comes_out_in_order() {
        let mut queue = Queue::default();
        let mut whole = Vec::new();
        for round in 0..50u8 {
            let piece = vec![round; usize::from(round) * 300 + 1];
            whole.extend_from_slice(&piece);
            queue.push(piece.into());
        }
        queue.end(Last::Data);
        let mut out = Vec::new();
        while queue.next_len() != Some(0) {
            assert!(matches!(queue.pop_last(), Last::Open));
            out.extend_from_slice(&queue.pop(1_000));
        }
        assert!(out == whole);
        assert!(matches!(queue.pop_last(), Last::Data));
        assert!(queue.is_empty());
    }

    #[test]
    fn content_must_be_as_long_as_announced() {
        let stream = || Stream {
            expected: Some(3),
            ..Stream::default()
        };
        assert!(stream().count_content(3, End::Last));
        assert!(stream().count_content(2, End::More));
        assert!(!stream().count_content(2, End::Last));
        assert!(!stream().count_content(4, End::More));
        assert!(Stream::default().count_content(9, End::Last));
    }
}
