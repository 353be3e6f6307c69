//! Lists and maps. Elements are matched by signature first, so that one element too many does not
//! make all behind it look wrong; what is left is compared in order.

use std::collections::{HashMap, VecDeque};

use prost_reflect::{Kind as FieldKind, MapKey, Value};

use super::place::{Place, Rule};
use super::signature::Signature;
use super::walk::Walk;
use crate::difference::Kind;

/// Elements of two lists that belong together.
#[derive(Debug, Default, PartialEq)]
struct Matched {
    /// Index in the legacy's list, index in the candidate's; by rising legacy index.
    pairs: Vec<(usize, usize)>,
    /// The legacy's elements without a partner.
    legacy: VecDeque<usize>,
    /// The candidate's elements without a partner.
    candidate: VecDeque<usize>,
}

impl Walk<'_> {
    /// Compares two lists that are not equal; `place` is the list itself.
    pub(super) fn lists(
        &mut self,
        kind: &FieldKind,
        legacy: &[Value],
        candidate: &[Value],
        place: &Place<'_>,
    ) {
        let rule = self.rule.list(place);
        let element = place.element();
        if legacy.len() != candidate.len() {
            let lengths = [legacy, candidate].map(|list| list.len().to_string());
            self.find_plain(place, Kind::Length, lengths);
        }
        let whole = [legacy, candidate];
        let [legacy, candidate] = unequal_part(whole, &rule);
        let signature = |value: &Value| match &rule {
            Rule::Keyed(keys) => self.key_signature(value, keys, &element),
            Rule::Ordered | Rule::Unordered => self.match_signature(value, &element),
        };
        let of = |list: &[Value]| list.iter().map(signature).collect::<Vec<_>>();
        let mut matched = matching(&of(legacy), &of(candidate), &rule);
        let rising = matched.pairs.is_sorted_by_key(|(_, candidate)| *candidate);
        if matches!(rule, Rule::Ordered) && !rising {
            let hashes = whole.map(|list| format!("#{:016x}", self.list_signature(list, place)));
            self.find_plain(place, Kind::Order, hashes);
        }
        // Equal signatures still leave room for keyed elements and floats with a tolerance.
        if matches!(rule, Rule::Keyed(_)) || self.rule.has_tolerances() {
            for (one, other) in &matched.pairs {
                self.values(kind, &legacy[*one], &candidate[*other], &element);
            }
        }
        if !matches!(rule, Rule::Keyed(_)) {
            while let (Some(one), Some(other)) = (
                matched.legacy.front().copied(),
                matched.candidate.front().copied(),
            ) {
                matched.legacy.pop_front();
                matched.candidate.pop_front();
                self.values(kind, &legacy[one], &candidate[other], &element);
            }
        }
        for index in matched.legacy {
            self.find_one_sided(kind, [Some(&legacy[index]), None], &element);
        }
        for index in matched.candidate {
            self.find_one_sided(kind, [None, Some(&candidate[index])], &element);
        }
    }

    /// Compares two maps by key; `place` is the map itself.
    pub(super) fn maps(
        &mut self,
        entry: &FieldKind,
        legacy: &HashMap<MapKey, Value>,
        candidate: &HashMap<MapKey, Value>,
        place: &Place<'_>,
    ) {
        let element = place.element();
        let Some(entry) = entry.as_message() else {
            return;
        };
        let kind = entry.map_entry_value_field().kind();
        // Sorted, so that the same maps always give the same report.
        let mut keys: Vec<&MapKey> = legacy.keys().chain(candidate.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            match [legacy.get(key), candidate.get(key)] {
                [Some(one), Some(other)] => self.values(&kind, one, other, &element),
                values => self.find_one_sided(&kind, values, &element),
            }
        }
    }
}

/// Both lists without what is equal at their beginnings and ends. With keys only the beginning is
/// taken off: where a key comes twice, the first belongs to the first.
fn unequal_part<'v>([one, other]: [&'v [Value]; 2], rule: &Rule<'_>) -> [&'v [Value]; 2] {
    let same = |(one, other): &(&Value, &Value)| one == other;
    let start = one.iter().zip(other).take_while(same).count();
    let (one, other) = (&one[start..], &other[start..]);
    if matches!(rule, Rule::Keyed(_)) {
        return [one, other];
    }
    let backwards = one.iter().rev().zip(other.iter().rev());
    let end = backwards.take_while(same).count();
    [&one[..one.len() - end], &other[..other.len() - end]]
}

/// Pairs equal signatures, the first with the first, the second with the second. Where the order
/// is free, those that differ only in floats with a tolerance are paired by size.
fn matching(legacy: &[Signature], candidate: &[Signature], rule: &Rule<'_>) -> Matched {
    let order = |all: &[Signature]| {
        let mut order: Vec<usize> = (0..all.len()).collect();
        if matches!(rule, Rule::Unordered) {
            let floats = |index: &usize| all[*index].ranks.iter();
            order.sort_by(|one, other| floats(one).cmp(floats(other)));
        }
        order
    };
    let mut places: HashMap<u64, VecDeque<usize>> = HashMap::new();
    for index in order(candidate) {
        let alike = places.entry(candidate[index].hash).or_default();
        alike.push_back(index);
    }
    let mut matched = Matched::default();
    for index in order(legacy) {
        let alike = places.get_mut(&legacy[index].hash);
        match alike.and_then(VecDeque::pop_front) {
            Some(other) => matched.pairs.push((index, other)),
            None => matched.legacy.push_back(index),
        }
    }
    matched.pairs.sort_unstable();
    matched.legacy.make_contiguous().sort_unstable();
    let mut rest: Vec<usize> = places.into_values().flatten().collect();
    rest.sort_unstable();
    matched.candidate = rest.into();
    matched
}
