//! Type-ahead over the sorted normal forms of all names.

use super::index::Index;
use super::names::Names;
use super::text::NormalForm;

/// Code points that a prefix may have in its normal form.
pub const MAX_PREFIX_CHARS: usize = 200;

/// What was typed so far: at most [`MAX_PREFIX_CHARS`] code points in its normal form.
#[derive(Clone, Debug, PartialEq)]
pub struct Prefix(NormalForm);

impl Prefix {
    /// `None` when the normal form of `text` is too long.
    pub fn new(text: &str) -> Option<Self> {
        let form = NormalForm::of(text);
        (form.chars() <= MAX_PREFIX_CHARS).then_some(Self(form))
    }
}

/// All names in order of their normal form.
#[derive(Debug, Default)]
pub struct SortedNames {
    names: Vec<u32>,
    /// The rank of each name's place, beside the names so that a range is read in order.
    ranks: Vec<u32>,
}

impl SortedNames {
    /// Sorts all names; `ranks` are the places' ranks.
    pub fn new(names: &Names, ranks: &[u32]) -> Self {
        let mut sorted: Vec<u32> = (0..names.normal.len()).collect();
        sorted.sort_unstable_by(|&a, &b| names.normal.get(a).cmp(names.normal.get(b)));
        let rank = |&name: &u32| ranks[names.place[name as usize] as usize];
        Self {
            ranks: sorted.iter().map(rank).collect(),
            names: sorted,
        }
    }
}

/// A suggested place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suggested {
    /// The place, by index.
    pub place: u32,
    /// The first of its names that begins with the prefix, by index.
    pub name: u32,
}

/// At most `limit` places with a name that begins with `prefix`, most populous first.
pub fn suggest(index: &Index, prefix: &Prefix, limit: usize) -> Vec<Suggested> {
    let prefix = prefix.0.as_str();
    if prefix.is_empty() {
        return Vec::new();
    }
    let normal = |name: u32| index.names.normal.get(name);
    let sorted = &index.sorted_names;
    let start = sorted.names.partition_point(|&name| normal(name) < prefix);
    let count = sorted.names[start..].partition_point(|&name| normal(name).starts_with(prefix));
    let best = least_distinct(&sorted.ranks[start..start + count], limit);
    best.into_iter()
        .filter_map(|rank| {
            let place = index.place_of_rank(rank);
            let mut names = index.names.of_place(place);
            let name = names.find(|&name| normal(name).starts_with(prefix))?;
            Some(Suggested { place, name })
        })
        .collect()
}

/// The `limit` least of `values`, without repetition, rising.
fn least_distinct(values: &[u32], limit: usize) -> Vec<u32> {
    let mut least: Vec<u32> = Vec::with_capacity(limit + 1);
    for &value in values {
        if least.len() == limit && least.last().is_none_or(|&worst| value >= worst) {
            continue;
        }
        if let Err(at) = least.binary_search(&value) {
            least.insert(at, value);
            least.truncate(limit);
        }
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn least_distinct_equals_sort_and_dedup(
            values in prop::collection::vec(0_u32..50, 0..200),
            limit in 0_usize..30,
        ) {
            let mut expected = values.clone();
            expected.sort_unstable();
            expected.dedup();
            expected.truncate(limit);
            prop_assert_eq!(least_distinct(&values, limit), expected);
        }
    }
}
