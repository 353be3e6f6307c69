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
pub(crate) struct Reading {
    /// The connection error, in words.
    pub(crate) broken: Option<String>,
    pub(crate) rule: Option<Rule>,
    /// Something was found wrong that ends no connection, or could not be judged yet.
    pub(crate) lenient: bool,
    /// The requests or responses that came to their end, by stream.
    pub(crate) messages: BTreeMap<u32, Message>,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// The path or the status.
    pub(crate) head: String,
    /// Regular fields, sorted: `h2` keeps no order between names.
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, Vec<u8>)>,
}

impl Reading {
    /// Values with control characters are for both to judge as they like.
    pub(crate) fn note_odd_values(&mut self, event: &Event<'_>) {
        if let Event::Headers { headers, .. }
        | Event::Trailers { headers, .. }
        | Event::Interim { headers, .. } = event
        {
            let mut values = headers.iter().flat_map(|field| field.value);
            self.lenient |= values.any(u8::is_ascii_control);
        }
    }
}

fn ours(bytes: &[u8]) -> Reading {
    let mut server = Connection::server(Limits::default());
    let mut reading = Reading::default();
    let mut open: BTreeMap<u32, Message> = BTreeMap::new();
    server.receive(Bytes::copy_from_slice(bytes));
    loop {
        let event = match server.poll_event() {
            Ok(Some(event)) => event,
            Ok(None) => {
                let written = server.output().contiguous().unwrap();
                reading.lenient |= whole_frames(written).resets || ends_early(&bytes[24..]);
                return reading;
            }
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
                let path = String::from_utf8_lossy(headers.path().unwrap_or_default()).into();
                open.insert(
                    stream.id,
                    Message {
                        head: path,
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
            reading.messages.insert(id, open.remove(&id).unwrap());
        }
    }
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// What is of interest in bytes that an end wrote, or was given.
#[derive(Debug, Default)]
pub(crate) struct WholeFrames {
    /// HEADERS frames.
    pub(crate) headers: usize,
    /// Whether there is an RST_STREAM.
    pub(crate) resets: bool,
    /// Whether the last header block goes on.
    block_is_open: bool,
    /// Bytes behind the last whole frame.
    rest: usize,
}

pub(crate) fn whole_frames(bytes: &[u8]) -> WholeFrames {
    let mut found = WholeFrames::default();
    let mut rest = bytes;
    while let Some([l0, l1, l2, kind, flags, ..]) = rest.first_chunk::<9>() {
        let length = u32::from_be_bytes([0, *l0, *l1, *l2]) as usize;
        let Some(next) = rest.get(9 + length..) else {
            break;
        };
        found.headers += usize::from(*kind == HEADERS);
        found.resets |= *kind == RST_STREAM;
        if matches!(*kind, HEADERS | CONTINUATION) {
            found.block_is_open = flags & END_HEADERS == 0;
        }
        rest = next;
    }
    found.rest = rest.len();
    found
}

/// Whether the frames in these bytes end before a header block or a frame's head does.
pub(crate) fn ends_early(bytes: &[u8]) -> bool {
    let found = whole_frames(bytes);
    found.block_is_open || (1..9).contains(&found.rest)
}

pub(crate) fn sorted(headers: &cutover_wire::HeaderList) -> Vec<(String, Vec<u8>)> {
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
        let mut whole = Message {
            head: parts
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
            reading.messages.insert(id, whole);
        }
    }
    reading
}

pub(crate) fn sorted_map(headers: &http::HeaderMap) -> Vec<(String, Vec<u8>)> {
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
    for (id, request) in &ours.messages {
        if let Some(other) = theirs.messages.get(id) {
            assert_eq!(request, other, "stream {id}");
        }
    }
}

#[test]
fn an_unchanged_conversation_reads_the_same() {
    let bytes = conversation();
    compare(&bytes);
    assert_eq!(
        ours(&bytes).messages.keys().copied().collect::<Vec<_>>(),
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
