//! Calls made beforehand, so that making them costs nothing while the load runs: real names with
//! typing errors, real ids and positions, encoded as gRPC messages. The same seed makes the same
//! calls, whatever server they go to.

use std::fmt;
use std::str::FromStr;

use bytes::{BufMut, Bytes, BytesMut};
use cutover_proto::gazetteer::v1 as pb;
use prost::Message;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::world::Place;

/// Bytes in front of each message: a compression flag and the length.
const PREFIX_BYTES: usize = 5;

/// A method of the gazetteer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    SearchPlaces,
    GetPlace,
    FindNearest,
    Suggest,
    ListPlaces,
    MeasureRoute,
    RecordVisit,
}

const WORDS: [(&str, Method, &str); 7] = [
    ("search", Method::SearchPlaces, "SearchPlaces"),
    ("get", Method::GetPlace, "GetPlace"),
    ("nearest", Method::FindNearest, "FindNearest"),
    ("suggest", Method::Suggest, "Suggest"),
    ("list", Method::ListPlaces, "ListPlaces"),
    ("route", Method::MeasureRoute, "MeasureRoute"),
    ("visit", Method::RecordVisit, "RecordVisit"),
];

impl FromStr for Method {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || WORDS.map(|(word, ..)| word).join(", ");
        WORDS
            .iter()
            .find(|(word, ..)| *word == text)
            .map(|(_, method, _)| *method)
            .ok_or_else(|| format!("no method is called {text:?}; there are {}", known()))
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = WORDS
            .iter()
            .find(|(_, method, _)| method == self)
            .map_or("", |found| found.2);
        write!(f, "/gazetteer.v1.GazetteerService/{name}")
    }
}

/// One call, ready to be sent.
#[derive(Clone)]
pub(crate) struct Call {
    /// Index into [`Calls::paths`].
    pub(crate) path: usize,
    /// All its messages, each behind its prefix.
    pub(crate) body: Bytes,
}

/// The calls of a run, repeated in order.
pub(crate) struct Calls {
    /// Every path that is called.
    pub(crate) paths: Vec<String>,
    /// The calls.
    pub(crate) pool: Vec<Call>,
}

impl Calls {
    /// One call of any service, over and over.
    pub(crate) fn one(path: &str, message: &[u8]) -> Calls {
        let mut body = BytesMut::new();
        frame(&mut body, message.len(), |body| body.put_slice(message));
        Calls {
            paths: vec![path.to_owned()],
            pool: vec![Call {
                path: 0,
                body: body.freeze(),
            }],
        }
    }

    /// `count` calls of the gazetteer in the shares of `mix`.
    pub(crate) fn of(mix: &[(Method, u32)], places: &[Place], count: usize, seed: u64) -> Calls {
        let mut random = StdRng::seed_from_u64(seed);
        let total: u32 = mix.iter().map(|(_, share)| share).sum();
        let pool = (0..count.max(1))
            .map(|_| {
                let mut at = random.random_range(0..total);
                let path = mix
                    .iter()
                    .position(|(_, share)| {
                        let here = at < *share;
                        at = at.saturating_sub(*share);
                        here
                    })
                    .unwrap_or(0);
                Call {
                    path,
                    body: body(mix[path].0, places, &mut random),
                }
            })
            .collect();
        Calls {
            paths: mix.iter().map(|(method, _)| method.to_string()).collect(),
            pool,
        }
    }
}

fn body(method: Method, places: &[Place], random: &mut StdRng) -> Bytes {
    let place = &places[random.random_range(0..places.len())];
    let mut body = BytesMut::new();
    match method {
        Method::SearchPlaces => message(&mut body, &search(place, random)),
        Method::GetPlace => message(&mut body, &pb::GetPlaceRequest { id: place.id }),
        Method::FindNearest => {
            let location = Some(near(place, random));
            let request = pb::FindNearestRequest {
                location,
                limit: 10,
                max_distance_m: None,
            };
            message(&mut body, &request);
        }
        Method::Suggest => {
            let name = name(place, random);
            for typed in 1..=random.random_range(2..=5) {
                let prefix = name.chars().take(typed).collect();
                message(&mut body, &pb::SuggestRequest { prefix, limit: 0 });
            }
        }
        Method::ListPlaces => {
            let country_code = place.country_code.clone();
            let request = pb::ListPlacesRequest {
                country_code,
                min_population: 50_000,
                page_size: 50,
                limit: 200,
            };
            message(&mut body, &request);
        }
        Method::MeasureRoute => {
            for _ in 0..random.random_range(2..=20) {
                let point = Some(near(place, random));
                message(&mut body, &pb::MeasureRouteRequest { point });
            }
        }
        Method::RecordVisit => {
            let visitor = format!("visitor-{}", random.random_range(0..1_000));
            message(
                &mut body,
                &pb::RecordVisitRequest {
                    place_id: place.id,
                    visitor,
                },
            );
        }
    }
    body.freeze()
}

fn search(place: &Place, random: &mut StdRng) -> pb::SearchPlacesRequest {
    let mut query = name(place, random).to_owned();
    for _ in 0..random.random_range(0..=2) {
        query = mistyped(&query, random);
    }
    let country_code = if random.random_ratio(1, 4) {
        place.country_code.clone()
    } else {
        String::new()
    };
    pb::SearchPlacesRequest {
        query,
        limit: 0,
        country_code,
        min_similarity: None,
    }
}

fn name<'a>(place: &'a Place, random: &mut StdRng) -> &'a str {
    // Half of all people write the main name; the rest, whatever they call the place themselves.
    if random.random_bool(0.5) {
        return &place.names[0];
    }
    place.names.choose(random).map_or("", |name| name)
}

/// One typing error: a character left out, doubled, swapped with the next, or another in its place.
fn mistyped(name: &str, random: &mut StdRng) -> String {
    let mut letters: Vec<char> = name.chars().collect();
    if letters.len() < 3 {
        return name.to_owned();
    }
    let at = random.random_range(0..letters.len() - 1);
    match random.random_range(0..4) {
        0 => drop(letters.remove(at)),
        1 => letters.insert(at, letters[at]),
        2 => letters.swap(at, at + 1),
        _ => letters[at] = letters[random.random_range(0..letters.len())],
    }
    letters.into_iter().collect()
}

fn near(place: &Place, random: &mut StdRng) -> pb::LatLng {
    let latitude = place.latitude + random.random_range(-1.0..1.0);
    let longitude = place.longitude + random.random_range(-1.0..1.0);
    pb::LatLng {
        latitude: latitude.clamp(-90.0, 90.0),
        longitude: longitude.clamp(-180.0, 180.0),
    }
}

fn message(body: &mut BytesMut, message: &impl Message) {
    frame(body, message.encoded_len(), |body| {
        message.encode(body).expect("a BytesMut grows as needed");
    });
}

/// A message of so many bytes, behind its prefix.
pub(crate) fn message_of(bytes: u32) -> Bytes {
    let mut message = BytesMut::new();
    frame(&mut message, bytes as usize, |body| {
        body.put_bytes(b'.', bytes as usize);
    });
    message.freeze()
}

fn frame(body: &mut BytesMut, len: usize, put: impl FnOnce(&mut BytesMut)) {
    body.reserve(PREFIX_BYTES + len);
    body.put_u8(0);
    body.put_u32(u32::try_from(len).expect("a message made here is far below 4 GiB"));
    put(body);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Vec<Place> {
        let names = vec!["Andorra la Vella".to_owned(), "安道爾城".to_owned()];
        let country_code = "AD".to_owned();
        vec![Place {
            id: 3_041_563,
            country_code,
            latitude: 42.5,
            longitude: 1.5,
            names,
        }]
    }

    #[test]
    fn the_same_seed_makes_the_same_calls() {
        let mix: Vec<_> = WORDS.iter().map(|(_, method, _)| (*method, 1)).collect();
        let make = |seed| -> Vec<Bytes> {
            Calls::of(&mix, &places(), 200, seed)
                .pool
                .into_iter()
                .map(|call| call.body)
                .collect()
        };
        assert_eq!(make(7), make(7));
        assert_ne!(make(7), make(8));
    }

    #[test]
    fn the_shares_of_a_mix_are_kept() {
        let mix = [(Method::GetPlace, 3), (Method::RecordVisit, 1)];
        let calls = Calls::of(&mix, &places(), 4_000, 1);
        let gets = calls.pool.iter().filter(|call| call.path == 0).count();
        assert!(
            (2_850..3_150).contains(&gets),
            "{gets} of 4000 at a share of 3 in 4"
        );
    }

    #[test]
    fn each_message_stands_behind_its_length() {
        let calls = Calls::one("/a.B/C", b"abc");
        assert_eq!(&calls.pool[0].body[..], b"\0\0\0\0\x03abc");
    }
}
