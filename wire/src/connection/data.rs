//! DATA as it comes, and credit as it goes back (RFC 9113 sections 5.2 and 6.1).

use super::{Connection, Notice};
use crate::error::{Breach, Rule};
use crate::event::{End, StreamKey};
use crate::frame::{END_STREAM, FrameKind, padding};
use crate::input::Frame;
use crate::stream::Phase;
use crate::streams::Fate;

/// Below this a DATA frame is small: it costs more to keep than it brings.
const SMALL_DATA: usize = 256;

impl Connection {
    pub(super) fn on_data(&mut self, frame: &Frame) -> Result<Option<Notice>, Breach> {
        let head = frame.head;
        if head.stream == 0 {
            return Err(Rule::NeedsStream.into());
        }
        if self.is_idle(head.stream) {
            return Err(Rule::IdleStream.into());
        }
        self.receive_window.take(head.length)?;
        let outcome = match self.streams.find(head.stream) {
            Some(key) => self.on_stream_data(key, frame),
            None => {
                self.credit_connection(head.length);
                return match self.streams.fate(head.stream) {
                    Fate::Reset => Ok(None),
                    Fate::Ended | Fate::Forgotten => Err(Breach::Stream(Rule::StreamClosed)),
                };
            }
        };
        if let Err(Breach::Stream(_)) = outcome {
            self.credit_connection(head.length);
        }
        outcome
    }

    fn on_stream_data(&mut self, key: StreamKey, frame: &Frame) -> Result<Option<Notice>, Breach> {
        let head = frame.head;
        let range = padding::data(head, frame.payload())?;
        let end = if head.has(END_STREAM) {
            End::Last
        } else {
            End::More
        };
        let Some(stream) = self.streams.get_mut(key) else {
            return Ok(None);
        };
        match stream.receive {
            Phase::Head => return Err(Breach::Stream(Rule::HeadersExpected)),
            Phase::Body => {}
            Phase::Done => return Err(Breach::Stream(Rule::StreamClosed)),
        }
        stream
            .receive_window
            .take(head.length)
            .map_err(Breach::Stream)?;
        if !stream.count_content(range.len(), end) {
            return Err(Breach::Stream(Rule::ContentLength));
        }
        if range.is_empty() && end == End::More {
            self.abuse.empty_data()?;
            // Nobody will release padding that nobody sees.
            stream.held = stream.held.saturating_add(head.length);
            self.release(key, head.length);
            return Ok(None);
        }
        self.abuse.data_received();
        if range.len() < SMALL_DATA {
            stream.unread_small = stream.unread_small.saturating_add(1);
            if stream.unread_small > self.limits.unread_small_data {
                return Err(Breach::Stream(Rule::UnreadDataFlood));
            }
        }
        stream.held = stream.held.saturating_add(head.length);
        stream.is_streaming = true;
        if end == End::Last {
            stream.receive = Phase::Done;
            if stream.is_closed() {
                self.ended(key);
            }
        }
        let payload = frame.share(range);
        Ok(Some(Notice::Data {
            stream: key,
            payload,
            credit: head.length,
            end,
        }))
    }

    /// Gives credit back: `bytes` of the data of this stream are used, and as many may come. Of a
    /// stream that is gone all credit is back already.
    pub fn release(&mut self, key: StreamKey, bytes: u32) {
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        let bytes = bytes.min(stream.held);
        if bytes == 0 {
            return;
        }
        stream.held = stream.held.saturating_sub(bytes);
        stream.unread_small = 0;
        if stream.receive != Phase::Done {
            let size = self.limits.stream_window_bytes;
            if let Some(increment) = stream.receive_window.release(bytes, size) {
                let payload = increment.to_be_bytes();
                self.output
                    .frame(FrameKind::WINDOW_UPDATE, 0, key.id, &payload);
            }
        } else {
            self.settle(key);
        }
        self.credit_connection(bytes);
    }

    pub(super) fn credit_connection(&mut self, bytes: u32) {
        let size = self.limits.connection_window_bytes;
        if let Some(increment) = self.receive_window.release(bytes, size) {
            self.output
                .frame(FrameKind::WINDOW_UPDATE, 0, 0, &increment.to_be_bytes());
        }
    }
}
