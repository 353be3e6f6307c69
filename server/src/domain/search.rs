//! Fuzzy search: counts the trigrams that each name shares with the query, in one byte a name.

use super::index::Index;
use super::place::CountryCode;
use super::text::NormalForm;
use super::trigram::{Trigram, trigrams_of};

/// Code points that a query may have in its normal form.
pub const MAX_QUERY_CHARS: usize = 200;

// A name's count of shared trigrams is at most the query's number of them, and fits a byte.
const _: () = assert!(MAX_QUERY_CHARS < u8::MAX as usize);

/// A similarity from 0.1 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Similarity(f64);

impl Similarity {
    /// What a search uses that sets none: 0.3.
    pub const DEFAULT: Self = Self(0.3);

    /// `None` unless `value` is between 0.1 and 1; NaN is not.
    pub fn new(value: f64) -> Option<Self> {
        (0.1..=1.0).contains(&value).then_some(Self(value))
    }
}

/// A text to look for: 1 to [`MAX_QUERY_CHARS`] code points in its normal form.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryText(NormalForm);

/// Why a text is no query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryTextError {
    /// Its normal form is empty.
    Empty,
    /// Its normal form has more than [`MAX_QUERY_CHARS`] code points.
    TooLong,
}

impl QueryText {
    /// The query that `text` stands for.
    pub fn new(text: &str) -> Result<Self, QueryTextError> {
        let form = NormalForm::of(text);
        match form.chars() {
            0 => Err(QueryTextError::Empty),
            chars if chars > MAX_QUERY_CHARS => Err(QueryTextError::TooLong),
            _ => Ok(Self(form)),
        }
    }
}

/// A search by name.
#[derive(Clone, Debug)]
pub struct SearchQuery {
    /// What to look for.
    pub text: QueryText,
    /// How many results at most.
    pub limit: usize,
    /// Only places of this country.
    pub country: Option<CountryCode>,
    /// Least similarity.
    pub min_similarity: Similarity,
}

/// One place found by name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// The place, by index.
    pub place: u32,
    /// similarity + 0.01 * log10(1 + population).
    pub score: f64,
    /// The name with the best similarity, by index; the first one on a tie.
    pub name: u32,
}

/// Buffers that searches use again; as large as the index has names.
#[derive(Debug, Default)]
pub struct Scratch {
    shared: Vec<u8>,
    trigrams: Vec<Trigram>,
    /// Names that share enough trigrams to be looked at.
    enough: Vec<u32>,
    found: Vec<Found>,
}

/// The places that match, best first.
pub fn search<'s>(index: &Index, query: &SearchQuery, scratch: &'s mut Scratch) -> &'s [Found] {
    trigrams_of(query.text.0.as_str(), &mut scratch.trigrams);
    let size = u32::try_from(scratch.trigrams.len()).expect("a query is bounded");
    scratch.shared.clear();
    scratch.shared.resize(index.trigrams.name_count(), 0);
    let least = least_shared(size, query.min_similarity);
    scratch.enough.clear();
    for &trigram in &scratch.trigrams {
        for &name in index.trigrams.names_with(trigram) {
            let count = &mut scratch.shared[name as usize];
            *count += 1;
            if *count == least {
                scratch.enough.push(name);
            }
        }
    }
    // The names of one place come one after the other only in order.
    scratch.enough.sort_unstable();
    scratch.found.clear();
    for &name in &scratch.enough {
        let count = scratch.shared[name as usize].into();
        let similarity = similarity(count, size, index.trigrams.size_of(name));
        if similarity >= query.min_similarity.0 {
            take_best(index, query, &mut scratch.found, name, similarity);
        }
    }
    for found in &mut scratch.found {
        found.score += index.score_of_population(found.place);
    }
    let order = |a: &Found, b: &Found| {
        let ranks = || index.rank(a.place).cmp(&index.rank(b.place));
        b.score.total_cmp(&a.score).then_with(ranks)
    };
    if scratch.found.len() > query.limit {
        scratch.found.select_nth_unstable_by(query.limit, order);
        scratch.found.truncate(query.limit);
    }
    scratch.found.sort_unstable_by(order);
    &scratch.found
}

/// Of names of one place, which come one after the other, only the most similar stays.
fn take_best(
    index: &Index,
    query: &SearchQuery,
    found: &mut Vec<Found>,
    name: u32,
    similarity: f64,
) {
    let place = index.names.place[name as usize];
    let best = Found {
        place,
        score: similarity,
        name,
    };
    match found.last_mut().filter(|last| last.place == place) {
        Some(last) if similarity > last.score => *last = best,
        Some(_) => {}
        None => {
            if query
                .country
                .is_none_or(|country| index.places.country(place) == country)
            {
                found.push(best);
            }
        }
    }
}

/// |A ∩ B| / |A ∪ B|.
fn similarity(shared: u32, one: u32, other: u32) -> f64 {
    f64::from(shared) / f64::from(one + other - shared)
}

/// The least number of shared trigrams that can reach a similarity: the union is never smaller
/// than the query.
fn least_shared(size: u32, min_similarity: Similarity) -> u8 {
    let least = (1..size).find(|&shared| similarity(shared, size, shared) >= min_similarity.0);
    u8::try_from(least.unwrap_or(size)).expect("a query is bounded")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::index::IndexBuilder;
    use crate::domain::place::{Place, PlaceId};
    use crate::domain::sphere::Position;
    use proptest::prelude::*;

    /// Places 1, 2, … with their populations, countries and names.
    type Entry = (i64, &'static str, Vec<String>);

    fn index(entries: &[Entry]) -> Index {
        let mut builder = IndexBuilder::default();
        for (id, (population, country, names)) in (1..).zip(entries) {
            let place = Place {
                id: PlaceId::new(id).unwrap(),
                name: names[0].as_str(),
                country: CountryCode::new(country).unwrap(),
                timezone: "Europe/Andorra",
                position: Position::new(0.0, 0.0).unwrap(),
                population: *population,
            };
            builder.push_place(&place).unwrap();
            names[1..]
                .iter()
                .for_each(|name| builder.push_name(name).unwrap());
        }
        builder.finish()
    }

    fn set_of(normal: &str) -> Vec<Trigram> {
        let mut trigrams = Vec::new();
        trigrams_of(normal, &mut trigrams);
        trigrams
    }

    fn similarity_of(one: &str, other: &str) -> f64 {
        let (one, other) = (set_of(one), set_of(other));
        let shared = one.iter().filter(|trigram| other.contains(trigram)).count();
        shared as f64 / (one.len() + other.len() - shared) as f64
    }

    /// Ids, scores and matched names, as the contract says word by word.
    fn by_the_contract(entries: &[Entry], query: &SearchQuery) -> Vec<(i64, f64, String)> {
        let mut found = Vec::new();
        for (id, (population, country, names)) in (1..).zip(entries) {
            let mut best: Option<(f64, &String)> = None;
            for name in names {
                let similarity =
                    similarity_of(query.text.0.as_str(), NormalForm::of(name).as_str());
                if best.is_none_or(|(least, _)| similarity > least) {
                    best = Some((similarity, name));
                }
            }
            let (similarity, name) = best.unwrap();
            let of_country = query
                .country
                .is_none_or(|wanted| wanted.as_str() == *country);
            if similarity >= query.min_similarity.0 && of_country {
                let score = similarity + 0.01 * (1.0 + *population as f64).log10();
                found.push((id, score, name.clone(), *population));
            }
        }
        found.sort_by(|a, b| b.1.total_cmp(&a.1).then(b.3.cmp(&a.3)).then(a.0.cmp(&b.0)));
        found.truncate(query.limit);
        found
            .into_iter()
            .map(|(id, score, name, _)| (id, score, name))
            .collect()
    }

    fn name() -> impl Strategy<Value = String> {
        prop_oneof![
            "[ab]{1,6}",
            "[abé]{1,3} [bc]{1,3}",
            "[абв]{1,4}",
            "[a-e]{1,30}"
        ]
    }

    fn entry() -> impl Strategy<Value = Entry> {
        let population = prop_oneof![0_i64..3, Just(1_000_000)];
        let country = prop_oneof![Just("AD"), Just("FR")];
        (population, country, prop::collection::vec(name(), 1..5))
    }

    proptest! {
        #[test]
        fn finds_what_the_contract_says(
            entries in prop::collection::vec(entry(), 0..60),
            text in name(),
            limit in 1_usize..20,
            country in prop::option::of(Just("FR")),
            min_similarity in prop_oneof![0.1..=1.0, Just(0.1), Just(1.0), Just(0.5)],
        ) {
            let query = SearchQuery {
                text: QueryText::new(&text).unwrap(),
                limit,
                country: country.and_then(CountryCode::new),
                min_similarity: Similarity::new(min_similarity).unwrap(),
            };
            let index = index(&entries);
            let mut scratch = Scratch::default();
            let found: Vec<_> = search(&index, &query, &mut scratch)
                .iter()
                .map(|found| {
                    let id = index.place(found.place).id.get();
                    (id, found.score, index.name(found.name).to_owned())
                })
                .collect();
            prop_assert_eq!(found, by_the_contract(&entries, &query));
        }

        #[test]
        fn similarity_is_symmetric_and_one_only_for_the_same_trigrams(
            one in name(),
            other in name(),
        ) {
            let there = similarity_of(&one, &other);
            prop_assert_eq!(there, similarity_of(&other, &one));
            prop_assert_eq!(there == 1.0, set_of(&one) == set_of(&other));
        }
    }

    #[test]
    fn a_query_has_1_to_200_code_points_in_its_normal_form() {
        assert!(QueryText::new(&"ß".repeat(100)).is_ok());
        assert_eq!(
            QueryText::new(&"ß".repeat(101)),
            Err(QueryTextError::TooLong)
        );
        assert_eq!(QueryText::new(" \u{301}\t"), Err(QueryTextError::Empty));
    }

    #[test]
    fn a_search_leaves_nothing_behind_for_the_next() {
        let index = index(&[(0, "AD", vec!["aaa".into()]), (0, "AD", vec!["bbb".into()])]);
        let mut scratch = Scratch::default();
        for (text, name) in [("aaa", 0), ("bbb", 1), ("aaa", 0)] {
            let query = SearchQuery {
                text: QueryText::new(text).unwrap(),
                limit: 10,
                country: None,
                min_similarity: Similarity::DEFAULT,
            };
            let names: Vec<_> = search(&index, &query, &mut scratch)
                .iter()
                .map(|f| f.name)
                .collect();
            assert_eq!(names, [name]);
        }
    }
}
