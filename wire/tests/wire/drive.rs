//! Connects an engine to a pipe: reads and writes at the same time, a turn after each.

use std::ops::ControlFlow;

use bytes::{Bytes, BytesMut};
use cutover_wire::{Connection, End, ErrorCode, Event, HeaderList, StreamKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// An event that borrows nothing.
#[derive(Debug)]
pub(crate) enum Owned {
    Headers(StreamKey, HeaderList, End),
    Data(StreamKey, Bytes, u32, End),
    Trailers(StreamKey, HeaderList),
    Sent(StreamKey, usize),
    Reset(StreamKey, ErrorCode),
    GoAway,
    Settings,
}

/// All events that are there.
pub(crate) fn take_events(end: &mut Connection) -> Vec<Owned> {
    let mut events = Vec::new();
    while let Some(event) = end.poll_event().unwrap() {
        events.push(match event {
            Event::Headers {
                stream,
                headers,
                end,
            } => Owned::Headers(stream, headers.clone(), end),
            Event::Data {
                stream,
                payload,
                credit,
                end,
            } => Owned::Data(stream, payload, credit, end),
            Event::Trailers { stream, headers } => Owned::Trailers(stream, headers.clone()),
            Event::Sent { stream, bytes } => Owned::Sent(stream, bytes),
            Event::Reset { stream, code, .. } => Owned::Reset(stream, code),
            Event::GoAway { .. } => Owned::GoAway,
            Event::Settings => Owned::Settings,
            other => panic!("unexpected: {other:?}"),
        });
    }
    events
}

/// Drives an engine until `turn` breaks or the pipe ends.
pub(crate) async fn drive(
    io: DuplexStream,
    end: &mut Connection,
    mut turn: impl FnMut(&mut Connection) -> ControlFlow<()>,
) {
    let (mut reader, mut writer) = tokio::io::split(io);
    let mut buffer = BytesMut::new();
    loop {
        if turn(end).is_break() {
            return;
        }
        if end.wants_poll() {
            continue;
        }
        let mut slices = [std::io::IoSlice::new(&[]); 1];
        end.output().slices(&mut slices);
        // A part only, so that the pipe's other end sees frames cut.
        let next = slices[0].to_vec();
        tokio::select! {
            count = reader.read_buf(&mut buffer) => {
                if count.unwrap() == 0 {
                    return;
                }
                end.receive(buffer.split().freeze());
            }
            count = writer.write(&next), if !next.is_empty() => {
                end.output().advance(count.unwrap());
            }
        }
    }
}
