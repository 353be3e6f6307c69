//! Fields that are read or filled in another way.

use std::collections::HashSet;

use cutover_proto::gazetteer::v1::{
    FindNearestRequest, GetPlaceResponse, SearchPlacesRequest, SearchResult,
};

use crate::hazard::{Hazard, Hazards};

const LEAST_SIMILARITY: f64 = 0.1;
const OTHER_DEFAULT_LIMIT: i32 = 20;
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
    if hazards.has(Hazard::MainNameMatched) {
        for result in results {
            if let Some(place) = &result.place {
                result.matched_name.clone_from(&place.name);
            }
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
    if hazards.has(Hazard::VisitsForgotten) {
        response.visit_count = 0;
    }
}
