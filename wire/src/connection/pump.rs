//! Queued data on its way out: one frame of each waiting stream in turn, as far as the connection's
//! window and the output's bound go.

use super::{Connection, Notice};
use crate::event::End;
use crate::frame::{DEFAULT_FRAME_BYTES, END_STREAM};
use crate::stream::{Last, Phase};

impl Connection {
    /// Sends the next frame of queued data, if there is one that may go.
    pub(super) fn pump(&mut self) -> Option<Notice> {
        loop {
            let key = *self.line.front()?;
            let room = self.send_window.available();
            if room == 0 || self.output.len() >= self.limits.output_bytes {
                return None;
            }
            self.line.pop_front();
            let Some(stream) = self.streams.get_mut(key) else {
                continue;
            };
            stream.in_line = false;
            if !stream.can_send() {
                continue;
            }
            // Small enough that streams take turns, whatever frames the peer would take.
            let most = room
                .min(stream.send_window.available())
                .min(DEFAULT_FRAME_BYTES as usize);
            let payload = stream.queue.pop(most);
            let bytes = payload.len();
            let last = stream.queue.pop_last();
            stream.send_window.take(bytes);
            self.send_window.take(bytes);
            let flags = if matches!(last, Last::Data) {
                END_STREAM
            } else {
                0
            };
            self.output.data(flags, key.id, payload);
            self.abuse.data_sent();
            let end = match last {
                Last::Open => End::More,
                Last::Data => End::Last,
                Last::Trailers(list) => {
                    let (encoder, frame_bytes) = (&mut self.encoder, self.peer.frame_bytes);
                    self.output.headers(END_STREAM, key.id, frame_bytes, |out| {
                        encoder.encode(list.iter(), out);
                    });
                    End::Last
                }
            };
            if end == End::Last {
                stream.send = Phase::Done;
                self.sent_last(key);
            } else if stream.can_send() {
                stream.in_line = true;
                self.line.push_back(key);
            }
            return Some(Notice::Sent { stream: key, bytes });
        }
    }
}
