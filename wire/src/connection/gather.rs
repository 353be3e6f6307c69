//! Small DATA frames of calls that stream, gathered by stream until what was read is used up: one
//! event for many messages, and one frame on the next hop.
//!
//! Only frames that have nothing special are gathered, and what was gathered is told before
//! anything else happens, and before credit for it would be announced. So nothing but the number
//! of events and the order between streams depends on it.

use super::{Connection, Greeting, Notice};
use crate::event::{End, StreamKey};
use crate::frame::{DEFAULT_FRAME_BYTES, FrameKind};
use crate::input::Frame;
use crate::stream::Phase;

/// A payload above this is told by itself: that costs less than copying it.
const MOST_BYTES: u32 = 1_024;

/// What is gathered, in the order in which the streams came.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    parts: Vec<Part>,
    /// How many of them are told.
    told: usize,
    /// Bytes of all.
    bytes: u32,
    /// They are to be told before anything else.
    is_due: bool,
}

/// Of one stream.
#[derive(Debug)]
struct Part {
    stream: StreamKey,
    payload: Vec<u8>,
}

impl Gathered {
    /// Gives unused memory back.
    pub(super) fn trim(&mut self) {
        self.parts.shrink_to_fit();
    }
}

impl Connection {
    /// Gathers a frame. If it says no, nothing has happened, and the frame stands for itself.
    pub(super) fn gather(&mut self, frame: &Frame) -> bool {
        let head = frame.head;
        let length = head.length;
        let is_small = head.kind == FrameKind::DATA && (1..=MOST_BYTES).contains(&length);
        let is_plain = head.flags == 0 && self.greeting == Greeting::Over && self.block.is_none();
        if !is_small || !is_plain || !self.receive_window.allows(length) {
            return false;
        }
        let Some(key) = self.streams.find(head.stream) else {
            return false;
        };
        let Some(stream) = self.streams.get_mut(key) else {
            return false;
        };
        let is_plain = stream.receive == Phase::Body && stream.expected.is_none();
        if !stream.is_streaming || !is_plain || !stream.receive_window.allows(length) {
            return false;
        }
        let gathered = &mut self.gathered;
        let begun = gathered
            .parts
            .get_mut((stream.gathered as usize).wrapping_sub(1));
        let part_bytes = match begun {
            Some(part) => {
                let bytes = part.payload.len().saturating_add(length as usize);
                if bytes > DEFAULT_FRAME_BYTES as usize {
                    return false;
                }
                part.payload.extend_from_slice(frame.payload());
                bytes as u32
            }
            None => {
                // One by itself is not worth a copy.
                let is_alone = !self.input.is_next(FrameKind::DATA, frame);
                if is_alone || stream.unread_small >= self.limits.unread_small_data {
                    return false;
                }
                stream.unread_small = stream.unread_small.saturating_add(1);
                gathered.parts.push(Part {
                    stream: key,
                    payload: frame.payload().to_vec(),
                });
                stream.gathered = gathered.parts.len() as u32;
                length
            }
        };
        // `allows` has seen to it that both have room.
        let _ = self.receive_window.take(length);
        let _ = stream.receive_window.take(length);
        stream.held = stream.held.saturating_add(length);
        self.abuse.data_received();
        gathered.bytes = gathered.bytes.saturating_add(length);
        let (stream_size, size) = (
            self.limits.stream_window_bytes,
            self.limits.connection_window_bytes,
        );
        gathered.is_due = stream.receive_window.is_due(part_bytes, stream_size)
            || self.receive_window.is_due(gathered.bytes, size);
        true
    }

    /// Whether anything is gathered.
    pub(super) fn has_gathered(&self) -> bool {
        !self.gathered.parts.is_empty()
    }

    /// What is gathered comes next.
    pub(super) fn tell_gathered(&mut self) {
        self.gathered.is_due = true;
    }

    /// The next part of what is gathered, if it is due.
    pub(super) fn next_gathered(&mut self) -> Option<Notice> {
        while self.gathered.is_due {
            let gathered = &mut self.gathered;
            let Some(part) = gathered.parts.get_mut(gathered.told) else {
                gathered.parts.clear();
                (gathered.told, gathered.bytes, gathered.is_due) = (0, 0, false);
                return None;
            };
            gathered.told = gathered.told.saturating_add(1);
            let key = part.stream;
            let payload = std::mem::take(&mut part.payload);
            // The caller may have reset it in between.
            if let Some(stream) = self.streams.get_mut(key) {
                stream.gathered = 0;
                return Some(Notice::Data {
                    stream: key,
                    credit: payload.len() as u32,
                    payload: payload.into(),
                    end: End::More,
                });
            }
        }
        None
    }
}
