//! The ways a connection ends in order: our GOAWAY in two steps, and the peer's (RFC 9113 section
//! 6.8).

use super::{Connection, Leaving, Notice, Role};
use crate::error::ErrorCode;
use crate::event::{Cause, StreamKey};
use crate::frame::FrameKind;

/// The PING whose answer shows that the peer has read the announcement.
const ANNOUNCED: [u8; 8] = *b"leaving!";
/// The last stream of an announcement: none is refused yet.
const EVERY_STREAM: u32 = 0x7fff_ffff;

impl Connection {
    /// Begins to leave, and loses no stream by it. A server announces a GOAWAY that refuses
    /// nothing; when the peer has answered a PING behind it, the last stream is said, and newer
    /// ones are refused as unprocessed. [`Connection::is_finished`] tells when all are done.
    pub fn leave(&mut self) {
        if self.leaving != Leaving::No || self.failed.is_some() {
            return;
        }
        match self.role {
            Role::Client => self.leave_now(ErrorCode::NO_ERROR),
            Role::Server => {
                self.say_go_away(EVERY_STREAM, ErrorCode::NO_ERROR, &[]);
                self.output.frame(FrameKind::PING, 0, 0, &ANNOUNCED);
                self.leaving = Leaving::Announced;
            }
        }
    }

    /// The second step at once: streams opened from now on are refused. Open ones go on.
    pub fn leave_now(&mut self, code: ErrorCode) {
        if self.leaving != Leaving::Final && self.failed.is_none() {
            self.say_go_away(self.latest_peer, code, &[]);
            self.leaving = Leaving::Final;
        }
    }

    /// Asks for a sign of life; [`Event::Pong`](crate::Event::Pong) brings the payload back.
    pub fn ping(&mut self, payload: [u8; 8]) {
        if self.failed.is_none() {
            self.output.frame(FrameKind::PING, 0, 0, &payload);
        }
    }

    pub(super) fn on_pong(&mut self, payload: [u8; 8]) -> Option<Notice> {
        if self.leaving == Leaving::Announced && payload == ANNOUNCED {
            self.leave_now(ErrorCode::NO_ERROR);
            return None;
        }
        Some(Notice::Pong { payload })
    }

    /// The peer leaves. A client's streams above the last are over, unprocessed. A last stream that
    /// grows again from one GOAWAY to the next brings none of them back.
    pub(super) fn on_leave(&mut self, last: u32, code: ErrorCode) -> Option<Notice> {
        let last = self.peer_last.map_or(last, |before| before.min(last));
        self.peer_last = Some(last);
        if self.role == Role::Client {
            let mut lost: Vec<StreamKey> = self
                .streams
                .iter_mut()
                .filter(|(key, stream)| key.id > last && !stream.is_closed())
                .map(|(key, _)| key)
                .collect();
            lost.sort_unstable();
            for stream in lost {
                self.forget(stream);
                self.notices.push_back(Notice::Reset {
                    stream,
                    code: ErrorCode::REFUSED_STREAM,
                    cause: Cause::Unprocessed,
                });
            }
        }
        self.notices.push_back(Notice::GoAway { last, code });
        self.notices.pop_front()
    }
}
