//! From a call as it passed to the entries of a binary log, without what must not be stored.

use std::time::{Duration, UNIX_EPOCH};

use bytes::{Buf, Bytes, BytesMut};
use cutover_compare::{Message, Method, clear_redacted};
use cutover_manifest::CompareRules;
use cutover_proto::grpc::binarylog::v1 as log;
use http::HeaderMap;
use log::grpc_log_entry::{EventType, Logger, Payload};
use prost_reflect::MessageDescriptor;

use super::JournalCounts;
use super::tap::{Call, Event};
use crate::grpc;

/// Metadata that holds credentials: never written.
const SECRET: [&str; 5] = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "set-cookie",
    "x-api-key",
];
/// Headers that belong to HTTP and gRPC, not to the application.
const TRANSPORT: [&str; 10] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "lb-token",
    "te",
    "trailer",
    "user-agent",
];
/// The path by which rules redact the status message.
const STATUS_MESSAGE: &str = "grpc_message";
/// Bytes of a gRPC message's prefix.
const PREFIX_BYTES: usize = 5;

/// All entries of one call. The call's end comes last, even where the client was still sending.
pub(super) fn entries(
    call: &Call,
    call_id: u64,
    method: Option<&Method>,
    rules: &CompareRules,
    counts: &mut JournalCounts,
) -> Vec<log::GrpcLogEntry> {
    let mut scribe = Scribe {
        call,
        call_id,
        entries: Vec::with_capacity(call.events.len() + 1),
    };
    scribe.add(Duration::ZERO, EventType::ClientHeader, Some(header(call)));
    let encoding = |headers: &HeaderMap| {
        let value = headers.get(grpc::ENCODING)?.to_str().ok()?;
        Some(value.to_owned())
    };
    let mut request = Direction {
        event: EventType::ClientMessage,
        descriptor: method.map(|method| &method.input),
        encoding: encoding(&call.headers),
        buffer: BytesMut::new(),
    };
    let mut answer = Direction {
        event: EventType::ServerMessage,
        descriptor: method.map(|method| &method.output),
        encoding: None,
        buffer: BytesMut::new(),
    };
    let mut end = None;
    for (at, event) in &call.events {
        match event {
            Event::Request(chunk) => request.take(chunk, *at, rules, &mut scribe, counts),
            Event::Answer(chunk) => answer.take(chunk, *at, rules, &mut scribe, counts),
            Event::HalfClose => scribe.add(*at, EventType::ClientHalfClose, None),
            Event::Headers(headers) => {
                answer.encoding = encoding(headers);
                let metadata = Some(metadata(headers));
                let header = Payload::ServerHeader(log::ServerHeader { metadata });
                scribe.add(*at, EventType::ServerHeader, Some(header));
            }
            Event::End(status, trailers) => {
                let trailer = trailer(*status, trailers, rules);
                end = Some((*at, EventType::ServerTrailer, Some(trailer)));
            }
            Event::Cancel => end = Some((*at, EventType::Cancel, None)),
        }
    }
    if let Some((at, event, payload)) = end {
        scribe.add(at, event, payload);
    }
    scribe.entries
}

struct Scribe<'a> {
    call: &'a Call,
    call_id: u64,
    entries: Vec<log::GrpcLogEntry>,
}

impl Scribe<'_> {
    fn add(&mut self, at: Duration, event: EventType, payload: Option<Payload>) {
        let since = (self.call.at + at).duration_since(UNIX_EPOCH);
        let since = since.unwrap_or_default();
        self.entries.push(log::GrpcLogEntry {
            timestamp: Some(prost_types::Timestamp {
                seconds: since.as_secs() as i64,
                nanos: since.subsec_nanos() as i32,
            }),
            call_id: self.call_id,
            sequence_id_within_call: self.entries.len() as u64 + 1,
            r#type: event.into(),
            logger: Logger::Server.into(),
            payload,
            payload_truncated: false,
            peer: None,
        });
    }
}

/// The messages that go one way.
struct Direction<'a> {
    event: EventType,
    descriptor: Option<&'a MessageDescriptor>,
    encoding: Option<String>,
    buffer: BytesMut,
}

impl Direction<'_> {
    /// Takes a piece of the body, and writes the messages that it completes.
    fn take(
        &mut self,
        chunk: &Bytes,
        at: Duration,
        rules: &CompareRules,
        scribe: &mut Scribe<'_>,
        counts: &mut JournalCounts,
    ) {
        self.buffer.extend_from_slice(chunk);
        while let Some(message) = self.next() {
            let cleared = match self.descriptor {
                Some(descriptor) => {
                    clear_redacted(descriptor, rules, &message, self.encoding.as_deref()).ok()
                }
                None => None,
            };
            let dropped = cleared.is_none();
            let length = cleared.as_ref().map_or(&message.bytes, |c| &c.bytes).len();
            let (data, fields) = cleared.map(|c| (c.bytes, c.fields)).unwrap_or_default();
            counts.fields_cleared += fields as u64;
            counts.messages_dropped += u64::from(dropped);
            let length = u32::try_from(length).unwrap_or(u32::MAX);
            let payload = Payload::Message(log::Message { length, data });
            scribe.add(at, self.event, Some(payload));
            if let Some(entry) = scribe.entries.last_mut() {
                entry.payload_truncated = dropped;
            }
        }
    }

    fn next(&mut self) -> Option<Message> {
        let (flag, rest) = self.buffer.split_first()?;
        let length = u32::from_be_bytes(*rest.first_chunk::<4>()?) as usize;
        let compressed = flag & 1 == 1;
        if self.buffer.len() - PREFIX_BYTES < length {
            return None;
        }
        let mut frame = self.buffer.split_to(PREFIX_BYTES + length);
        frame.advance(PREFIX_BYTES);
        Some(Message {
            compressed,
            bytes: frame.freeze(),
        })
    }
}

fn header(call: &Call) -> Payload {
    let timeout = call.headers.get(grpc::TIMEOUT);
    let timeout = timeout.and_then(|value| grpc::timeout(value.as_bytes()));
    let timeout = timeout.map(|timeout| prost_types::Duration {
        seconds: timeout.as_secs() as i64,
        nanos: timeout.subsec_nanos() as i32,
    });
    Payload::ClientHeader(log::ClientHeader {
        metadata: Some(metadata(&call.headers)),
        method_name: call.path.clone(),
        authority: call.authority.clone(),
        timeout,
    })
}

fn trailer(status: u32, trailers: &HeaderMap, rules: &CompareRules) -> Payload {
    let redacted = rules.redact.iter().any(|rule| rule.covers(STATUS_MESSAGE));
    let message = trailers
        .get(grpc::MESSAGE)
        .filter(|_| !redacted)
        .map(|raw| percent_encoding::percent_decode(raw.as_bytes()).decode_utf8_lossy())
        .unwrap_or_default();
    Payload::Trailer(log::Trailer {
        metadata: Some(metadata(trailers)),
        status_code: status,
        status_message: message.into_owned(),
        // Binary metadata is never written.
        status_details: Bytes::new(),
    })
}

/// The application's metadata, without credentials and without anything binary.
fn metadata(headers: &HeaderMap) -> log::Metadata {
    let kept = headers.iter().filter(|(name, _)| {
        let name = name.as_str();
        !name.starts_with("grpc-")
            && !name.ends_with("-bin")
            && !SECRET.contains(&name)
            && !TRANSPORT.contains(&name)
    });
    let entry = |(name, value): (&http::HeaderName, &http::HeaderValue)| log::MetadataEntry {
        key: name.as_str().to_owned(),
        value: Bytes::copy_from_slice(value.as_bytes()),
    };
    log::Metadata {
        entry: kept.map(entry).collect(),
    }
}
