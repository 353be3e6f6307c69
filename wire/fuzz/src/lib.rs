//! What the fuzz targets do, so that a plain test can do it with their corpora too. Each reads its
//! input as a [`script`]: limits first, then steps. [`watch`] reads what an engine writes, and
//! knows what it may write.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a finding is a panic")]

pub mod end;
pub mod frames;
pub mod hpack;
pub mod relay;
pub mod script;
pub mod watch;

use bytes::Bytes;
use cutover_wire::Connection;

/// What a client sends first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame as bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Takes up to `most` bytes out of an engine's output.
pub fn take_output(end: &mut Connection, most: usize) -> Vec<u8> {
    let mut taken = Vec::new();
    while taken.len() < most && !end.output().is_empty() {
        let mut slices = [std::io::IoSlice::new(&[]); 1];
        assert_eq!(end.output().slices(&mut slices), 1, "it is not empty");
        let part = slices[0].len().min(most - taken.len());
        taken.extend(&slices[0][..part]);
        end.output().advance(part);
    }
    taken
}

/// The byte that stands at `offset` of a message, so that nothing can be lost or exchanged unseen.
pub fn content(message: u32, offset: usize) -> u8 {
    (message as usize * 31 + offset + offset / 256 * 7) as u8
}

/// `length` bytes of a message from `offset` on.
pub fn contents(message: u32, offset: usize, length: usize) -> Bytes {
    (offset..offset + length)
        .map(|offset| content(message, offset))
        .collect()
}
