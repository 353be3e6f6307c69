//! Results in another order, or cut at another place.

use std::cmp::Ordering;

use cutover_proto::gazetteer::v1::{NearPlace, Place, SearchResult, Suggestion};

use crate::hazard::{Hazard, Hazards};

/// A result, as far as its order goes.
pub(crate) trait Ranked {
    /// The place's id.
    fn id(&self) -> i64;
    /// The order before ids decide.
    fn order(&self, other: &Self) -> Ordering;
}

impl Ranked for SearchResult {
    fn id(&self) -> i64 {
        self.place.as_ref().map_or(0, |place| place.id)
    }

    fn order(&self, other: &Self) -> Ordering {
        let population = |place: &Option<Place>| place.as_ref().map_or(0, |p| p.population);
        let scores = other.score.total_cmp(&self.score);
        scores.then_with(|| population(&other.place).cmp(&population(&self.place)))
    }
}

impl Ranked for NearPlace {
    fn id(&self) -> i64 {
        self.place.as_ref().map_or(0, |place| place.id)
    }

    fn order(&self, other: &Self) -> Ordering {
        self.distance_m.total_cmp(&other.distance_m)
    }
}

impl Ranked for Suggestion {
    fn id(&self) -> i64 {
        self.place_id
    }

    fn order(&self, other: &Self) -> Ordering {
        other.population.cmp(&self.population)
    }
}

/// The number of results that `limit` stands for.
pub(crate) fn effective_limit(limit: i32, default: usize) -> usize {
    match usize::try_from(limit) {
        Ok(0) => default,
        Ok(limit) => limit,
        // The real implementation refuses it.
        Err(_) => 0,
    }
}

/// The limit to ask the real implementation for, so that there is something to cut: `most` where a
/// hazard looks at more results than it gives.
pub(crate) fn limit_to_ask_for(hazards: &Hazards, limit: i32, most: i32) -> i32 {
    let looks_further = hazards.has_any(&[Hazard::TiesByIdFalling, Hazard::CutBeforeSort]);
    if looks_further && (0..=most).contains(&limit) {
        most
    } else {
        limit
    }
}

/// Reorders and cuts results to `limit`.
pub(crate) fn spoil<T: Ranked>(hazards: &Hazards, results: &mut Vec<T>, limit: usize) {
    if hazards.has(Hazard::CutBeforeSort) {
        results.sort_by_key(Ranked::id);
        results.truncate(limit);
        results.sort_by(Ranked::order);
    }
    if hazards.has(Hazard::TiesByIdFalling) {
        results.sort_by(|a, b| a.order(b).then_with(|| b.id().cmp(&a.id())));
    }
    results.truncate(limit);
    if hazards.has(Hazard::OneTooFew) {
        results.truncate(limit.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suggestions(entries: &[(i64, i64)]) -> Vec<Suggestion> {
        let suggestion = |&(place_id, population): &(i64, i64)| Suggestion {
            place_id,
            population,
            ..Default::default()
        };
        entries.iter().map(suggestion).collect()
    }

    fn check(hazards: &[Hazard], limit: usize, expected: &[i64]) {
        let mut results = suggestions(&[(4, 9), (1, 5), (2, 5), (3, 5), (5, 1)]);
        spoil(&hazards.iter().copied().collect(), &mut results, limit);
        let ids: Vec<_> = results.iter().map(Ranked::id).collect();
        assert_eq!(ids, expected, "{hazards:?}");
    }

    #[test]
    fn without_a_hazard_only_cuts() {
        check(&[], 3, &[4, 1, 2]);
    }

    #[test]
    fn each_hazard_changes_the_answer() {
        check(&[Hazard::TiesByIdFalling], 3, &[4, 3, 2]);
        check(&[Hazard::CutBeforeSort], 3, &[1, 2, 3]);
        check(&[Hazard::OneTooFew], 3, &[4, 1]);
    }
}
