//! Answers onto the wire: from what the domain and the store give to messages.

use cutover_proto::gazetteer::v1 as pb;
use tonic::Status;

use crate::domain::index::Index;
use crate::domain::nearest::Near;
use crate::domain::place::Place;
use crate::domain::route::RouteMeter;
use crate::domain::search::Found;
use crate::domain::suggest::Suggested;
use crate::errors;
use crate::store::PlaceRecord;

impl From<PlaceRecord> for pb::GetPlaceResponse {
    fn from(record: PlaceRecord) -> Self {
        Self {
            place: Some(place(record.place)),
            alternate_names: record.alternate_names,
            visit_count: record.visit_count,
        }
    }
}

pub(super) fn search_result(index: &Index, found: &Found) -> pb::SearchResult {
    pb::SearchResult {
        place: Some(place(index.place(found.place))),
        score: found.score,
        matched_name: index.name(found.name).to_owned(),
    }
}

pub(super) fn near_place(index: &Index, near: &Near) -> pb::NearPlace {
    pb::NearPlace {
        place: Some(place(index.place(near.place))),
        distance_m: near.distance_m,
    }
}

pub(super) fn list_places(places: Vec<Place>, page: i32) -> pb::ListPlacesResponse {
    pb::ListPlacesResponse {
        places: places.into_iter().map(place).collect(),
        page,
    }
}

pub(super) fn measure_route(meter: &RouteMeter) -> pb::MeasureRouteResponse {
    pb::MeasureRouteResponse {
        distance_m: meter.distance_m(),
        point_count: i32::try_from(meter.points()).expect("a route is bounded"),
        longest_leg_m: meter.longest_leg_m(),
    }
}

/// The answer to the request with the index `sequence`.
pub(super) fn suggest(
    index: &Index,
    sequence: usize,
    suggested: &[Suggested],
) -> Result<pb::SuggestResponse, Status> {
    let suggestion = |suggested: &Suggested| {
        let place = index.place(suggested.place);
        pb::Suggestion {
            place_id: place.id.get(),
            name: index.name(suggested.name).to_owned(),
            country_code: place.country.as_str().to_owned(),
            population: place.population,
        }
    };
    Ok(pb::SuggestResponse {
        sequence: i32::try_from(sequence).map_err(|_| errors::too_many_calls())?,
        suggestions: suggested.iter().map(suggestion).collect(),
    })
}

fn place<T: Into<String>>(place: Place<T>) -> pb::Place {
    pb::Place {
        id: place.id.get(),
        name: place.name.into(),
        country_code: place.country.as_str().to_owned(),
        timezone: place.timezone.into(),
        location: Some(pb::LatLng {
            latitude: place.position.latitude(),
            longitude: place.position.longitude(),
        }),
        population: place.population,
    }
}
