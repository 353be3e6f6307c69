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
    found: Vec<Found>,
}

/// Counts are looked through so many at a time, to skip names that share too little.
const BLOCK: usize = 64;

/// The places that match, best first.
pub fn search<'s>(index: &Index, query: &SearchQuery, scratch: &'s mut Scratch) -> &'s [Found] {
    trigrams_of(query.text.0.as_str(), &mut scratch.trigrams);
    let size = u32::try_from(scratch.trigrams.len()).expect("a query is bounded");
    scratch.shared.clear();
    scratch.shared.resize(index.trigrams.name_count(), 0);
    for &trigram in &scratch.trigrams {
        for &name in index.trigrams.names_with(trigram) {
            scratch.shared[name as usize] += 1;
        }
    }
    let least = least_shared(size, query.min_similarity);
    scratch.found.clear();
    for (block, counts) in scratch.shared.chunks(BLOCK).enumerate() {
        if counts.iter().fold(0, |most, &count| most.max(count)) < least {
            continue;
        }
        for (at, &count) in counts.iter().enumerate() {
            if count >= least {
                let name = u32::try_from(block * BLOCK + at).expect("names fit u32");
                let similarity = similarity(count.into(), size, index.trigrams.size_of(name));
                if similarity >= query.min_similarity.0 {
                    take_best(index, query, &mut scratch.found, name, similarity);
                }
            }
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
