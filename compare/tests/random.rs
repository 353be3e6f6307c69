//! What holds for every message of every schema: it equals itself however it is encoded, a diff
//! says the same from both sides, and it explains exactly what was changed.
#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]

#[path = "random/encode.rs"]
mod encode;
#[path = "random/leaves.rs"]
mod leaves;
#[path = "random/schema.rs"]
mod schema;

use std::collections::BTreeSet;

use cutover_compare::{
    Comparison, Kind, MAX_DIFFERENCES, Message, Method, Observation, Redaction, compare,
};
use cutover_manifest::{CompareRules, FieldPath};
use proptest::prelude::*;
use prost::Message as _;
use prost_reflect::DynamicMessage;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

fn observe(bytes: Vec<u8>) -> Observation {
    Observation {
        messages: vec![Message {
            compressed: false,
            bytes: bytes.into(),
        }],
        ..Observation::default()
    }
}

fn diff(method: &Method, rules: &CompareRules, one: &[u8], other: &[u8]) -> Comparison {
    let [one, other] = [one, other].map(|bytes| observe(bytes.to_vec()));
    compare(method, rules, &one, &other, &Redaction::new([1; 16]))
}

fn covers(path: &str, leaf: &str) -> bool {
    FieldPath::parse(path).is_ok_and(|path| path.covers(leaf))
}

/// Rules that name some of the message's leaves.
fn any_rules(rng: &mut StdRng, message: &DynamicMessage) -> CompareRules {
    let mut rules = CompareRules::default();
    for leaf in leaves::all(message) {
        let path = FieldPath::parse(&leaf.path).unwrap();
        match rng.random_range(0..6) {
            0 => drop(rules.ignore.insert(path)),
            1 => drop(rules.unordered.insert(path)),
            2 => drop(rules.keyed.insert(path, vec!["f1".to_owned()])),
            _ => {}
        }
    }
    rules
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_message_equals_itself_however_it_is_encoded(seed: u64) {
        let rng = &mut StdRng::seed_from_u64(seed);
        let method = schema::method(rng);
        let message = schema::answer(rng, &method);
        let rules = any_rules(rng, &message);
        let [one, other] = [0, 1].map(|_| encode::any(rng, &message));
        for rules in [&rules, &CompareRules::default()] {
            for (one, other) in [(&one, &other), (&message.encode_to_vec(), &one)] {
                let found = diff(&method, rules, one, other);
                prop_assert!(!found.mismatched(), "{found:?} in {message}");
                prop_assert_eq!(found.misfit, None);
            }
        }
    }

    #[test]
    fn a_diff_says_the_same_from_both_sides(seed: u64) {
        let rng = &mut StdRng::seed_from_u64(seed);
        let method = schema::method(rng);
        let [one, other] = [0, 1].map(|_| schema::answer(rng, &method));
        let rules = any_rules(rng, &one);
        let [one, other] = [&one, &other].map(|message| encode::any(rng, message));
        let there = diff(&method, &rules, &one, &other);
        let mut back = diff(&method, &rules, &other, &one);
        for found in &mut back.differences {
            std::mem::swap(&mut found.legacy, &mut found.candidate);
            found.kind = match found.kind {
                Kind::Missing => Kind::Extra,
                Kind::Extra => Kind::Missing,
                kind => kind,
            };
        }
        prop_assert_eq!(there.dropped, back.dropped);
        // At the bound, the side that comes first decides which are kept.
        prop_assume!(there.differences.len() < MAX_DIFFERENCES);
        let words = |found: Comparison| {
            let mut words: Vec<String> = found.differences.iter().map(|d| format!("{d:?}")).collect();
            words.sort_unstable();
            words
        };
        prop_assert_eq!(words(there), words(back));
    }

    #[test]
    fn a_diff_explains_what_was_changed_and_nothing_else(seed: u64) {
        let rng = &mut StdRng::seed_from_u64(seed);
        let method = schema::method(rng);
        let message = schema::answer(rng, &method);
        let mut changed = message.clone();
        let all = leaves::all(&message);
        let wanted = rng.random_range(0..=all.len().min(8));
        let chosen: BTreeSet<usize> = rand::seq::index::sample(rng, all.len(), wanted).into_iter().collect();
        for (fresh, index) in (1000u32..).zip(&chosen) {
            leaves::change(&mut changed, &all[*index], fresh);
        }
        let found = diff(&method, &CompareRules::default(), &encode::any(rng, &message), &encode::any(rng, &changed));
        let leaf = |index: &usize| all[*index].path.as_str();
        for index in &chosen {
            let explained = found.differences.iter().any(|d| covers(&d.path, leaf(index)));
            prop_assert!(explained, "{} is not in {found:?}", leaf(index));
        }
        for difference in &found.differences {
            let real = chosen.iter().any(|index| covers(&difference.path, leaf(index)));
            prop_assert!(real, "{difference:?} explains nothing");
        }
        prop_assert_eq!(found.mismatched(), !chosen.is_empty());
    }

    #[test]
    fn whatever_the_bytes_a_comparison_ends_and_says_so_where_they_are_no_message(seed: u64) {
        let rng = &mut StdRng::seed_from_u64(seed);
        let method = schema::method(rng);
        let named = schema::answer(rng, &method);
        let rules = any_rules(rng, &named);
        let encodings = [None, Some("gzip"), Some("deflate"), Some("snappy")];
        let observations = [0, 1].map(|_| {
            let message = schema::answer(rng, &method);
            let mut bytes = encode::any(rng, &message);
            for _ in 0..rng.random_range(1..=4) {
                spoil(rng, &mut bytes);
            }
            let mut observation = observe(bytes.clone());
            observation.messages[0].compressed = rng.random_bool(0.2);
            observation.encoding = encodings[rng.random_range(0..4)].map(str::to_owned);
            observation.details = bytes.into();
            observation
        });
        let [one, other] = &observations;
        let found = compare(&method, &rules, one, other, &Redaction::new([1; 16]));
        let unreadable = found.differences.iter().any(|d| d.path == "messages[]" && d.kind == Kind::Undecodable);
        let snappy = |seen: &Observation| {
            seen.messages[0].compressed && seen.encoding.as_deref() == Some("snappy")
        };
        let same = one.messages == other.messages && one.encoding == other.encoding;
        prop_assert!(same || unreadable || !observations.iter().any(snappy), "{found:?}");
        prop_assert!(!compare(&method, &rules, one, one, &Redaction::new([1; 16])).mismatched());
    }
}

/// Changes a byte, puts one in or takes some off.
fn spoil(rng: &mut StdRng, bytes: &mut Vec<u8>) {
    let at = rng.random_range(0..=bytes.len());
    match rng.random_range(0..4) {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, rng.random()),
        // The beginning of a group.
        2 => bytes.insert(at, 0x0b),
        _ if at < bytes.len() => bytes[at] = rng.random(),
        _ => {}
    }
}
