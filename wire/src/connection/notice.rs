//! Events before they borrow: what is kept in queues and passed up from the frames' handlers.

use bytes::Bytes;

use crate::error::ErrorCode;
use crate::event::{Cause, End, Event, StreamKey};
use crate::headers::HeaderList;

/// An [`Event`] without its borrowed fields, which are the connection's list at that moment.
#[derive(Debug)]
pub(super) enum Notice {
    Headers {
        stream: StreamKey,
        end: End,
    },
    Interim {
        stream: StreamKey,
    },
    TooLarge {
        stream: StreamKey,
        end: End,
    },
    Data {
        stream: StreamKey,
        payload: Bytes,
        credit: u32,
        end: End,
    },
    Trailers {
        stream: StreamKey,
    },
    Sent {
        stream: StreamKey,
        bytes: usize,
    },
    Reset {
        stream: StreamKey,
        code: ErrorCode,
        cause: Cause,
    },
    GoAway {
        last: u32,
        code: ErrorCode,
    },
    Settings,
    Pong {
        payload: [u8; 8],
    },
}

impl Notice {
    pub(super) fn is_reset_of(&self, key: StreamKey) -> bool {
        matches!(self, Self::Reset { stream, .. } if *stream == key)
    }

    pub(super) fn into_event(self, headers: &HeaderList) -> Event<'_> {
        match self {
            Self::Headers { stream, end } => Event::Headers {
                stream,
                headers,
                end,
            },
            Self::Interim { stream } => Event::Interim { stream, headers },
            Self::TooLarge { stream, end } => Event::TooLarge {
                stream,
                headers,
                end,
            },
            Self::Data {
                stream,
                payload,
                credit,
                end,
            } => Event::Data {
                stream,
                payload,
                credit,
                end,
            },
            Self::Trailers { stream } => Event::Trailers { stream, headers },
            Self::Sent { stream, bytes } => Event::Sent { stream, bytes },
            Self::Reset {
                stream,
                code,
                cause,
            } => Event::Reset {
                stream,
                code,
                cause,
            },
            Self::GoAway { last, code } => Event::GoAway { last, code },
            Self::Settings => Event::Settings,
            Self::Pong { payload } => Event::Pong { payload },
        }
    }
}
