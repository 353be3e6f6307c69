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
    assert_eq!(diff(&empty, &raw(b"\x0a", false)), [" undecodable"]);
    assert_eq!(diff(&empty, &raw(b"x", true)), [" undecodable"]);
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
        [" undecodable"]
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
