//! The same bytes into our server and into that of the `h2` crate: both find the connection broken,
//! or neither does, and what both take for a whole request is the same request.
//!
//! Intended differences, each with its reason:
//! - We end the connection, `h2` does not: the first frame is not SETTINGS (RFC 9113 section 3.4),
//!   and a client sends PUSH_PROMISE (section 8.4). A frame of an unknown kind comes within a
//!   header block (section 5.5). Malformed fields on a stream that may not be opened: `h2` looks at
//!   the fields first, we at the stream's number (section 5.1.1).
//! - `h2` ends the connection, we do not: malformed fields and frames on half-closed streams are
//!   stream errors (sections 8.1.1 and 5.1), so we reset the stream; streams too long ago to know
//!   their fate are reset too; control characters other than NUL, CR and LF may be in values
//!   (section 8.2.1); a header block is judged when it is whole, not in each of its frames, and a
//!   frame's length when its head is whole (sections 4.3 and 4.1).

use std::collections::BTreeMap;

use bytes::Bytes;
use cutover_wire::{Connection, End, Event, Limits, Rule};
use proptest::prelude::*;
use tokio::io::AsyncWriteExt;

use crate::cuts::conversation;
use crate::frames::Frames;

/// What an engine made of the bytes.
#[derive(Debug, Default)]
struct Reading {
    /// The connection error, in words.
    broken: Option<String>,
    rule: Option<Rule>,
    /// Something was found wrong that ends no connection, or could not be judged yet.
    lenient: bool,
    /// The requests that came to their end, by stream.
    requests: BTreeMap<u32, Request>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Request {
    path: String,
    /// Regular fields, sorted: `h2` keeps no order between names.
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    trailers: Vec<(String, Vec<u8>)>,
}

fn ours(bytes: &[u8]) -> Reading {
    let mut server = Connection::server(Limits::default());
    let mut reading = Reading::default();
    let mut open: BTreeMap<u32, Request> = BTreeMap::new();
    server.receive(Bytes::copy_from_slice(bytes));
    loop {
        let event = match server.poll_event() {
            Ok(Some(event)) => event,
            Ok(None) => {
                let written = server.output().contiguous().unwrap();
                reading.lenient |= frames(written)
                    .0
                    .iter()
                    .any(|(kind, _)| *kind == RST_STREAM);
                reading.lenient |= ends_early(bytes);
                return reading;
            }
            Err(error) => {
                reading.rule = Some(error.rule);
                reading.broken = Some(error.to_string());
                return reading;
            }
        };
        if let Event::Headers { headers, .. } | Event::Trailers { headers, .. } = &event {
            let mut values = headers.iter().flat_map(|field| field.value);
            reading.lenient |= values.any(u8::is_ascii_control);
        }
        let ended = match event {
            Event::Headers {
                stream,
                headers,
                end,
            } => {
                let path = String::from_utf8_lossy(headers.path().unwrap_or_default()).into();
                open.insert(
                    stream.id,
                    Request {
                        path,
                        fields: sorted(headers),
                        ..Default::default()
                    },
                );
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
            reading.requests.insert(id, open.remove(&id).unwrap());
        }
    }
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// The kinds and flags of the whole frames in `bytes`, and how many bytes follow them.
fn frames(bytes: &[u8]) -> (Vec<(u8, u8)>, usize) {
    let mut rest = bytes;
    let mut frames = Vec::new();
    while let Some([l0, l1, l2, kind, flags, ..]) = rest.first_chunk::<9>() {
        let length = u32::from_be_bytes([0, *l0, *l1, *l2]) as usize;
        let Some(next) = rest.get(9 + length..) else {
            break;
        };
        frames.push((*kind, *flags));
        rest = next;
    }
    (frames, rest.len())
}

/// Whether the bytes end before a header block or a frame's head does.
fn ends_early(bytes: &[u8]) -> bool {
    let (frames, rest) = frames(&bytes[24..]);
    let mut blocks = frames
        .iter()
        .filter(|(kind, _)| matches!(*kind, HEADERS | CONTINUATION));
    let open = blocks
        .next_back()
        .is_some_and(|(_, flags)| flags & END_HEADERS == 0);
    open || (1..9).contains(&rest)
}

fn sorted(headers: &cutover_wire::HeaderList) -> Vec<(String, Vec<u8>)> {
    let mut fields: Vec<_> = headers
        .iter()
        .filter(|field| !field.is_pseudo())
        .map(|field| {
            (
                String::from_utf8_lossy(field.name).into(),
                field.value.to_vec(),
            )
        })
        .collect();
    fields.sort();
    fields
}

async fn theirs(bytes: &[u8]) -> Reading {
    let (mut near, far) = tokio::io::duplex(1 << 20);
    near.write_all(bytes).await.unwrap();
    near.shutdown().await.unwrap();
    let mut reading = Reading::default();
    // A GOAWAY of the client's is no verdict on it.
    let broken =
        |error: &h2::Error| (!error.is_io() && !error.is_remote()).then(|| error.to_string());
    let mut server = match h2::server::handshake(far).await {
        Ok(server) => server,
        Err(error) => {
            reading.lenient |= error.is_remote();
            reading.broken = broken(&error);
            return reading;
        }
    };
    let mut requests: Vec<(
        http::Request<h2::RecvStream>,
        h2::server::SendResponse<Bytes>,
    )> = Vec::new();
    while let Some(request) = server.accept().await {
        match request {
            Ok(request) => requests.push(request),
            Err(error) => {
                reading.lenient |= error.is_remote();
                reading.broken = broken(&error);
                break;
            }
        }
    }
    for (request, respond) in requests {
        let id = respond.stream_id().as_u32();
        let (parts, mut stream) = request.into_parts();
        let mut whole = Request {
            path: parts
                .uri
                .path_and_query()
                .map_or_else(String::new, ToString::to_string),
            fields: sorted_map(&parts.headers),
            ..Default::default()
        };
        let body = async {
            while let Some(piece) = stream.data().await {
                whole.body.extend_from_slice(&piece?);
            }
            whole.trailers = stream
                .trailers()
                .await?
                .as_ref()
                .map(sorted_map)
                .unwrap_or_default();
            Ok::<_, h2::Error>(whole)
        };
        if let Ok(whole) = body.await {
            reading.requests.insert(id, whole);
        }
    }
    reading
}

fn sorted_map(headers: &http::HeaderMap) -> Vec<(String, Vec<u8>)> {
    let mut fields: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
        .collect();
    fields.sort();
    fields
}

#[track_caller]
fn compare(bytes: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let (ours, theirs) = (ours(bytes), runtime.block_on(theirs(bytes)));
    match (&ours.broken, &theirs.broken) {
        (Some(_), None) => {
            let stricter = matches!(
                ours.rule,
                Some(
                    Rule::Preface
                        | Rule::Push
                        | Rule::BlockInterrupted
                        | Rule::StreamId
                        | Rule::StreamClosed
                )
            );
            // After an error of the client's own `h2` reads no further.
            assert!(stricter || theirs.lenient, "{ours:?} {theirs:?}");
        }
        (None, Some(_)) => assert!(ours.lenient, "{ours:?} {theirs:?}"),
        _ => {}
    }
    for (id, request) in &ours.requests {
        if let Some(other) = theirs.requests.get(id) {
            assert_eq!(request, other, "stream {id}");
        }
    }
}

#[test]
fn an_unchanged_conversation_reads_the_same() {
    let bytes = conversation();
    compare(&bytes);
    assert_eq!(
        ours(&bytes).requests.keys().copied().collect::<Vec<_>>(),
        [1, 5, 7]
    );
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 3_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn mutated_conversations_read_the_same(
        mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = conversation();
        for (place, byte) in mutations {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        compare(&bytes);
    }

    #[test]
    fn random_frames_read_the_same(
        frames in prop::collection::vec(
            (0u8..12, any::<u8>(), 0u32..6, prop::collection::vec(any::<u8>(), 0..12)),
            0..6,
        ),
    ) {
        let mut bytes = Frames::greeting();
        bytes.request(1, &[("x-a", "1")], false);
        for (kind, flags, stream, payload) in frames {
            bytes.frame(kind, flags, stream, &payload);
        }
        compare(&bytes.bytes);
    }
}
