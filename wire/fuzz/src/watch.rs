//! An eye on one direction of a connection: frames are whole and in order, streams have headers
//! first and nothing after their end, and no more data goes out than the peer's windows allow.

use std::collections::HashMap;

use crate::PREFACE;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const SETTING_WINDOW: u16 = 4;
const SETTING_FRAME: u16 = 5;

/// Cuts bytes into frames.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
}

/// A whole frame.
#[derive(Debug)]
pub struct Frame {
    /// Its kind.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream.
    pub stream: u32,
    /// Its payload.
    pub payload: Vec<u8>,
}

impl Frames {
    /// Adds bytes; gives the frames that are whole.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Frame> {
        self.bytes.extend(bytes);
        if let Some(rest) = self.bytes.strip_prefix(PREFACE) {
            self.bytes = rest.to_vec();
        }
        let mut frames = Vec::new();
        let mut rest = &self.bytes[..];
        while let Some([l0, l1, l2, kind, flags, s0, s1, s2, s3]) = rest.first_chunk::<9>() {
            let length = u32::from_be_bytes([0, *l0, *l1, *l2]) as usize;
            let Some(payload) = rest.get(9..9 + length) else {
                break;
            };
            frames.push(Frame {
                kind: *kind,
                flags: *flags,
                stream: u32::from_be_bytes([*s0, *s1, *s2, *s3]) & 0x7fff_ffff,
                payload: payload.to_vec(),
            });
            rest = &rest[9 + length..];
        }
        self.bytes = rest.to_vec();
        frames
    }

    /// Whether no frame is cut.
    pub fn is_whole(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// What one end may send, learnt from what it was told, and what it sent.
#[derive(Debug)]
pub struct Watch {
    told: Frames,
    said: Frames,
    /// All that the peer's WINDOW_UPDATE frames gave to the connection.
    connection: i64,
    /// The largest initial window so far: one that shrinks binds only what was not written yet.
    initial: i64,
    frame_bytes: usize,
    streams: HashMap<u32, Stream>,
    block: Option<u32>,
    is_over: bool,
}

#[derive(Debug, Default)]
struct Stream {
    window: i64,
    sent: usize,
    has_headers: bool,
    has_ended: bool,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            told: Frames::default(),
            said: Frames::default(),
            connection: 65_535,
            initial: 65_535,
            frame_bytes: 16_384,
            streams: HashMap::new(),
            block: None,
            is_over: false,
        }
    }
}

impl Watch {
    /// The end is given these bytes.
    pub fn tell(&mut self, bytes: &[u8]) {
        for frame in self.told.push(bytes) {
            match frame.kind {
                SETTINGS if frame.flags & 1 == 0 => {
                    for entry in frame.payload.chunks_exact(6) {
                        let value = i64::from(u32::from_be_bytes(entry[2..].try_into().unwrap()));
                        match u16::from_be_bytes([entry[0], entry[1]]) {
                            SETTING_WINDOW => self.initial = self.initial.max(value),
                            SETTING_FRAME => {
                                self.frame_bytes = self.frame_bytes.max(value as usize)
                            }
                            _ => {}
                        }
                    }
                }
                WINDOW_UPDATE if frame.payload.len() == 4 => {
                    let bytes: [u8; 4] = frame.payload.try_into().unwrap();
                    let increment = i64::from(u32::from_be_bytes(bytes) & 0x7fff_ffff);
                    match frame.stream {
                        0 => self.connection += increment,
                        id => self.streams.entry(id).or_default().window += increment,
                    }
                }
                _ => {}
            }
        }
    }

    /// The end has written these bytes.
    pub fn say(&mut self, bytes: &[u8]) {
        for frame in self.said.push(bytes) {
            self.check(&frame);
        }
    }

    /// How many bytes of data a stream was sent.
    pub fn sent(&self, stream: u32) -> usize {
        self.streams.get(&stream).map_or(0, |stream| stream.sent)
    }

    /// Whether what was written ends with a whole frame.
    pub fn is_whole(&self) -> bool {
        self.said.is_whole()
    }

    fn check(&mut self, frame: &Frame) {
        assert!(
            frame.payload.len() <= self.frame_bytes,
            "{} bytes",
            frame.payload.len()
        );
        assert!(!self.is_over, "{frame:?} after the last GOAWAY");
        if let Some(id) = self.block {
            assert_eq!(
                (frame.kind, frame.stream),
                (CONTINUATION, id),
                "within a block"
            );
        }
        let stream = self.streams.entry(frame.stream).or_default();
        match frame.kind {
            DATA => {
                assert!(stream.has_headers && !stream.has_ended, "{frame:?}");
                stream.sent += frame.payload.len();
                stream.window -= frame.payload.len() as i64;
                self.connection -= frame.payload.len() as i64;
                assert!(stream.window + self.initial >= 0, "stream {}", frame.stream);
                assert!(self.connection >= 0, "the connection's window");
            }
            HEADERS => {
                assert!(frame.stream % 2 == 1 && !stream.has_ended, "{frame:?}");
                stream.has_headers = true;
            }
            RST_STREAM => assert!(frame.stream != 0),
            CONTINUATION => assert!(self.block.is_some(), "{frame:?}"),
            GOAWAY => self.is_over = frame.payload.len() > 8,
            PRIORITY | PUSH_PROMISE => panic!("we never send {frame:?}"),
            _ => {}
        }
        if matches!(frame.kind, HEADERS | CONTINUATION) {
            let open = frame.flags & END_HEADERS == 0;
            self.block = open.then_some(frame.stream);
        }
        if frame.kind == RST_STREAM
            || matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0
        {
            stream.has_ended = true;
        }
    }
}
