//! What holds for all messages.

use proptest::prelude::*;
use prost::Message as _;
use prost_reflect::{MapKey, Value};

use super::*;

/// Any answer, two levels deep.
fn any_answer() -> impl Strategy<Value = DynamicMessage> {
    let flat = (
        any::<i64>(),
        any::<f64>(),
        ".{0,8}",
        prop::option::of(any::<i32>()),
        prop::collection::hash_map("[a-d]{1,2}", any::<i32>(), 0..4),
    );
    let flat = flat.prop_map(|(id, score, name, maybe, labels)| {
        let labels = labels
            .into_iter()
            .map(|(key, value)| (MapKey::String(key), Value::I32(value)));
        let mut fields = vec![
            ("id", Value::I64(id)),
            ("score", Value::F64(score)),
            ("name", Value::String(name)),
            ("label", Value::Map(labels.collect())),
        ];
        fields.extend(maybe.map(|maybe| ("maybe", Value::I32(maybe))));
        fields
    });
    let fields = prop::collection::vec(flat, 1..4);
    fields.prop_map(|all| {
        let method = method();
        let items = all[1..]
            .iter()
            .map(|fields| Value::Message(answer(&method, fields)));
        let mut outer = answer(&method, &all[0]);
        outer.set_field_by_name("item", Value::List(items.collect()));
        outer
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_message_equals_itself_however_it_is_encoded(message in any_answer()) {
        let method = method();
        // Re-reading fills the maps anew, so their entries come in another order; a default that
        // is written out in full changes the bytes as well.
        let again = DynamicMessage::decode(method.output.clone(), &message.encode_to_vec()[..]).unwrap();
        let mut bytes = vec![0x08, 0x00];
        bytes.extend(again.encode_to_vec());
        let again = Observation {
            messages: vec![Message { compressed: false, bytes: bytes.into() }],
            ..Observation::default()
        };
        let found = compare(&method, &CompareRules::default(), &observe(&message), &again, &redaction());
        prop_assert!(!found.mismatched(), "{:?}", found);
    }

    #[test]
    fn swapping_the_arms_swaps_missing_and_extra_only(one in any_answer(), other in any_answer()) {
        let method = method();
        let rules = CompareRules { capture_values: true, ..CompareRules::default() };
        let (one, other) = (observe(&one), observe(&other));
        let swap = |mut found: crate::Difference| {
            std::mem::swap(&mut found.legacy, &mut found.candidate);
            found.kind = match found.kind {
                Kind::Missing => Kind::Extra,
                Kind::Extra => Kind::Missing,
                kind => kind,
            };
            format!("{found:?}")
        };
        let there = compare(&method, &rules, &one, &other, &redaction());
        let back = compare(&method, &rules, &other, &one, &redaction());
        prop_assert_eq!(there.dropped, back.dropped);
        let mut there: Vec<_> = there.differences.iter().map(|found| format!("{found:?}")).collect();
        let mut back: Vec<_> = back.differences.into_iter().map(swap).collect();
        there.sort_unstable();
        back.sort_unstable();
        prop_assert_eq!(there, back);
    }

    #[test]
    fn garbage_never_panics(one in prop::collection::vec(any::<u8>(), 0..64), other in prop::collection::vec(any::<u8>(), 0..64)) {
        let method = method();
        let observe = |bytes: &[u8]| Observation {
            messages: vec![Message { compressed: false, bytes: bytes.to_vec().into() }],
            details: bytes.to_vec().into(),
            ..Observation::default()
        };
        let (same, different) = (one == other, (observe(&one), observe(&other)));
        let found = compare(&method, &CompareRules::default(), &different.0, &different.1, &redaction());
        prop_assert!(!same || !found.mismatched());
    }
}
