//! Fields that are read or filled in another way.

use std::collections::HashSet;

use cutover_proto::gazetteer::v1::{
    FindNearestRequest, GetPlaceResponse, SearchPlacesRequest, SearchResult,
};

use crate::hazard::{Hazard, Hazards};

const LEAST_SIMILARITY: f64 = 0.1;
const OTHER_DEFAULT_LIMIT: i32 = 20;
/// The largest number of 24 bits.
const LARGEST_NARROW: i64 = (1 << 24) - 1;
const METRES_PER_KILOMETRE: f64 = 1000.0;

pub(crate) fn spoil_search(hazards: &Hazards, request: &mut SearchPlacesRequest) {
    if hazards.has(Hazard::UnsetIsLeast) {
        request.min_similarity.get_or_insert(LEAST_SIMILARITY);
    }
    request.limit = spoilt_limit(hazards, request.limit);
}

pub(crate) fn spoil_nearest(hazards: &Hazards, request: &mut FindNearestRequest) {
    request.limit = spoilt_limit(hazards, request.limit);
    if hazards.has(Hazard::DistanceInKilometres)
        && let Some(distance) = &mut request.max_distance_m
    {
        *distance *= METRES_PER_KILOMETRE;
    }
}

fn spoilt_limit(hazards: &Hazards, limit: i32) -> i32 {
    if limit == 0 && hazards.has(Hazard::OtherDefaultLimit) {
        OTHER_DEFAULT_LIMIT
    } else {
        limit
    }
}

pub(crate) fn spoil_results(hazards: &Hazards, results: &mut [SearchResult]) {
    for result in results {
        let Some(place) = &mut result.place else {
            continue;
        };
        if hazards.has(Hazard::MainNameMatched) {
            result.matched_name.clone_from(&place.name);
        }
        if hazards.has(Hazard::NarrowPopulation) {
            place.population &= LARGEST_NARROW;
        }
    }
}

pub(crate) fn spoil_place(hazards: &Hazards, response: &mut GetPlaceResponse) {
    if hazards.has(Hazard::NamesDistinct) {
        let mut seen = HashSet::new();
        response
            .alternate_names
            .retain(|name| seen.insert(name.clone()));
    }
    if hazards.has(Hazard::NamesSorted) {
        response.alternate_names.sort();
    }
    if hazards.has(Hazard::NamesFromASet) {
        let names: HashSet<String> = response.alternate_names.drain(..).collect();
        response.alternate_names.extend(names);
    }
    if hazards.has(Hazard::RemainderSign)
        && let Some(location) = response.place.as_mut().and_then(|p| p.location.as_mut())
    {
        location.latitude = put_together(location.latitude);
        location.longitude = put_together(location.longitude);
    }
    if hazards.has(Hazard::VisitsForgotten) {
        response.visit_count = 0;
    }
}

/// Degrees from their whole part and the rest, as if the rest were never negative.
fn put_together(degrees: f64) -> f64 {
    if degrees < 0.0 {
        degrees.trunc() - degrees.fract()
    } else {
        degrees
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_south_and_the_west_are_put_together_wrongly() {
        assert_eq!(put_together(33.5), 33.5);
        assert_eq!(put_together(-33.5), -32.5);
    }
}
