//! Frames (RFC 9113 section 4): the nine bytes before each payload, the kinds and the flags.
//! What a frame means is the connection's matter.

pub(crate) mod padding;
pub(crate) mod settings;

use std::fmt;

/// The kind of a frame (RFC 9113 section 6).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FrameKind(pub u8);

macro_rules! kinds {
    ($($name:ident = $value:literal;)*) => {
        impl FrameKind {
            $(
                #[doc = concat!("`", stringify!($name), "`, RFC 9113 section 6.")]
                pub const $name: Self = Self($value);
            )*

            /// The kind's name in the RFC, or `unknown`.
            pub const fn name(self) -> &'static str {
                match self.0 {
                    $($value => stringify!($name),)*
                    _ => "unknown",
                }
            }
        }
    };
}

kinds! {
    DATA = 0x0;
    HEADERS = 0x1;
    PRIORITY = 0x2;
    RST_STREAM = 0x3;
    SETTINGS = 0x4;
    PUSH_PROMISE = 0x5;
    PING = 0x6;
    GOAWAY = 0x7;
    WINDOW_UPDATE = 0x8;
    CONTINUATION = 0x9;
}

impl fmt::Debug for FrameKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({:#x})", self.name(), self.0)
    }
}

impl fmt::Display for FrameKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            "unknown" => write!(f, "frame of kind {:#x}", self.0),
            name => f.write_str(name),
        }
    }
}

/// The length of a frame's head.
pub(crate) const HEAD_BYTES: usize = 9;
/// The largest payload that every peer accepts, and the smallest maximum that one may set.
pub(crate) const DEFAULT_FRAME_BYTES: u32 = 16_384;
/// The largest payload that can be announced.
pub(crate) const MAX_FRAME_BYTES: u32 = 16_777_215;
/// What a client sends first (RFC 9113 section 3.4).
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// END_STREAM on DATA and HEADERS, ACK on SETTINGS and PING: the same bit.
pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const ACK: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;
/// No flag: a block goes on.
pub(crate) const CONTINUATION_FLAGS: u8 = 0;
pub(crate) const PADDED: u8 = 0x8;
pub(crate) const PRIORITY: u8 = 0x20;

/// A frame's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) length: u32,
    pub(crate) kind: FrameKind,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
}

impl Head {
    pub(crate) fn new(kind: FrameKind, flags: u8, stream: u32, length: usize) -> Self {
        let length = u32::try_from(length).unwrap_or(MAX_FRAME_BYTES);
        Self {
            length,
            kind,
            flags,
            stream,
        }
    }

    /// Reads a head from the first nine of `bytes`; `None` if there are fewer.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *bytes.first_chunk::<HEAD_BYTES>()?;
        Some(Self {
            length: u32::from_be_bytes([0, l0, l1, l2]),
            kind: FrameKind(kind),
            flags,
            stream: u32::from_be_bytes([s0, s1, s2, s3]) & 0x7fff_ffff,
        })
    }

    pub(crate) fn to_bytes(self) -> [u8; HEAD_BYTES] {
        let [_, l0, l1, l2] = self.length.to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        [l0, l1, l2, self.kind.0, self.flags, s0, s1, s2, s3]
    }

    pub(crate) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// The first four of `bytes` as a big-endian number; `None` if there are fewer.
pub(crate) fn be_u32(bytes: &[u8]) -> Option<u32> {
    bytes
        .first_chunk::<4>()
        .map(|four| u32::from_be_bytes(*four))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_survives_writing_and_reading() {
        let head = Head::new(
            FrameKind::HEADERS,
            END_HEADERS | END_STREAM,
            0x7fff_ffff,
            0x01_02_03,
        );
        assert_eq!(head.to_bytes(), [1, 2, 3, 1, 5, 0x7f, 0xff, 0xff, 0xff]);
        assert_eq!(Head::parse(&head.to_bytes()), Some(head));
    }

    #[test]
    fn the_reserved_bit_is_ignored() {
        let head = Head::parse(&[0, 0, 0, 0, 0, 0x80, 0, 0, 1]).unwrap();
        assert_eq!(head.stream, 1);
    }

    #[test]
    fn eight_bytes_are_no_head() {
        assert_eq!(Head::parse(&[0; 8]), None);
    }
}
