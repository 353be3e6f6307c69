//! Any bytes, in either role: what comes of them does not depend on where reads cut them.
use std::collections::BTreeMap;

use crate::watch::Watch;
use crate::{PREFACE, frame, take_output};
use bytes::Bytes;
use cutover_wire::{Connection, ConnectionError, End, Event, FieldRef, Limits};

/// Reads the bytes at once and in pieces, and compares.
pub fn run(data: &[u8]) {
    let Some(([how, step], bytes)) = data.split_first_chunk::<2>() else {
        return;
    };
    let step = usize::from(*step).max(1);
    assert_eq!(
        read(*how, bytes, bytes.len().max(1)),
        read(*how, bytes, step)
    );
}

/// All that an end tells and writes when it is given the bytes in pieces.
fn read(how: u8, bytes: &[u8], step: usize) -> (Vec<String>, Vec<u8>) {
    let limits = Limits {
        concurrent_streams: 20,
        stream_window_bytes: if how & 2 == 0 { 65_535 } else { 100 },
        header_list_bytes: if how & 4 == 0 { 16 << 10 } else { 300 },
        ..Limits::default()
    };
    let mut end = if how & 1 == 0 {
        let mut end = Connection::server(limits);
        if how & 8 == 0 {
            end.receive(PREFACE.into());
            assert!(end.poll_event().unwrap().is_none());
        }
        end
    } else {
        let mut end = Connection::client(limits);
        for last in [End::More, End::Last, End::Last, End::More] {
            end.open([FieldRef::new(b":method", b"HEAD")], last)
                .unwrap();
        }
        end
    };
    let mut watch = Watch::default();
    let mut events = Told::default();
    let greeting = if how & 24 == 0 {
        frame(4, 0, 0, &[])
    } else {
        Vec::new()
    };
    for piece in [&greeting[..]].into_iter().chain(bytes.chunks(step)) {
        watch.tell(piece);
        if let Err(error) = feed(&mut end, piece, &mut events) {
            events.other(error.to_string());
            break;
        }
    }
    events.end_data(0);
    let written = take_output(&mut end, usize::MAX);
    watch.say(&written);
    assert!(watch.is_whole());
    (events.lines, written)
}

/// Events in words. Data that comes in a row is joined by stream: only how it is divided may depend
/// on the reads.
#[derive(Default)]
struct Told {
    lines: Vec<String>,
    data: BTreeMap<u32, (Vec<u8>, u32)>,
}

impl Told {
    fn end_data(&mut self, ended: u32) {
        for (stream, (payload, credit)) in std::mem::take(&mut self.data) {
            let how = if stream == ended { "end" } else { "" };
            self.lines.push(format!("{stream}: {payload:?}, {credit} {how}"));
        }
    }

    fn other(&mut self, line: String) {
        self.end_data(0);
        self.lines.push(line);
    }
}

/// Hands bytes over and takes down the events in words.
fn feed(end: &mut Connection, bytes: &[u8], into: &mut Told) -> Result<(), ConnectionError> {
    end.receive(Bytes::copy_from_slice(bytes));
    while let Some(event) = end.poll_event()? {
        let Event::Data {
            stream,
            payload,
            credit,
            end: last,
        } = event
        else {
            into.other(format!("{event:?}"));
            continue;
        };
        let (joined, credits) = into.data.entry(stream.id).or_default();
        joined.extend_from_slice(&payload);
        *credits += credit;
        if last == End::Last {
            into.end_data(stream.id);
        }
        end.release(stream, credit);
    }
    Ok(())
}
