//! Lists and maps. Elements are matched by signature first, so that one element too many does not
//! make all behind it look wrong; what is left is compared in order.

use std::collections::{HashMap, VecDeque};

use prost_reflect::{FieldDescriptor, MapKey, Value};

use super::place::{Place, Rule};
use super::walk::Walk;
use crate::difference::Kind;

/// Elements of two lists that belong together.
#[derive(Default)]
struct Matched {
    /// Index in the legacy's list, index in the candidate's; by rising legacy index.
    pairs: Vec<(usize, usize)>,
    /// The legacy's elements without a partner.
    legacy: VecDeque<usize>,
    /// The candidate's elements without a partner.
    candidate: VecDeque<usize>,
}

impl Walk<'_> {
    /// Compares two lists; `place` is the list itself.
    pub(super) fn lists(
        &mut self,
        field: &FieldDescriptor,
        legacy: &[Value],
        candidate: &[Value],
        place: &Place,
    ) {
        let rule = self.rule.list(&place.path);
        let element = place.clone_element();
        let signature = |value: &Value| match &rule {
            Rule::Keyed(keys) => self.key_signature(value, keys, &element),
            Rule::Ordered | Rule::Unordered => self.signature(value, &element),
        };
        let of = |list: &[Value]| list.iter().map(signature).collect::<Vec<u64>>();
        let mut matched = matching(&of(legacy), &of(candidate));
        if legacy.len() != candidate.len() {
            let lengths = [legacy, candidate].map(|list| list.len().to_string());
            self.find_plain(&place.path, Kind::Length, lengths);
        }
        let rising = matched.pairs.is_sorted_by_key(|(_, candidate)| *candidate);
        if matches!(rule, Rule::Ordered) && !rising {
            let lengths = [legacy, candidate].map(|list| self.hash_list(list, place));
            self.find_plain(&place.path, Kind::Order, lengths);
        }
        // Equal signatures still leave room for keyed elements and floats with a tolerance.
        if matches!(rule, Rule::Keyed(_)) || self.rule.has_tolerances() {
            for (one, other) in &matched.pairs {
                self.values(field, &legacy[*one], &candidate[*other], &element);
            }
        }
        if !matches!(rule, Rule::Keyed(_)) {
            while let (Some(one), Some(other)) = (
                matched.legacy.front().copied(),
                matched.candidate.front().copied(),
            ) {
                matched.legacy.pop_front();
                matched.candidate.pop_front();
                self.values(field, &legacy[one], &candidate[other], &element);
            }
        }
        for index in matched.legacy {
            self.find_one_sided(field, Some(&legacy[index]), None, &element);
        }
        for index in matched.candidate {
            self.find_one_sided(field, None, Some(&candidate[index]), &element);
        }
    }

    /// Compares two maps by key; `place` is the map itself.
    pub(super) fn maps(
        &mut self,
        field: &FieldDescriptor,
        legacy: &HashMap<MapKey, Value>,
        candidate: &HashMap<MapKey, Value>,
        place: &Place,
    ) {
        let element = place.clone_element();
        let entry = field.kind();
        let Some(entry) = entry.as_message() else {
            return;
        };
        let value_field = entry.map_entry_value_field();
        // Sorted, so that the same maps always give the same report.
        let mut keys: Vec<&MapKey> = legacy.keys().chain(candidate.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            match (legacy.get(key), candidate.get(key)) {
                (Some(one), Some(other)) => self.values(&value_field, one, other, &element),
                (one, other) => self.find_one_sided(&value_field, one, other, &element),
            }
        }
    }
}

/// Pairs equal signatures, the first with the first, the second with the second.
fn matching(legacy: &[u64], candidate: &[u64]) -> Matched {
    let mut places: HashMap<u64, VecDeque<usize>> = HashMap::new();
    for (index, signature) in candidate.iter().enumerate() {
        places.entry(*signature).or_default().push_back(index);
    }
    let mut matched = Matched::default();
    for (index, signature) in legacy.iter().enumerate() {
        match places.get_mut(signature).and_then(VecDeque::pop_front) {
            Some(other) => matched.pairs.push((index, other)),
            None => matched.legacy.push_back(index),
        }
    }
    let mut rest: Vec<usize> = places.into_values().flatten().collect();
    rest.sort_unstable();
    matched.candidate = rest.into();
    matched
}
