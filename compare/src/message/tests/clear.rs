//! What must not be stored is gone from a message, at any depth; the rest stays byte for byte.

use prost::Message as _;
use prost_reflect::{DynamicMessage, Value};

use super::{answer, method, paths, text};
use crate::message::clear::{Cleared, clear_redacted};
use crate::observation::Message;
use cutover_manifest::CompareRules;

fn cleared(rules: &CompareRules, message: &DynamicMessage) -> Cleared {
    let message = Message {
        compressed: false,
        bytes: message.encode_to_vec().into(),
    };
    clear_redacted(&method().output, rules, &message, None).unwrap()
}

/// What is left, and how many fields were cleared, are as expected.
fn check(cleared: &Cleared, left: &DynamicMessage, fields: usize) {
    assert_eq!(&cleared.bytes[..], left.encode_to_vec());
    assert_eq!(cleared.fields, fields);
}

fn redact<const N: usize>(fields: [&str; N]) -> CompareRules {
    CompareRules {
        redact: paths(fields),
        ..CompareRules::default()
    }
}

#[test]
fn a_message_without_anything_to_clear_stays_as_it_came() {
    // Fields in an order that no encoder writes: 4 before 1.
    let bytes = bytes::Bytes::from_static(&[0x20, 7, 0x08, 5]);
    let message = Message {
        compressed: false,
        bytes: bytes.clone(),
    };
    let rules = redact(["name"]);
    let kept = clear_redacted(&method().output, &rules, &message, None).unwrap();
    assert_eq!(kept, Cleared { bytes, fields: 0 });
}

#[test]
fn clears_what_is_marked_debug_redact_without_any_rule() {
    let method = method();
    let inner = answer(&method, &[("secret", text("deep")), ("id", Value::I64(2))]);
    let outer = [
        ("secret", text("shallow")),
        ("item", Value::List(vec![Value::Message(inner)])),
    ];
    let cleared = cleared(&CompareRules::default(), &answer(&method, &outer));
    let kept = answer(&method, &[("id", Value::I64(2))]);
    let left = answer(
        &method,
        &[("item", Value::List(vec![Value::Message(kept)]))],
    );
    check(&cleared, &left, 2);
}

#[test]
fn clears_what_rules_list_with_everything_below_it_and_nothing_else() {
    let method = method();
    let named = |name: &str| answer(&method, &[("name", text(name))]);
    let around = |inside: DynamicMessage| {
        let item = Value::List(vec![Value::Message(inside)]);
        answer(&method, &[("name", text("outside")), ("item", item)])
    };
    let message = around(named("inside"));
    let without = around(answer(&method, &[]));
    check(&cleared(&redact(["item[].name"]), &message), &without, 1);
    check(&cleared(&redact(["item"]), &message), &named("outside"), 1);
}

#[test]
fn looks_into_any_where_its_type_is_known_and_clears_it_where_it_is_not() {
    let method = method();
    let any = method.output.get_field_by_name("any").unwrap();
    let packed = |name: &str, bytes: Vec<u8>| {
        let mut value = DynamicMessage::new(any.kind().as_message().unwrap().clone());
        value.set_field_by_number(1, text(&format!("type.googleapis.com/{name}")));
        value.set_field_by_number(2, Value::Bytes(bytes.into()));
        answer(&method, &[("any", Value::Message(value))])
    };
    let inner = |secret: bool| {
        let mut fields = vec![("id", Value::I64(3))];
        if secret {
            fields.push(("secret", text("hidden")));
        }
        answer(&method, &fields).encode_to_vec()
    };
    let known = cleared(&CompareRules::default(), &packed("t.Answer", inner(true)));
    check(&known, &packed("t.Answer", inner(false)), 1);
    let unknown = cleared(&CompareRules::default(), &packed("t.Unknown", inner(true)));
    let mut left = DynamicMessage::new(any.kind().as_message().unwrap().clone());
    left.set_field_by_number(1, text("type.googleapis.com/t.Unknown"));
    check(
        &unknown,
        &answer(&method, &[("any", Value::Message(left))]),
        1,
    );
}

#[test]
fn bytes_that_are_no_such_message_are_refused() {
    let message = Message {
        compressed: false,
        bytes: bytes::Bytes::from_static(&[0x0a, 200]),
    };
    let refused = clear_redacted(&method().output, &CompareRules::default(), &message, None);
    assert!(refused.is_err());
}
