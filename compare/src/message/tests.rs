//! Whole comparisons: each kind of difference with its negative twin.

mod properties;
mod schema;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use cutover_manifest::{FieldPath, Tolerance};
use prost::Message as _;
use prost_reflect::{MapKey, Value};

use super::*;
use crate::MAX_DIFFERENCES;
use schema::method;

/// An answer from field names and values.
fn answer(method: &Method, fields: &[(&str, Value)]) -> DynamicMessage {
    let mut message = DynamicMessage::new(method.output.clone());
    for (name, value) in fields {
        message.set_field_by_name(name, value.clone());
    }
    message
}

fn observe(message: &DynamicMessage) -> Observation {
    let bytes = message.encode_to_vec().into();
    Observation {
        messages: vec![Message {
            compressed: false,
            bytes,
        }],
        ..Observation::default()
    }
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn paths<const N: usize>(paths: [&str; N]) -> BTreeSet<FieldPath> {
    paths
        .into_iter()
        .map(|path| FieldPath::parse(path).unwrap())
        .collect()
}

fn redaction() -> Redaction {
    Redaction::new([7; 16])
}

/// The differences as "path kind", in order.
fn diff(rules: &CompareRules, one: &[(&str, Value)], other: &[(&str, Value)]) -> Vec<String> {
    let method = method();
    let [one, other] = [one, other].map(|fields| observe(&answer(&method, fields)));
    words(&compare(&method, rules, &one, &other, &redaction()))
}

fn words(comparison: &Comparison) -> Vec<String> {
    let word = |found: &crate::Difference| format!("{} {}", found.path, found.kind);
    comparison.differences.iter().map(word).collect()
}

fn exact(one: &[(&str, Value)], other: &[(&str, Value)]) -> Vec<String> {
    diff(&CompareRules::default(), one, other)
}

#[test]
fn unset_equals_default_but_not_where_presence_matters() {
    assert!(exact(&[("id", Value::I64(0))], &[]).is_empty());
    assert_eq!(exact(&[("maybe", Value::I32(0))], &[]), ["maybe missing"]);
    assert_eq!(exact(&[], &[("maybe", Value::I32(0))]), ["maybe extra"]);
    assert_eq!(
        exact(&[("id", Value::I64(1))], &[("id", Value::I64(2))]),
        ["id value"]
    );
}

#[test]
fn another_case_of_a_oneof_is_one_difference() {
    let (number, words) = ([("number", Value::I32(0))], [("text", text(""))]);
    assert_eq!(exact(&number, &words), ["choice type"]);
    assert_eq!(exact(&words, &number), ["choice type"]);
    assert_eq!(exact(&number, &[]), ["number missing"]);
}

#[test]
fn floats_follow_their_tolerance_and_say_what_would_have_sufficed() {
    let score = |value: f64| [("score", Value::F64(value))];
    assert!(exact(&score(f64::NAN), &score(f64::NAN)).is_empty());
    let tolerance = Tolerance {
        relative: 1e-9,
        absolute: 0.0,
    };
    let tolerance = BTreeMap::from([(FieldPath::parse("score").unwrap(), tolerance)]);
    let rules = CompareRules {
        tolerance,
        ..CompareRules::default()
    };
    assert!(diff(&rules, &score(1.0), &score(1.0 + 1e-10)).is_empty());
    assert_eq!(diff(&rules, &score(1.0), &score(1.1)), ["score value"]);
    let method = method();
    let [one, other] = [1.0, 1.1].map(|value| observe(&answer(&method, &score(value))));
    let found = compare(&method, &rules, &one, &other, &redaction()).differences;
    let share = found[0].sufficient_relative.unwrap();
    assert!((share - 0.1 / 1.1).abs() < 1e-12, "{share}");
    assert_ne!(found[0].legacy, found[0].candidate);
}

#[test]
fn a_list_of_floats_matches_within_its_tolerance() {
    let list = |values: &[f64]| {
        [(
            "sample",
            Value::List(values.iter().map(|value| Value::F64(*value)).collect()),
        )]
    };
    let tolerance = Tolerance {
        relative: 0.0,
        absolute: 0.1,
    };
    let tolerance = BTreeMap::from([(FieldPath::parse("sample[]").unwrap(), tolerance)]);
    let rules = CompareRules {
        tolerance,
        ..CompareRules::default()
    };
    assert!(diff(&rules, &list(&[1.0, 2.0]), &list(&[1.05, 1.95])).is_empty());
    assert_eq!(
        diff(&rules, &list(&[1.0, 2.0]), &list(&[1.0, 2.5])),
        ["sample[] value"]
    );
}

#[test]
fn lists_tell_order_length_and_value_apart() {
    let list = |values: &[&str]| [("tag", Value::List(values.iter().map(|v| text(v)).collect()))];
    let check = |one: &[&str], other: &[&str], expected: &[&str]| {
        assert_eq!(
            exact(&list(one), &list(other)),
            expected,
            "{one:?} {other:?}"
        );
    };
    check(&["a", "b"], &["a", "b"], &[]);
    check(&["a", "b"], &["b", "a"], &["tag order"]);
    check(&["a", "b"], &["a"], &["tag length", "tag[] missing"]);
    check(&["b"], &["a", "b"], &["tag length", "tag[] extra"]);
    check(&["a", "b"], &["a", "c"], &["tag[] value"]);
    check(
        &["a", "b", "c"],
        &["c", "b", "x"],
        &["tag order", "tag[] value"],
    );
    let rules = CompareRules {
        unordered: paths(["tag"]),
        ..CompareRules::default()
    };
    assert!(diff(&rules, &list(&["a", "b"]), &list(&["b", "a"])).is_empty());
    assert_eq!(
        diff(&rules, &list(&["a", "b"]), &list(&["b", "c"])),
        ["tag[] value"]
    );
    assert_eq!(
        diff(&rules, &list(&["a", "a"]), &list(&["a"])),
        ["tag length", "tag[] missing"]
    );
}

#[test]
fn keyed_lists_match_by_key_whatever_the_order() {
    let method = method();
    let items = |items: &[(i64, &str)]| {
        let item = |(id, name): &(i64, &str)| {
            Value::Message(answer(
                &method,
                &[("id", Value::I64(*id)), ("name", text(name))],
            ))
        };
        [("item", Value::List(items.iter().map(item).collect()))]
    };
    let keyed = BTreeMap::from([(FieldPath::parse("item").unwrap(), vec!["id".to_owned()])]);
    let rules = CompareRules {
        keyed,
        ..CompareRules::default()
    };
    let (one, other) = (items(&[(1, "a"), (2, "b")]), items(&[(2, "x"), (1, "a")]));
    assert_eq!(diff(&rules, &one, &other), ["item[].name value"]);
    assert_eq!(
        diff(&rules, &one, &items(&[(2, "b"), (3, "c")])),
        ["item[] missing", "item[] extra"]
    );
    assert_eq!(
        exact(&one, &items(&[(1, "a"), (2, "x")])),
        ["item[].name value"]
    );
}

#[test]
fn maps_have_no_order() {
    let map = |entries: &[(&str, i32)]| {
        let entry =
            |(key, value): &(&str, i32)| (MapKey::String((*key).to_owned()), Value::I32(*value));
        [("label", Value::Map(entries.iter().map(entry).collect()))]
    };
    assert!(exact(&map(&[("a", 1), ("b", 2)]), &map(&[("b", 2), ("a", 1)])).is_empty());
    assert_eq!(
        exact(&map(&[("a", 1), ("b", 2)]), &map(&[("a", 3), ("c", 2)])),
        ["label[] value", "label[] missing", "label[] extra"]
    );
}

#[test]
fn ignored_fields_do_not_count_at_any_depth() {
    let method = method();
    let nested = |name: &str| {
        let item = answer(&method, &[("name", text(name))]);
        [
            ("item", Value::List(vec![Value::Message(item)])),
            ("name", text("same")),
        ]
    };
    assert_eq!(exact(&nested("a"), &nested("b")), ["item[].name value"]);
    for ignored in ["item[].name", "item", "*.name"] {
        let rules = CompareRules {
            ignore: paths([ignored]),
            ..CompareRules::default()
        };
        assert!(
            diff(&rules, &nested("a"), &nested("b")).is_empty(),
            "{ignored}"
        );
    }
    let rules = CompareRules {
        ignore: paths(["name"]),
        ..CompareRules::default()
    };
    assert_eq!(
        diff(&rules, &nested("a"), &nested("b")),
        ["item[].name value"]
    );
}

fn pack(method: &Method, type_name: &str, bytes: Vec<u8>) -> [(&'static str, Value); 1] {
    let any = method
        .output
        .parent_pool()
        .get_message_by_name("google.protobuf.Any")
        .unwrap();
    let mut message = DynamicMessage::new(any);
    message.set_field_by_name(
        "type_url",
        text(&format!("type.googleapis.com/{type_name}")),
    );
    message.set_field_by_name("value", Value::Bytes(bytes.into()));
    [("any", Value::Message(message))]
}

#[test]
fn any_is_unpacked_where_its_type_is_known() {
    let method = method();
    let known = |name: &str| {
        pack(
            &method,
            "t.Answer",
            answer(&method, &[("name", text(name))]).encode_to_vec(),
        )
    };
    assert_eq!(exact(&known("a"), &known("b")), ["any.name value"]);
    let unknown = |byte: u8| pack(&method, "t.Nowhere", vec![byte]);
    assert_eq!(exact(&unknown(1), &unknown(2)), ["any value"]);
    assert!(exact(&unknown(1), &unknown(1)).is_empty());
    assert_eq!(exact(&known("a"), &unknown(1)), ["any type"]);
    assert_eq!(
        exact(&known("a"), &pack(&method, "t.Answer", vec![0xff])),
        ["any undecodable"]
    );
}

#[test]
fn field_masks_are_sets() {
    let method = method();
    let mask = |paths: &[&str]| {
        let pool = method.output.parent_pool();
        let mut mask = DynamicMessage::new(
            pool.get_message_by_name("google.protobuf.FieldMask")
                .unwrap(),
        );
        mask.set_field_by_name(
            "paths",
            Value::List(paths.iter().map(|path| text(path)).collect()),
        );
        [("mask", Value::Message(mask))]
    };
    assert!(exact(&mask(&["a", "b"]), &mask(&["b", "a", "a"])).is_empty());
    assert_eq!(exact(&mask(&["a"]), &mask(&["b"])), ["mask value"]);
}

#[test]
fn values_are_hashes_unless_captured_and_never_where_redacted() {
    let method = method();
    let fields = |name: &str| {
        [
            ("name", text(name)),
            ("secret", text(name)),
            ("text", text(name)),
        ]
    };
    let [one, other] = ["Andorra", "Monaco"].map(|name| observe(&answer(&method, &fields(name))));
    let values = |rules: &CompareRules| {
        let found = compare(&method, rules, &one, &other, &redaction());
        found
            .differences
            .into_iter()
            .map(|found| (found.path, found.legacy))
            .collect::<BTreeMap<_, _>>()
    };
    assert!(
        values(&CompareRules::default())
            .values()
            .all(|value| value.starts_with('#'))
    );
    let rules = CompareRules {
        capture_values: true,
        redact: paths(["text"]),
        ..CompareRules::default()
    };
    let values = values(&rules);
    assert_eq!(values["name"], "Andorra");
    assert_eq!(values["text"], redaction().hash(b"Andorra"));
    assert_eq!(values["secret"], values["text"]);
}

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
        [" unknown_field"]
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

#[test]
fn a_thousand_wrong_elements_do_not_hide_the_next_field() {
    let list = |suffix: &str| {
        let tags = (0..1000).map(|i| text(&format!("{i}{suffix}"))).collect();
        [("tag", Value::List(tags)), ("text", text(suffix))]
    };
    let method = method();
    let [one, other] = ["a", "b"].map(|suffix| observe(&answer(&method, &list(suffix))));
    let found = compare(
        &method,
        &CompareRules::default(),
        &one,
        &other,
        &redaction(),
    );
    assert_eq!(
        words(&found),
        ["tag[] value", "tag[] value", "tag[] value", "text value"]
    );
    assert_eq!(found.dropped, 997);
    assert!(found.differences.len() <= MAX_DIFFERENCES);
}
