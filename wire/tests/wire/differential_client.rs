//! The same bytes into our client and into that of the `h2` crate, which have asked for the same:
//! both find the connection broken, or neither does, and what both take for a whole response is the
//! same response.
//!
//! Intended differences, besides those of the server's role (see `differential`): we end the
//! connection where a push is begun, `h2` where its header block ends (RFC 9113 section 8.4).

use std::collections::BTreeMap;

use bytes::Bytes;
use cutover_wire::{Connection, End, Event, FieldRef, Limits, Rule};
use http::Request;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::differential::{Message, Reading, ends_early, sorted, sorted_map, whole_frames};
use crate::frames::Frames;

/// What is asked for, in the order of the streams: a method, and whether the request has ended.
const REQUESTS: [(&str, End); 4] = [
    ("POST", End::More),
    ("POST", End::Last),
    ("HEAD", End::Last),
    ("GET", End::Last),
];

fn ours(bytes: &[u8]) -> Reading {
    let mut client = Connection::client(Limits::default());
    for (method, end) in REQUESTS {
        let head = [
            FieldRef::new(b":method", method.as_bytes()),
            FieldRef::new(b":scheme", b"http"),
            FieldRef::new(b":authority", b"a"),
            FieldRef::new(b":path", b"/"),
        ];
        client.open(head, end).unwrap();
    }
    let mut reading = Reading::default();
    let mut open: BTreeMap<u32, Message> = BTreeMap::new();
    client.receive(Bytes::copy_from_slice(bytes));
    loop {
        let event = match client.poll_event() {
            Ok(Some(event)) => event,
            Ok(None) => break,
            Err(error) => {
                reading.rule = Some(error.rule);
                reading.broken = Some(error.to_string());
                return reading;
            }
        };
        reading.note_odd_values(&event);
        let ended = match event {
            Event::Headers {
                stream,
                headers,
                end,
            } => {
                let message = Message {
                    head: String::from_utf8_lossy(headers.status().unwrap()).into(),
                    fields: sorted(headers),
                    ..Message::default()
                };
                open.insert(stream.id, message);
                Some((stream.id, end))
            }
            Event::Data {
                stream,
                payload,
                end,
                ..
            } => {
                open.get_mut(&stream.id)
                    .unwrap()
                    .body
                    .extend_from_slice(&payload);
                Some((stream.id, end))
            }
            Event::Trailers { stream, headers } => {
                open.get_mut(&stream.id).unwrap().trailers = sorted(headers);
                Some((stream.id, End::Last))
            }
            _ => None,
        };
        if let Some((id, End::Last)) = ended {
            reading.messages.insert(id, open.remove(&id).unwrap());
        }
    }
    let written = client.output().contiguous().unwrap();
    reading.lenient |= whole_frames(&written[24..]).resets;
    reading.lenient |= ends_early(bytes);
    reading
}

async fn theirs(bytes: &[u8]) -> Reading {
    let (mut near, far) = tokio::io::duplex(1 << 20);
    let mut reading = Reading::default();
    let (mut client, connection) = h2::client::Builder::new()
        .enable_push(false)
        .handshake::<_, Bytes>(far)
        .await
        .unwrap();
    let connection = tokio::task::spawn_local(connection);
    let mut answers = Vec::new();
    let mut bodies = Vec::new();
    for (method, end) in REQUESTS {
        let request = Request::builder()
            .method(method)
            .uri("http://a/")
            .body(())
            .unwrap();
        let (answer, body) = client.send_request(request, end == End::Last).unwrap();
        answers.push(answer);
        bodies.push(body);
    }
    // All requests must be on their way before an answer to them comes.
    let mut asked = Vec::new();
    while whole_frames(asked.get(24..).unwrap_or_default()).headers < REQUESTS.len() {
        near.read_buf(&mut asked).await.unwrap();
    }
    near.write_all(bytes).await.unwrap();
    near.shutdown().await.unwrap();
    for (place, answer) in answers.into_iter().enumerate() {
        let whole = async {
            let (parts, mut stream) = answer.await?.into_parts();
            let mut message = Message {
                head: parts.status.as_str().to_owned(),
                fields: sorted_map(&parts.headers),
                ..Message::default()
            };
            while let Some(piece) = stream.data().await {
                message.body.extend_from_slice(&piece?);
            }
            let trailers = stream.trailers().await?;
            message.trailers = trailers.as_ref().map(sorted_map).unwrap_or_default();
            Ok::<_, h2::Error>(message)
        };
        if let Ok(message) = whole.await {
            reading.messages.insert(place as u32 * 2 + 1, message);
        }
    }
    drop((client, bodies));
    if let Err(error) = connection.await.unwrap() {
        reading.lenient |= error.is_remote();
        reading.broken = (!error.is_io() && !error.is_remote()).then(|| error.to_string());
    }
    reading
}

#[track_caller]
fn compare(bytes: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let local = tokio::task::LocalSet::new();
    let (ours, theirs) = (ours(bytes), local.block_on(&runtime, theirs(bytes)));
    match (&ours.broken, &theirs.broken) {
        (Some(_), None) => {
            let stricter = matches!(ours.rule, Some(Rule::Preface | Rule::Push | Rule::StreamId));
            assert!(stricter || theirs.lenient, "{ours:?} {theirs:?}");
        }
        (None, Some(_)) => assert!(ours.lenient, "{ours:?} {theirs:?}"),
        _ => {}
    }
    for (id, message) in &ours.messages {
        if let Some(other) = theirs.messages.get(id) {
            assert_eq!(message, other, "stream {id}");
        }
    }
}

/// Answers to all requests that have everything in them.
pub(crate) fn answers() -> Vec<u8> {
    let mut frames = Frames::settings();
    frames.frame(4, 1, 0, &[]);
    frames.fields(1, 0, "200", &[("x-a", "1")]);
    frames.padded_data(1, b"padded", 7, false);
    frames.frame(6, 0, 0, b"pingping");
    frames.fields(3, 0, "103", &[("link", "x")]);
    frames.fields_in_pieces(3, "200", &[("x-b", "2")], 3);
    frames.data(1, &[b'd'; 300], false);
    frames.data(3, &[b'e'; 20], false);
    for number in 0..8 {
        frames.data(1 + number % 2 * 2, &[number as u8; 40], false);
    }
    frames.frame(8, 0, 1, &[0, 0, 0, 9]);
    frames.trailers(1, &[("grpc-status", "0")]);
    frames.frame(0xfe, 0xff, 77, b"unknown");
    frames.fields(5, 1, "200", &[("content-length", "9")]);
    frames.data(3, b"the end", true);
    frames.fields(7, 0, "200", &[("content-length", "3"), ("x-a", "1")]);
    frames.frame(7, 0, 0, &[0, 0, 0, 7, 0, 0, 0, 0]);
    frames.data(7, b"abc", true);
    frames.bytes
}

#[test]
fn unchanged_answers_read_the_same() {
    let bytes = answers();
    compare(&bytes);
    let ids: Vec<u32> = ours(&bytes).messages.into_keys().collect();
    assert_eq!(ids, [1, 3, 5, 7]);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 3_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn mutated_answers_read_the_same(
        mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = answers();
        for (place, byte) in mutations {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        compare(&bytes);
    }

    #[test]
    fn random_frames_read_the_same(
        frames in prop::collection::vec(
            (0u8..12, any::<u8>(), 0u32..9, prop::collection::vec(any::<u8>(), 0..12)),
            0..6,
        ),
    ) {
        let mut bytes = Frames::settings();
        bytes.fields(1, 0, "200", &[("x-a", "1")]);
        for (kind, flags, stream, payload) in frames {
            bytes.frame(kind, flags, stream, &payload);
        }
        compare(&bytes.bytes);
    }
}
