//! Numbers that come out a little different.

use cutover_proto::gazetteer::v1::{MeasureRouteResponse, NearPlace, SearchResult};

use crate::hazard::{Hazard, Hazards};

/// The right radius and the one that comes to mind, in metres.
const RADIUS_M: f64 = 6_371_008.8;
const ROUND_RADIUS_M: f64 = 6_371_000.0;

pub(crate) fn spoil_scores(hazards: &Hazards, results: &mut [SearchResult]) {
    for result in results.iter_mut() {
        if hazards.has(Hazard::NaturalLogarithm) {
            let population = result.place.as_ref().map_or(0, |place| place.population);
            let inhabitants = 1.0 + population as f64;
            result.score += 0.01 * (inhabitants.ln() - inhabitants.log10());
        }
        if hazards.has(Hazard::ScoreRounding) {
            result.score = (result.score * 100.0).round_ties_even() / 100.0;
        }
    }
    if hazards.has(Hazard::NaturalLogarithm) {
        results.sort_by(|a, b| b.score.total_cmp(&a.score));
    }
}

pub(crate) fn spoil_distances(hazards: &Hazards, results: &mut [NearPlace]) {
    for result in results {
        result.distance_m = spoilt_distance(hazards, result.distance_m);
        if hazards.has(Hazard::SinglePrecision) {
            result.distance_m = f64::from(result.distance_m as f32);
        }
    }
}

pub(crate) fn spoil_route(hazards: &Hazards, route: &mut MeasureRouteResponse) {
    route.distance_m = spoilt_distance(hazards, route.distance_m);
    route.longest_leg_m = spoilt_distance(hazards, route.longest_leg_m);
}

fn spoilt_distance(hazards: &Hazards, distance_m: f64) -> f64 {
    if hazards.has(Hazard::RoundRadius) {
        distance_m / RADIUS_M * ROUND_RADIUS_M
    } else {
        distance_m
    }
}
