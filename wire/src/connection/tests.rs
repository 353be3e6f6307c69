//! Rules of the connection, each broken by frames written by hand, and kept in its negative twin.

mod abuse;
mod flow;
mod gather;
mod leaving;
mod states;

use super::*;
use crate::event::End;
use crate::frame::HEAD_BYTES;
use crate::headers::FieldRef;
use crate::hpack::encoder::Strings;

/// An event in words, which are easy to compare.
pub(super) fn describe(event: &Event<'_>) -> String {
    let end = |end: &End| match end {
        End::More => "",
        End::Last => " end",
    };
    match event {
        Event::Headers {
            stream,
            headers,
            end: last,
        } => {
            format!("{} headers {headers:?}{}", stream.id, end(last))
        }
        Event::Interim { stream, headers } => format!("{} interim {headers:?}", stream.id),
        Event::TooLarge {
            stream,
            headers,
            end: last,
        } => {
            format!(
                "{} too large {}{}",
                stream.id,
                headers.size_bytes(),
                end(last)
            )
        }
        Event::Data {
            stream,
            payload,
            credit,
            end: last,
        } => {
            format!(
                "{} data {} credit {credit}{}",
                stream.id,
                payload.len(),
                end(last)
            )
        }
        Event::Trailers { stream, headers } => format!("{} trailers {headers:?}", stream.id),
        Event::Sent { stream, bytes } => format!("{} sent {bytes}", stream.id),
        Event::Reset {
            stream,
            code,
            cause,
        } => format!("{} reset {code} {cause:?}", stream.id),
        Event::GoAway { last, code } => format!("go away {last} {code}"),
        Event::Settings => "settings".to_owned(),
        Event::Pong { payload } => format!("pong {payload:?}"),
    }
}

/// One end under test, a hand that writes frames to it, and an eye that reads what it writes.
pub(super) struct Bench {
    pub(super) end: Connection,
    encoder: Encoder,
    /// The streams of the events so far, by number.
    pub(super) keys: std::collections::HashMap<u32, StreamKey>,
    /// Whether data is released as soon as it comes.
    pub(super) releases: bool,
}

impl Bench {
    /// A server after the greeting.
    pub(super) fn server(limits: Limits) -> Self {
        let mut bench = Self::new(Connection::server(limits));
        let greeting = [&frame::PREFACE[..], &bytes(FrameKind::SETTINGS, 0, 0, &[])].concat();
        assert_eq!(bench.feed(&greeting), ["settings"]);
        bench.feed(&bytes(FrameKind::SETTINGS, frame::ACK, 0, &[]));
        bench.written();
        bench
    }

    /// A client after the greeting.
    pub(super) fn client(limits: Limits) -> Self {
        let mut bench = Self::new(Connection::client(limits));
        assert_eq!(
            bench.feed(&bytes(FrameKind::SETTINGS, 0, 0, &[])),
            ["settings"]
        );
        bench.feed(&bytes(FrameKind::SETTINGS, frame::ACK, 0, &[]));
        bench.written();
        bench
    }

    fn new(end: Connection) -> Self {
        let encoder = Encoder::new(4_096, Strings::Plain);
        Self {
            end,
            encoder,
            keys: Default::default(),
            releases: true,
        }
    }

    /// Hands bytes over and gives the events in words; an error is the last of them.
    pub(super) fn feed(&mut self, input: &[u8]) -> Vec<String> {
        self.end.receive(Bytes::copy_from_slice(input));
        self.events()
    }

    pub(super) fn events(&mut self) -> Vec<String> {
        let mut events = Vec::new();
        loop {
            let mut held = None;
            match self.end.poll_event() {
                Ok(None) => return events,
                Ok(Some(event)) => {
                    if let Event::Headers { stream, .. } | Event::TooLarge { stream, .. } = &event {
                        self.keys.insert(stream.id, *stream);
                    }
                    if let Event::Data { stream, credit, .. } = &event {
                        held = Some((*stream, *credit));
                    }
                    events.push(describe(&event));
                }
                Err(error) => {
                    events.push(error.to_string());
                    return events;
                }
            }
            if let Some((stream, credit)) = held.filter(|_| self.releases) {
                self.end.release(stream, credit);
            }
        }
    }

    pub(super) fn key(&self, id: u32) -> StreamKey {
        self.keys[&id]
    }

    /// Opens stream 1 as the client under test.
    pub(super) fn open(&mut self, end: End) -> StreamKey {
        let fields = REQUEST.map(|(name, value)| FieldRef::new(name.as_bytes(), value.as_bytes()));
        let key = self.end.open(fields, end).unwrap();
        self.keys.insert(key.id, key);
        key
    }

    /// A frame that carries a whole header block.
    pub(super) fn headers(&mut self, id: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
        let block = self.block(fields);
        bytes(FrameKind::HEADERS, flags | frame::END_HEADERS, id, &block)
    }

    pub(super) fn block(&mut self, fields: &[(&str, &str)]) -> Vec<u8> {
        let mut block = Vec::new();
        let fields = fields
            .iter()
            .map(|(name, value)| FieldRef::new(name.as_bytes(), value.as_bytes()));
        self.encoder.encode(fields, &mut block);
        block
    }

    /// What the end wrote since the last time, in words.
    pub(super) fn written(&mut self) -> Vec<String> {
        let output = self.end.output();
        let mut all = Vec::new();
        while !output.is_empty() {
            let mut slices = [std::io::IoSlice::new(&[]); 1];
            output.slices(&mut slices);
            let count = slices[0].len();
            all.extend_from_slice(&slices[0]);
            output.advance(count);
        }
        let mut rest = all.strip_prefix(frame::PREFACE).unwrap_or(&all);
        let mut frames = Vec::new();
        while let Some(head) = Head::parse(rest) {
            let end = HEAD_BYTES + head.length as usize;
            frames.push(describe_frame(head, &rest[HEAD_BYTES..end]));
            rest = &rest[end..];
        }
        assert!(rest.is_empty());
        frames
    }

    /// Feeds frames and expects the connection to end by this rule, and to say so to the peer.
    #[track_caller]
    pub(super) fn check_fatal(&mut self, input: &[u8], rule: Rule) {
        let events = self.feed(input);
        let last = events.last().cloned().unwrap_or_default();
        assert!(last.contains(rule.says()), "{events:?}");
        let written = self.written();
        let said = written.last().cloned().unwrap_or_default();
        assert!(
            said.contains("GOAWAY") && said.contains(rule.code().name()),
            "{written:?}"
        );
        assert!(
            self.feed(input).last().is_some_and(|again| *again == last),
            "it stays over"
        );
        assert!(self.end.is_finished());
    }

    /// Feeds frames and expects a stream to end by this rule, and the connection to live.
    #[track_caller]
    pub(super) fn check_reset(&mut self, input: &[u8], id: u32, rule: Rule) {
        self.feed(input);
        let expected = format!("RST_STREAM on {id}: {}", rule.code());
        let written = self.written();
        assert!(written.contains(&expected), "{written:?}");
        self.check_alive();
    }

    #[track_caller]
    pub(super) fn check_alive(&mut self) {
        self.feed(&bytes(FrameKind::PING, 0, 0, b"are you?"));
        assert_eq!(self.written(), ["PING on 0 flags 1: 8 bytes"]);
    }
}

pub(super) const REQUEST: [(&str, &str); 4] = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/s/m"),
    ("te", "trailers"),
];
pub(super) const RESPONSE: [(&str, &str); 1] = [(":status", "200")];
pub(super) const TRAILERS: [(&str, &str); 1] = [("grpc-status", "0")];
pub(super) const REQUEST_WORDS: &str = "[:method: POST, :scheme: http, :path: /s/m, te: trailers]";

pub(super) fn fields<'a>(
    pairs: &'a [(&'a str, &'a str)],
) -> impl Iterator<Item = FieldRef<'a>> + Clone {
    pairs
        .iter()
        .map(|(name, value)| FieldRef::new(name.as_bytes(), value.as_bytes()))
}

/// A frame as bytes.
pub(super) fn bytes(kind: FrameKind, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = Head::new(kind, flags, stream, payload.len())
        .to_bytes()
        .to_vec();
    frame.extend_from_slice(payload);
    frame
}

pub(super) fn data(stream: u32, flags: u8, length: usize) -> Vec<u8> {
    bytes(FrameKind::DATA, flags, stream, &vec![b'd'; length])
}

pub(super) fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    bytes(
        FrameKind::WINDOW_UPDATE,
        0,
        stream,
        &increment.to_be_bytes(),
    )
}

pub(super) fn reset(stream: u32, code: ErrorCode) -> Vec<u8> {
    bytes(FrameKind::RST_STREAM, 0, stream, &code.0.to_be_bytes())
}

pub(super) fn settings(name: u8, value: u32) -> Vec<u8> {
    let payload = [&[0, name][..], &value.to_be_bytes()].concat();
    bytes(FrameKind::SETTINGS, 0, 0, &payload)
}

pub(super) fn go_away(last: u32, code: ErrorCode) -> Vec<u8> {
    bytes(
        FrameKind::GOAWAY,
        0,
        0,
        &[last.to_be_bytes(), code.0.to_be_bytes()].concat(),
    )
}

fn describe_frame(head: Head, payload: &[u8]) -> String {
    let number = |place: usize| frame::be_u32(&payload[place..]).unwrap();
    let Head {
        kind,
        stream,
        flags,
        ..
    } = head;
    match kind {
        FrameKind::RST_STREAM => format!("{kind} on {stream}: {}", ErrorCode(number(0))),
        FrameKind::WINDOW_UPDATE => format!("{kind} on {stream}: {}", number(0)),
        FrameKind::GOAWAY => format!("{kind} {} {}", number(0), ErrorCode(number(4))),
        _ => format!("{kind} on {stream} flags {flags}: {} bytes", payload.len()),
    }
}
