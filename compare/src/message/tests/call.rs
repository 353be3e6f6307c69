//! What differs in the call around the messages, and messages that can't be read.

use bytes::Bytes;
use prost::Message as _;

use super::*;

#[test]
fn status_details_trailers_and_counts_of_the_call() {
    let method = method();
    let base = observe(&answer(&method, &[]));
    let rules = CompareRules {
        trailers: ["x-shard", "cookie"].map(str::to_owned).into(),
        ..CompareRules::default()
    };
    let check = |change: &dyn Fn(&mut Observation), expected: &[&str]| {
        let mut other = base.clone();
        change(&mut other);
        let found = compare(&method, &rules, &base, &other, &redaction());
        assert_eq!(words(&found), expected);
    };
    check(&|_| {}, &[]);
    check(
        &|other| (other.status, other.status_message) = (5, "x".to_owned()),
        &["grpc_status status"],
    );
    check(
        &|other| other.status_message = "place 1".to_owned(),
        &["grpc_message status"],
    );
    check(&|other| other.messages.clear(), &["messages message_count"]);
    let trailer = |name: &str| (name.to_owned(), "1".to_owned());
    check(
        &|other| other.trailers.push(trailer("x-shard")),
        &["trailer.x-shard trailer"],
    );
    check(
        &|other| {
            other
                .trailers
                .extend([trailer("cookie"), trailer("x-other")])
        },
        &[],
    );
    check(
        &|other| other.details = Bytes::from_static(b"\xff"),
        &["grpc_details details"],
    );
}

#[test]
fn status_details_are_compared_as_messages() {
    let method = method();
    let with = |description: &str, extra: &[u8]| {
        let violation = tonic_types::pb::bad_request::FieldViolation {
            field: "id".to_owned(),
            description: description.to_owned(),
            ..Default::default()
        };
        let request = tonic_types::pb::BadRequest {
            field_violations: vec![violation],
        };
        let any = prost_types::Any {
            type_url: "type.googleapis.com/google.rpc.BadRequest".to_owned(),
            value: request.encode_to_vec(),
        };
        let status = tonic_types::pb::Status {
            code: 3,
            message: String::new(),
            details: vec![any],
        };
        let details = [&status.encode_to_vec()[..], extra].concat().into();
        Observation {
            status: 3,
            details,
            ..Observation::default()
        }
    };
    let rules = CompareRules::default();
    let found = compare(
        &method,
        &rules,
        &with("a", &[]),
        &with("b", &[]),
        &redaction(),
    );
    assert_eq!(
        words(&found),
        ["grpc_details[].field_violations[].description details"]
    );
    // The code a second time: other bytes, the same message.
    let found = compare(
        &method,
        &rules,
        &with("a", &[]),
        &with("a", &[8, 3]),
        &redaction(),
    );
    assert!(!found.mismatched(), "{found:?}");
}

#[test]
fn what_cannot_be_decoded_or_is_not_known_says_so() {
    let method = method();
    let raw = |bytes: &'static [u8], compressed: bool| {
        let bytes = Bytes::from_static(bytes);
        Observation {
            messages: vec![Message { compressed, bytes }],
            ..Observation::default()
        }
    };
    let diff = |one: &Observation, other: &Observation| {
        words(&compare(
            &method,
            &CompareRules::default(),
            one,
            other,
            &redaction(),
        ))
    };
    let empty = raw(b"", false);
    assert_eq!(
        diff(&empty, &raw(b"\x0a", false)),
        ["messages[] undecodable"]
    );
    assert_eq!(diff(&empty, &raw(b"x", true)), ["messages[] undecodable"]);
    // Field 100, varint 1.
    assert_eq!(
        diff(&empty, &raw(b"\xa0\x06\x01", false)),
        ["100 unknown_field"]
    );
    // 5,000 messages inside each other, as groups of the field `item`.
    let mut deep = Vec::new();
    for _ in 0..5000 {
        let mut outer = Vec::new();
        prost::encoding::bytes::encode(5, &deep, &mut outer);
        deep = outer;
    }
    let messages = vec![Message {
        compressed: false,
        bytes: deep.into(),
    }];
    assert_eq!(
        diff(
            &empty,
            &Observation {
                messages,
                ..Observation::default()
            }
        ),
        ["messages[] undecodable"]
    );
}

#[test]
fn gzip_against_plain_is_no_difference() {
    use std::io::Write;
    let method = method();
    let plain = observe(&answer(&method, &[("name", text("Andorra"))]));
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&plain.messages[0].bytes).unwrap();
    let bytes = encoder.finish().unwrap().into();
    let messages = vec![Message {
        compressed: true,
        bytes,
    }];
    let gzip = Observation {
        messages,
        encoding: Some("gzip".to_owned()),
        ..Observation::default()
    };
    assert!(
        !compare(
            &method,
            &CompareRules::default(),
            &plain,
            &gzip,
            &redaction()
        )
        .mismatched()
    );
}

#[test]
fn what_is_beyond_a_bound_is_said_with_the_arm() {
    use std::io::Write;
    let method = method();
    let raw = |bytes: Vec<u8>, compressed: bool| {
        let bytes = bytes.into();
        Observation {
            messages: vec![Message { compressed, bytes }],
            encoding: Some("gzip".to_owned()),
            ..Observation::default()
        }
    };
    let good = raw(
        answer(&method, &[("id", Value::I64(1))]).encode_to_vec(),
        false,
    );
    let check = |bad: &Observation, reason: &str| {
        let compare =
            |one, other| compare(&method, &CompareRules::default(), one, other, &redaction());
        let found = compare(&good, bad);
        assert_eq!(words(&found), ["messages[] undecodable"]);
        let difference = &found.differences[0];
        assert_eq!(difference.legacy, "");
        assert!(difference.candidate.contains(reason), "{difference:?}");
        let found = compare(bad, &good);
        assert_eq!(found.differences[0].candidate, "");
        assert!(found.differences[0].legacy.contains(reason), "{found:?}");
        // One arm alone says nothing about the descriptors.
        assert_eq!(found.misfit, None);
    };
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&vec![0; 20 << 20]).unwrap();
    check(&raw(encoder.finish().unwrap(), true), "larger than");
    // Ten thousand groups, each inside the one before.
    check(&raw(vec![0x0b; 10_000], false), "");
    let groups = [[0xa3, 0x06].repeat(10_000), [0xa4, 0x06].repeat(10_000)].concat();
    check(&raw(groups, false), "recursion limit");
}

#[test]
fn descriptors_that_fit_neither_arm_are_told_apart_from_a_wrong_candidate() {
    let method = method();
    let misfit = |one: &'static [u8], other: &'static [u8]| {
        let [one, other] = [one, other].map(|bytes| Observation {
            messages: vec![Message {
                compressed: false,
                bytes: Bytes::from_static(bytes),
            }],
            ..Observation::default()
        });
        compare(
            &method,
            &CompareRules::default(),
            &one,
            &other,
            &redaction(),
        )
        .misfit
    };
    // Field 1 is a number: here it has 4 bytes, and then a text.
    assert_eq!(misfit(b"\x0d1234", b"\x0a\x01a"), Some(Misfit::Undecodable));
    assert_eq!(misfit(b"\x08\x01", b"\x0a\x01a"), None);
    // Fields 100 and 101, which no descriptor has, beside field 1.
    let (one, other) = (
        b"\xa0\x06\x01\xa8\x06\x01\x08\x01",
        b"\xa0\x06\x02\xa8\x06\x01\x08\x01",
    );
    assert_eq!(misfit(one, other), Some(Misfit::UnknownFields));
    assert_eq!(misfit(one, b"\xa0\x06\x02\x08\x01"), None);
    // What is equal doesn't decode: field 1 is a text in both, and only field 100 differs.
    assert_eq!(
        misfit(b"\x0a\x01a\xa0\x06\x01", b"\x0a\x01a\xa0\x06\x02"),
        Some(Misfit::Undecodable)
    );
    // More is known than unknown, though only the unknown differs.
    assert_eq!(
        misfit(
            b"\xa0\x06\x01\x08\x01\x20\x01",
            b"\xa0\x06\x02\x08\x01\x20\x01"
        ),
        None
    );
}
