//! Everything that answers from memory, built once at start from places and their names.

use std::collections::HashMap;
use std::ops::Range;

use super::names::{Names, Strings};
use super::nearest::{KdTree, Near, NearestQuery};
use super::place::{CountryCode, Place, PlaceId};
use super::sphere::Position;
use super::suggest::SortedNames;
use super::text::push_normal_form;
use super::trigram::{TrigramIndex, TrigramIndexBuilder};

/// All places and the ways to find them. A place's index is its place in the order of ids.
#[derive(Debug, Default)]
pub struct Index {
    pub(super) places: Places,
    pub(super) names: Names,
    pub(super) trigrams: TrigramIndex,
    pub(super) sorted_names: SortedNames,
    tree: KdTree,
    /// The place in the order of population (falling), then id (rising), of each place…
    ranks: Vec<u32>,
    /// …and the other way round.
    by_rank: Vec<u32>,
    population_scores: Vec<f64>,
}

impl Index {
    /// The place at an index.
    pub fn place(&self, place: u32) -> Place<&str> {
        self.places.get(place)
    }

    /// How many places there are.
    pub fn place_count(&self) -> u32 {
        self.places.titles.len()
    }

    /// How many names are searched.
    pub fn name_count(&self) -> u32 {
        self.names.spelled.len()
    }

    /// A name as spelled in the data set.
    pub fn name(&self, name: u32) -> &str {
        self.names.spelled.get(name)
    }

    /// The searched names of a place, by index.
    pub fn names_of_place(&self, place: u32) -> Range<u32> {
        self.names.of_place(place)
    }

    /// The nearest places, nearest first.
    pub fn nearest(&self, query: &NearestQuery) -> Vec<Near> {
        self.tree.nearest(query)
    }

    pub(super) fn rank(&self, place: u32) -> u32 {
        self.ranks[place as usize]
    }

    pub(super) fn place_of_rank(&self, rank: u32) -> u32 {
        self.by_rank[rank as usize]
    }

    pub(super) fn score_of_population(&self, place: u32) -> f64 {
        self.population_scores[place as usize]
    }
}

/// The places, column by column.
#[derive(Debug, Default)]
pub(super) struct Places {
    ids: Vec<PlaceId>,
    titles: Strings,
    countries: Vec<CountryCode>,
    timezones: Strings,
    timezone_of: Vec<u32>,
    positions: Vec<Position>,
    populations: Vec<i64>,
}

impl Places {
    pub(super) fn country(&self, place: u32) -> CountryCode {
        self.countries[place as usize]
    }

    fn get(&self, place: u32) -> Place<&str> {
        let at = place as usize;
        Place {
            id: self.ids[at],
            name: self.titles.get(place),
            country: self.countries[at],
            timezone: self.timezones.get(self.timezone_of[at]),
            position: self.positions[at],
            population: self.populations[at],
        }
    }
}

/// Why places make no index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// An id does not rise.
    #[error("places are not in order of id")]
    Order,
    /// The arenas address 4 GiB of text and 2³² trigrams.
    #[error("there are more names than the index can hold")]
    Full,
}

/// Takes places in order of id, each followed by its alternate names in order.
#[derive(Debug, Default)]
pub struct IndexBuilder {
    places: Places,
    names: Names,
    trigrams: TrigramIndexBuilder,
    timezones: HashMap<String, u32>,
    form: String,
}

impl IndexBuilder {
    /// Adds a place, and its main name.
    pub fn push_place(&mut self, place: &Place<&str>) -> Result<(), IndexError> {
        let places = &mut self.places;
        if places.ids.last().is_some_and(|&last| last >= place.id) {
            return Err(IndexError::Order);
        }
        self.names.first.push(self.names.spelled.len());
        places.ids.push(place.id);
        places.titles.push(place.name).ok_or(IndexError::Full)?;
        places.countries.push(place.country);
        let timezone = match self.timezones.get(place.timezone) {
            Some(&known) => known,
            None => {
                let new = places
                    .timezones
                    .push(place.timezone)
                    .ok_or(IndexError::Full)?;
                self.timezones.insert(place.timezone.to_owned(), new);
                new
            }
        };
        places.timezone_of.push(timezone);
        places.positions.push(place.position);
        places.populations.push(place.population);
        self.push_name(place.name)
    }

    /// Adds the next name of the last place, unless it has no normal form or one that an earlier
    /// name of the place has.
    pub fn push_name(&mut self, name: &str) -> Result<(), IndexError> {
        self.form.clear();
        push_normal_form(name, &mut self.form);
        let names = &mut self.names;
        let Some(&first) = names.first.last() else {
            return Err(IndexError::Order);
        };
        let known = (first..names.normal.len()).any(|index| names.normal.get(index) == self.form);
        if self.form.is_empty() || known {
            return Ok(());
        }
        let place = u32::try_from(names.first.len() - 1).map_err(|_| IndexError::Full)?;
        names.spelled.push(name).ok_or(IndexError::Full)?;
        names.normal.push(&self.form).ok_or(IndexError::Full)?;
        names.place.push(place);
        self.trigrams.push(&self.form).ok_or(IndexError::Full)
    }

    /// The index of all places added.
    pub fn finish(self) -> Index {
        let Self {
            places,
            mut names,
            trigrams,
            ..
        } = self;
        let trigrams = trigrams.finish();
        names.first.push(names.spelled.len());
        names.spelled.shrink();
        names.normal.shrink();
        names.place.shrink_to_fit();
        let mut by_rank: Vec<u32> = (0..places.titles.len()).collect();
        by_rank.sort_by_key(|&place| std::cmp::Reverse(places.populations[place as usize]));
        let mut ranks = vec![0; by_rank.len()];
        for (rank, &place) in (0..).zip(&by_rank) {
            ranks[place as usize] = rank;
        }
        let score = |&population: &i64| 0.01 * (1.0 + population as f64).log10();
        Index {
            sorted_names: SortedNames::new(&names, &ranks),
            tree: KdTree::new(places.positions.iter().copied()),
            population_scores: places.populations.iter().map(score).collect(),
            places,
            names,
            trigrams,
            ranks,
            by_rank,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::suggest::{Prefix, suggest};

    fn place(id: i64, name: &str, population: i64) -> Place<&str> {
        Place {
            id: PlaceId::new(id).unwrap(),
            name,
            country: CountryCode::new("AD").unwrap(),
            timezone: "Europe/Andorra",
            position: Position::new(42.5, 1.5).unwrap(),
            population,
        }
    }

    fn built(places: &[(i64, &[&str], i64)]) -> Index {
        let mut builder = IndexBuilder::default();
        for (id, names, population) in places {
            builder
                .push_place(&place(*id, names[0], *population))
                .unwrap();
            for name in &names[1..] {
                builder.push_name(name).unwrap();
            }
        }
        builder.finish()
    }

    #[test]
    fn searches_no_name_that_is_empty_or_known_already() {
        let index = built(&[
            (1, &["\u{301}", "Oß", "OSS", "os", " Oss"], 5),
            (2, &["oss"], 5),
        ]);
        let names = |place| -> Vec<_> {
            index
                .names_of_place(place)
                .map(|name| index.name(name))
                .collect()
        };
        assert_eq!(names(0), ["Oß", "os"]);
        assert_eq!(names(1), ["oss"]);
        assert_eq!(index.place(0).name, "\u{301}");
        assert_eq!((index.place_count(), index.name_count()), (2, 3));
    }

    #[test]
    fn refuses_places_that_are_not_in_order() {
        let mut builder = IndexBuilder::default();
        assert_eq!(builder.push_name("too soon"), Err(IndexError::Order));
        builder.push_place(&place(2, "b", 0)).unwrap();
        assert_eq!(
            builder.push_place(&place(2, "b", 0)),
            Err(IndexError::Order)
        );
        assert_eq!(
            builder.push_place(&place(1, "a", 0)),
            Err(IndexError::Order)
        );
    }

    fn check_suggestions(prefix: &str, limit: usize, expected: &[(i64, &str)]) {
        let index = built(&[
            (1, &["Rome", "ROMA"], 10),
            (2, &["Romans", "Rom\u{E4}ns-sur-Is\u{E8}re"], 90),
            (3, &["Roman"], 10),
            (4, &["Oslo", "Roma Norte"], 50),
        ]);
        let suggested = suggest(&index, &Prefix::new(prefix).unwrap(), limit);
        let suggested: Vec<_> = suggested
            .iter()
            .map(|s| (index.place(s.place).id.get(), index.name(s.name)))
            .collect();
        assert_eq!(suggested, expected, "{prefix:?}");
    }

    #[test]
    fn suggests_each_place_once_by_population_then_id() {
        let all = [(2, "Romans"), (4, "Roma Norte"), (1, "ROMA"), (3, "Roman")];
        check_suggestions("roma", 10, &all);
        check_suggestions("R\u{D3}MA", 2, &all[..2]);
        check_suggestions("rom", 10, &[all[0], all[1], (1, "Rome"), all[3]]);
        check_suggestions("romans-", 10, &[(2, "Rom\u{E4}ns-sur-Is\u{E8}re")]);
    }

    #[test]
    fn suggests_nothing_for_no_prefix_or_an_unknown_one() {
        check_suggestions("", 10, &[]);
        check_suggestions(" \u{301}", 10, &[]);
        check_suggestions("zzz", 10, &[]);
        check_suggestions("romanss", 10, &[]);
    }
}
