//! What goes wrong when Python is ported to Rust, on answers of the gazetteer: each hazard must be
//! named by field and kind, and a clean candidate must not be.

use cutover_compare::{Descriptors, Message, Observation, Redaction, compare};
use cutover_manifest::{CompareRules, FieldPath};
use cutover_proto::gazetteer::v1::{LatLng, ListPlacesResponse, Place};
use cutover_proto::gazetteer::v1::{SearchPlacesResponse, SearchResult};

fn messages<M: prost::Message>(all: &[M]) -> Observation {
    let message = |message: &M| Message {
        compressed: false,
        bytes: message.encode_to_vec().into(),
    };
    Observation {
        messages: all.iter().map(message).collect(),
        ..Observation::default()
    }
}

fn place(id: i64, name: &str) -> Place {
    Place {
        id,
        name: name.to_owned(),
        country_code: "AD".to_owned(),
        timezone: "Europe/Andorra".to_owned(),
        location: Some(LatLng {
            latitude: 42.5,
            longitude: -0.0,
        }),
        population: 20_430,
    }
}

fn search() -> SearchPlacesResponse {
    let result = |(id, name): (i64, &str)| SearchResult {
        place: Some(place(id, name)),
        score: 0.1 + 0.2 + 1.0 / id as f64,
        matched_name: name.to_owned(),
    };
    SearchPlacesResponse {
        results: [(1, "Stra\u{df}e"), (2, "Vil\u{e0}"), (3, "Encamp")]
            .map(result)
            .into(),
        search_id: "5f".repeat(16),
    }
}

/// The differences between two answers of a method, as "path kind".
fn named(method: &str, legacy: &Observation, candidate: &Observation) -> Vec<String> {
    let descriptors =
        Descriptors::decode(cutover_proto::gazetteer::FILE_DESCRIPTOR_SET).expect("a valid set");
    let method = descriptors
        .method(&format!("/gazetteer.v1.GazetteerService/{method}"))
        .expect("a method of the gazetteer");
    let ignore = ["search_id"]
        .map(|path| FieldPath::parse(path).expect("a path"))
        .into();
    let rules = CompareRules {
        ignore,
        ..CompareRules::default()
    };
    let found = compare(method, &rules, legacy, candidate, &Redaction::new([3; 16]));
    found
        .differences
        .iter()
        .map(|found| format!("{} {}", found.path, found.kind))
        .collect()
}

fn check(change: impl Fn(&mut SearchPlacesResponse), expected: &[&str]) {
    let mut other = search();
    change(&mut other);
    let found = named("SearchPlaces", &messages(&[search()]), &messages(&[other]));
    assert_eq!(found, expected);
}

#[test]
fn a_clean_candidate_is_not_flagged() {
    check(|_| {}, &[]);
    check(|other| other.search_id = "a random one".to_owned(), &[]);
    let location = |other: &mut SearchPlacesResponse, location| {
        other.results[0].place.get_or_insert_default().location = location;
    };
    check(
        |other| {
            location(
                other,
                Some(LatLng {
                    latitude: 42.5,
                    longitude: 0.0,
                }),
            )
        },
        &[],
    );
    let unset = "results[].place.location missing";
    check(|other| location(other, None), &[unset]);
}

#[test]
fn hazards_of_search_are_named() {
    let score = "results[].score value";
    // The same sum in another order, off by one unit in the last place.
    check(
        |other| other.results[0].score = other.results[0].score.next_up(),
        &[score],
    );
    check(
        |other| other.results[1].score = other.results[1].score.round(),
        &[score],
    );
    let ranking = "results order";
    check(|other| other.results.swap(1, 2), &[ranking]);
    let name = "results[].matched_name value";
    check(
        |other| other.results[0].matched_name = "strasse".to_owned(),
        &[name],
    );
    check(
        |other| other.results[1].matched_name = "Vila\u{300}".to_owned(),
        &[name],
    );
    let cut = ["results length", "results[] missing"];
    check(|other| other.results.truncate(2), &cut);
    let overflown = "results[].place.population value";
    check(
        |other| other.results[2].place.get_or_insert_default().population = i64::from(i32::MIN),
        &[overflown],
    );
    let empty = [cut[0], cut[1], cut[1], cut[1]];
    check(|other| other.results.clear(), &empty);
}

#[test]
fn hazards_of_streams_and_errors_are_named() {
    let page = |page| ListPlacesResponse {
        places: vec![place(i64::from(page) + 1, "Canillo")],
        page,
    };
    let whole = messages(&[page(0), page(1), page(2)]);
    let cut = messages(&[page(0), page(1)]);
    assert_eq!(
        named("ListPlaces", &whole, &cut),
        ["messages message_count"]
    );
    let not_found = Observation {
        status: 5,
        status_message: "place ID not found".to_owned(),
        ..Observation::default()
    };
    let unknown = Observation {
        status: 2,
        status_message: "KeyError(7)".to_owned(),
        ..Observation::default()
    };
    assert_eq!(
        named("GetPlace", &not_found, &unknown),
        ["grpc_status status"]
    );
    assert!(named("GetPlace", &not_found, &not_found).is_empty());
    let late = Observation {
        status: 4,
        ..Observation::default()
    };
    assert_eq!(named("ListPlaces", &late, &whole), ["grpc_status status"]);
}
