//! However reads cut the bytes, the events are the same; and no bytes make the engine panic.

use std::collections::BTreeMap;

use bytes::Bytes;
use cutover_wire::{Connection, End, Event, FieldRef, Limits};
use proptest::prelude::*;

use crate::differential_client::answers;
use crate::frames::Frames;

/// What an end tells: data that came in a row as one, by stream, since only how it is divided
/// may depend on the reads.
#[derive(Default)]
struct Told {
    events: Vec<String>,
    data: BTreeMap<u32, (Vec<u8>, u32)>,
}

impl Told {
    fn data(&mut self, stream: u32, payload: &[u8], credit: u32) {
        let (joined, credits) = self.data.entry(stream).or_default();
        joined.extend_from_slice(payload);
        *credits += credit;
    }

    /// Takes down what came since, with which one stream ended, or none.
    fn end_data(&mut self, ended: u32) {
        for (stream, (payload, credit)) in std::mem::take(&mut self.data) {
            let payload = Bytes::from(payload);
            let how = if stream == ended { " end" } else { "" };
            let text = format!("{stream} data {payload:?} credit {credit}{how}");
            self.events.push(text);
        }
    }

    fn other(&mut self, event: String) {
        self.end_data(0);
        self.events.push(event);
    }
}

/// All events of an end that is fed these pieces, and the error that ended it.
fn events<'a>(mut end: Connection, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    let mut told = Told::default();
    for piece in pieces {
        end.receive(Bytes::copy_from_slice(piece));
        loop {
            let (stream, credit) = match end.poll_event() {
                Ok(None) => break,
                Ok(Some(Event::Data {
                    stream,
                    payload,
                    credit,
                    end,
                })) => {
                    told.data(stream.id, &payload, credit);
                    if end == End::Last {
                        told.end_data(stream.id);
                    }
                    (stream, credit)
                }
                Ok(Some(event)) => {
                    told.other(format!("{event:?}"));
                    continue;
                }
                Err(error) => {
                    told.other(error.to_string());
                    return told.events;
                }
            };
            end.release(stream, credit);
        }
    }
    told.end_data(0);
    told.events
}

fn server() -> Connection {
    Connection::server(Limits::default())
}

/// A client that has opened streams 1, 3, 5 and 7.
fn client() -> Connection {
    let mut client = Connection::client(Limits::default());
    for method in [b"POST", b"POST", b"HEAD", b"POST"] {
        let head = [FieldRef::new(b":method", method)];
        client.open(head, End::More).unwrap();
    }
    client
}

/// A conversation that has everything in it.
pub(crate) fn conversation() -> Vec<u8> {
    let mut frames = Frames::greeting();
    frames.request(1, &[("x-a", "1")], false);
    frames.padded_data(1, b"padded", 7, false);
    frames.frame(6, 0, 0, b"pingping");
    frames.request_in_pieces(3, &[("x-b", "2")], 3);
    frames.data(1, &[b'd'; 300], false);
    for number in 0..9 {
        frames.data(1 + number % 2 * 2, &[number as u8; 60], false);
    }
    frames.frame(8, 0, 0, &[0, 0, 0, 9]);
    frames.trailers(1, &[("x-t", "t")]);
    frames.frame(0xfe, 0xff, 77, b"unknown");
    frames.request(5, &[("x-a", "1")], true);
    frames.frame(3, 0, 3, &[0, 0, 0, 8]);
    frames.request(7, &[("x-a", "1")], true);
    frames.frame(7, 0, 0, &[0; 8]);
    frames.bytes
}

#[track_caller]
fn check_every_cut(end: fn() -> Connection, whole: &[u8], count: usize) {
    let expected = events(end(), [whole]);
    assert_eq!(expected.len(), count, "{expected:#?}");
    for cut in 0..=whole.len() {
        let (first, rest) = whole.split_at(cut);
        assert_eq!(events(end(), [first, rest]), expected, "cut at {cut}");
    }
    assert_eq!(events(end(), whole.chunks(1)), expected);
}

#[test]
fn a_cut_at_every_byte_gives_a_server_the_same_events() {
    check_every_cut(server, &conversation(), 11);
}

#[test]
fn a_cut_at_every_byte_gives_a_client_the_same_events() {
    check_every_cut(client, &answers(), 13);
}

/// `bytes` cut at the given places.
fn pieces<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places
        .windows(2)
        .map(|pair| &bytes[pair[0]..pair[1]])
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn mutated_bytes_give_the_same_events_however_they_are_cut(
        mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        is_client in any::<bool>(),
    ) {
        let (end, mut bytes): (fn() -> Connection, _) = match is_client {
            false => (server, conversation()),
            true => (client, answers()),
        };
        for (place, byte) in mutations {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let expected = events(end(), [&bytes[..]]);
        prop_assert_eq!(events(end(), pieces(&bytes, &cuts)), expected);
    }

    #[test]
    fn random_frames_never_panic(
        frames in prop::collection::vec(
            (0u8..12, any::<u8>(), 0u32..9, prop::collection::vec(any::<u8>(), 0..60)),
            0..40,
        ),
        is_client in any::<bool>(),
    ) {
        let (end, mut bytes) = if is_client {
            (client(), Frames::settings())
        } else {
            (server(), Frames::greeting())
        };
        for (kind, flags, stream, payload) in frames {
            bytes.frame(kind, flags, stream, &payload);
        }
        let count = events(end, [&bytes.bytes[..]]).len();
        prop_assert!(count <= 45, "no frame makes more than an event, but GOAWAY");
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let greeting = Frames::greeting().bytes;
        let count = events(server(), [&greeting[..], &bytes]).len();
        prop_assert!(count <= 1 + 400 / 9 + 1);
    }
}
