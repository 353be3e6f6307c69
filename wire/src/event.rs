//! What the engine tells its caller.

use bytes::Bytes;

use crate::error::{ErrorCode, Rule};
use crate::headers::HeaderList;

/// A stream of one connection, as events name it and commands want it.
///
/// `slot` is dense and small: a caller keeps what it knows of its streams in a `Vec` by slot. A
/// slot is used again after its stream is over; a key is not, so a command with an old key is
/// answered with [`CommandError::Gone`](crate::CommandError::Gone) and reaches no other stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey {
    /// The stream's number on the wire.
    pub id: u32,
    /// Its place in the engine's table.
    pub slot: u32,
}

/// Whether anything follows in the same direction of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// More data or trailers may follow.
    More,
    /// It was the last: END_STREAM.
    Last,
}

/// Something that happened.
///
/// A stream is over for the caller once both directions have ended (the event's or the command's
/// [`End::Last`], or trailers) and its credit is released, after [`Event::Reset`], and after its
/// own `reset` command. No event follows with the same key.
#[derive(Debug)]
pub enum Event<'a> {
    /// Request headers, which open a stream, or response headers.
    Headers {
        /// The stream.
        stream: StreamKey,
        /// The fields; they are lent until the next call.
        headers: &'a HeaderList,
        /// Whether the message ends with them (in gRPC: trailers-only).
        end: End,
    },
    /// An informational response (1xx); the response follows.
    Interim {
        /// The stream.
        stream: StreamKey,
        /// The fields.
        headers: &'a HeaderList,
    },
    /// A request whose header list is larger than
    /// [`Limits::header_list_bytes`](crate::Limits::header_list_bytes). The stream is open, and
    /// waits to be answered or reset.
    TooLarge {
        /// The stream.
        stream: StreamKey,
        /// The fields that came before the limit; [`HeaderList::size_bytes`] is the size of all.
        headers: &'a HeaderList,
        /// Whether the request ends with them.
        end: End,
    },
    /// Data: what a frame carried, or many small frames that came together. `credit` must go back
    /// through [`Connection::release`](crate::Connection::release) once the payload is used: that
    /// is what holds a fast sender to a slow reader's pace.
    Data {
        /// The stream.
        stream: StreamKey,
        /// The data; it shares the memory that was handed to the engine.
        payload: Bytes,
        /// What the frames took from the windows: the payload and its padding.
        credit: u32,
        /// Whether it is the last.
        end: End,
    },
    /// Trailers; they end the direction.
    Trailers {
        /// The stream.
        stream: StreamKey,
        /// The fields.
        headers: &'a HeaderList,
    },
    /// Data that a command had left queued went into the output.
    Sent {
        /// The stream.
        stream: StreamKey,
        /// How many bytes: what may be released where they came from.
        bytes: usize,
    },
    /// The stream is over before its time.
    Reset {
        /// The stream.
        stream: StreamKey,
        /// The code that was received or sent.
        code: ErrorCode,
        /// Who ended it.
        cause: Cause,
    },
    /// The peer takes no new streams (RFC 9113 section 6.8). Streams above `last` were reset before
    /// this event, with [`Cause::Unprocessed`].
    GoAway {
        /// The last stream that the peer processed or may process.
        last: u32,
        /// Why.
        code: ErrorCode,
    },
    /// The peer's settings changed; see [`Connection::peer`](crate::Connection::peer).
    Settings,
    /// The answer to [`Connection::ping`](crate::Connection::ping).
    Pong {
        /// What was sent.
        payload: [u8; 8],
    },
}

/// Who ended a stream before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The peer, by RST_STREAM. With REFUSED_STREAM nothing was processed.
    Peer,
    /// The peer, by a GOAWAY that leaves this stream out: nothing was processed.
    Unprocessed,
    /// The engine, because the peer broke a rule on it.
    Breach(Rule),
    /// The engine, because the answer is complete while the request still goes on (RFC 9113 section
    /// 8.1): what is left of the request is of no use.
    Answered,
}

impl Event<'_> {
    /// Whether a reset says for certain that the peer has done nothing for the stream, so that its
    /// request may be sent again.
    pub fn is_unprocessed(&self) -> bool {
        match self {
            Self::Reset {
                cause: Cause::Unprocessed,
                ..
            } => true,
            Self::Reset {
                cause: Cause::Peer,
                code,
                ..
            } => *code == ErrorCode::REFUSED_STREAM,
            _ => false,
        }
    }
}
