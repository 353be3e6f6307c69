//! Whole comparisons: each kind of difference with its negative twin. One file, so that the twins
//! of all kinds stand side by side.

mod call;
mod clear;
mod properties;
mod proto2;
pub(super) mod schema;

use std::collections::{BTreeMap, BTreeSet};

use cutover_manifest::{FieldPath, Normalization, Tolerance};
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

#[test]
fn what_is_equal_but_for_where_a_field_sits_is_not_equal() {
    let method = method();
    let item = |inner: &[(&str, Value)], outer: &[(&str, Value)]| {
        let inner = Value::List(vec![Value::Message(answer(&method, inner))]);
        let mut outer = answer(&method, outer);
        outer.set_field_by_name("item", inner);
        [("item", Value::List(vec![Value::Message(outer)]))]
    };
    let tag = [("tag", Value::List(vec![text("a")]))];
    assert_eq!(
        exact(&item(&tag, &[]), &item(&[], &tag)),
        [
            "item[].item[].tag length",
            "item[].item[].tag[] missing",
            "item[].tag length",
            "item[].tag[] extra"
        ]
    );
}

/// An `Any` in an `Any` in an `Any`, …
fn nested_any(method: &Method, levels: usize, innermost: u8) -> [(&'static str, Value); 1] {
    let mut bytes = vec![innermost];
    for _ in 0..levels {
        let [(_, any)] = pack(method, "google.protobuf.Any", bytes);
        bytes = any.as_message().unwrap().encode_to_vec();
    }
    pack(method, "google.protobuf.Any", bytes)
}

#[test]
fn nesting_beyond_the_bound_is_reported_and_does_no_harm() {
    let method = method();
    assert_eq!(
        exact(&nested_any(&method, 20, 1), &nested_any(&method, 20, 2)),
        ["any value"]
    );
    let (one, other) = (nested_any(&method, 400, 1), nested_any(&method, 400, 2));
    assert_eq!(exact(&one, &other), ["any undecodable"]);
    let list = |fields: &[(&str, Value)]| {
        [(
            "item",
            Value::List(vec![Value::Message(answer(&method, fields))]),
        )]
    };
    assert_eq!(
        exact(&list(&one), &list(&other)),
        ["item[].any undecodable"]
    );
    assert!(exact(&list(&one), &list(&one)).is_empty());
}

#[test]
fn rules_hold_for_the_form_of_texts_wherever_they_are() {
    let method = method();
    let normalize = |path: &str| CompareRules {
        normalize: [(
            FieldPath::parse(path).unwrap(),
            [Normalization::Case, Normalization::Trim].into(),
        )]
        .into(),
        ..CompareRules::default()
    };
    let name = |name: &str| [("name", text(name))];
    let items = |names: &[&str]| {
        let item = |n: &&str| Value::Message(answer(&method, &name(n)));
        [("item", Value::List(names.iter().map(item).collect()))]
    };
    let rules = normalize("name");
    assert!(diff(&rules, &name(" Straße"), &name("STRASSE ")).is_empty());
    assert_eq!(diff(&rules, &name("a"), &name("b")), ["name value"]);
    assert_eq!(exact(&name("a"), &name("A")), ["name value"]);
    assert_eq!(
        diff(&rules, &items(&["a"]), &items(&["A"])),
        ["item[].name value"]
    );
    let mut rules = normalize("item");
    assert!(diff(&rules, &items(&["a", "b"]), &items(&["A", "B"])).is_empty());
    assert_eq!(
        diff(&rules, &items(&["a", "b"]), &items(&["B", "A"])),
        ["item order"]
    );
    rules.unordered = paths(["item"]);
    assert!(diff(&rules, &items(&["a", "b"]), &items(&["B", "A"])).is_empty());
}

#[test]
fn an_unordered_list_of_floats_is_matched_within_its_tolerance() {
    let list = |values: &[f64]| {
        let values = values.iter().map(|value| Value::F64(*value));
        [("sample", Value::List(values.collect()))]
    };
    let tolerance = Tolerance {
        relative: 0.0,
        absolute: 0.1,
    };
    let rules = CompareRules {
        tolerance: [(FieldPath::parse("sample").unwrap(), tolerance)].into(),
        unordered: paths(["sample"]),
        ..CompareRules::default()
    };
    assert!(
        diff(
            &rules,
            &list(&[-1.0, 2.0, 1.0]),
            &list(&[2.05, 0.95, -1.05])
        )
        .is_empty()
    );
    let found = diff(&rules, &list(&[1.0, 2.0]), &list(&[2.05, 0.5]));
    assert_eq!(found, ["sample[] value"]);
}

#[test]
fn an_ignored_case_of_a_oneof_counts_as_unset_on_either_side() {
    let (number, words) = ([("number", Value::I32(1))], [("text", text("a"))]);
    let ignore = |path| CompareRules {
        ignore: paths([path]),
        ..CompareRules::default()
    };
    assert_eq!(diff(&ignore("number"), &number, &words), ["text extra"]);
    assert_eq!(diff(&ignore("number"), &words, &number), ["text missing"]);
    assert_eq!(diff(&ignore("text"), &number, &words), ["number missing"]);
    assert!(diff(&ignore("choice"), &number, &words).is_empty());
}

#[test]
fn a_field_that_the_descriptors_do_not_have_stands_under_its_number() {
    let method = method();
    let raw = |bytes: &'static [u8]| Observation {
        messages: vec![Message {
            compressed: false,
            bytes: bytes::Bytes::from_static(bytes),
        }],
        ..Observation::default()
    };
    // Field 100 with 1 and 2; and the same in an `item`.
    let (one, other) = (raw(b"\xa0\x06\x01"), raw(b"\xa0\x06\x02"));
    let (in_one, in_other) = (raw(b"\x2a\x03\xa0\x06\x01"), raw(b"\x2a\x03\xa0\x06\x02"));
    let diff = |ignored: &[&str], one: &Observation, other: &Observation| {
        let ignore = ignored.iter().map(|path| FieldPath::parse(path).unwrap());
        let rules = CompareRules {
            ignore: ignore.collect(),
            ..CompareRules::default()
        };
        words(&compare(&method, &rules, one, other, &redaction()))
    };
    assert_eq!(diff(&[], &one, &other), ["100 unknown_field"]);
    assert_eq!(diff(&[], &in_one, &in_other), ["item[].100 unknown_field"]);
    assert!(diff(&["100"], &one, &other).is_empty());
    assert!(diff(&["item[].100"], &in_one, &in_other).is_empty());
}
