//! Requests off the wire: from messages to what the domain and the store take, or to every
//! constraint that a message breaks.

use cutover_proto::gazetteer::v1 as pb;
use tonic::Status;

use crate::domain::nearest::{MaxDistance, NearestQuery};
use crate::domain::place::{CountryCode, PlaceId};
use crate::domain::route::RouteMeter;
use crate::domain::search::{QueryText, QueryTextError, SearchQuery, Similarity};
use crate::domain::sphere::Position;
use crate::domain::suggest::Prefix;
use crate::errors::Violations;
use crate::store::ListQuery;

/// Code points that a visitor's name may have.
const MAX_VISITOR_CHARS: usize = 128;

const MUST_BE_POSITIVE: &str = "must be positive";
const MUST_BE_SET: &str = "must be set";
const MUST_NOT_BE_EMPTY: &str = "must not be empty";
const MUST_NOT_BE_NEGATIVE: &str = "must not be negative";

/// A limit's default, which 0 stands for, and its most.
struct LimitRange {
    default: usize,
    most: usize,
}

const SEARCH_LIMIT: LimitRange = LimitRange {
    default: 10,
    most: 100,
};
const NEAREST_LIMIT: LimitRange = LimitRange {
    default: 10,
    most: 100,
};
const PAGE_SIZE: LimitRange = LimitRange {
    default: 50,
    most: 1000,
};
const SUGGEST_LIMIT: LimitRange = LimitRange {
    default: 5,
    most: 20,
};

pub(super) fn get_place(request: &pb::GetPlaceRequest) -> Result<PlaceId, Status> {
    let mut violations = Violations::default();
    complete(place_id("id", request.id, &mut violations), violations)
}

pub(super) fn search_places(request: &pb::SearchPlacesRequest) -> Result<SearchQuery, Status> {
    let mut violations = Violations::default();
    let text = match QueryText::new(&request.query) {
        Ok(text) => Some(text),
        Err(QueryTextError::Empty) => none("query", MUST_NOT_BE_EMPTY, &mut violations),
        Err(QueryTextError::TooLong) => {
            none("query", "must have at most 200 characters", &mut violations)
        }
    };
    let limit = limit("limit", request.limit, &SEARCH_LIMIT, &mut violations);
    let country = country(&request.country_code, &mut violations);
    let min_similarity = match request.min_similarity.map(Similarity::new) {
        None => Some(Similarity::DEFAULT),
        Some(None) => none(
            "min_similarity",
            "must be between 0.1 and 1",
            &mut violations,
        ),
        Some(valid) => valid,
    };
    let query = || {
        let (text, limit, country) = (text?, limit?, country?);
        Some(SearchQuery {
            text,
            limit,
            country,
            min_similarity: min_similarity?,
        })
    };
    complete(query(), violations)
}

pub(super) fn find_nearest(request: &pb::FindNearestRequest) -> Result<NearestQuery, Status> {
    let mut violations = Violations::default();
    let position = position("location", request.location.as_ref(), &mut violations);
    let limit = limit("limit", request.limit, &NEAREST_LIMIT, &mut violations);
    let max_distance = match request.max_distance_m.map(MaxDistance::new) {
        Some(None) => none(
            "max_distance_m",
            "must be positive and finite",
            &mut violations,
        ),
        valid => Some(valid.flatten()),
    };
    let query = || {
        let (position, limit) = (position?, limit?);
        Some(NearestQuery {
            position,
            limit,
            max_distance: max_distance?,
        })
    };
    complete(query(), violations)
}

pub(super) fn list_places(request: &pb::ListPlacesRequest) -> Result<ListQuery, Status> {
    let mut violations = Violations::default();
    let country = country(&request.country_code, &mut violations);
    let min_population = request.min_population;
    if min_population < 0 {
        violations.push("min_population", MUST_NOT_BE_NEGATIVE);
    }
    let page_size = limit("page_size", request.page_size, &PAGE_SIZE, &mut violations);
    let limit = match u32::try_from(request.limit) {
        Err(_) => none("limit", MUST_NOT_BE_NEGATIVE, &mut violations),
        Ok(limit) => Some((limit > 0).then_some(limit)),
    };
    let query = || {
        let (country, page_size, limit) = (country?, page_size?, limit?);
        Some(ListQuery {
            country,
            min_population,
            page_size,
            limit,
        })
    };
    complete(query(), violations)
}

/// The next point of the route that `meter` has measured so far.
pub(super) fn measure_route(
    request: &pb::MeasureRouteRequest,
    meter: &RouteMeter,
) -> Result<Position, Status> {
    let mut violations = Violations::default();
    let point = if meter.is_full() {
        none("points", "must have at most 10000 points", &mut violations)
    } else if let Some(position) = request.point.as_ref().and_then(valid_position) {
        return Ok(position);
    } else {
        let field = format!("points[{}]", meter.points());
        position(&field, request.point.as_ref(), &mut violations)
    };
    complete(point, violations)
}

pub(super) fn suggest(request: &pb::SuggestRequest) -> Result<(Prefix, usize), Status> {
    let mut violations = Violations::default();
    let prefix = Prefix::new(&request.prefix);
    if prefix.is_none() {
        violations.push("prefix", "must have at most 200 characters");
    }
    let limit = limit("limit", request.limit, &SUGGEST_LIMIT, &mut violations);
    complete(prefix.zip(limit), violations)
}

pub(super) fn record_visit(request: &pb::RecordVisitRequest) -> Result<PlaceId, Status> {
    let mut violations = Violations::default();
    let id = place_id("place_id", request.place_id, &mut violations);
    if request.visitor.is_empty() {
        violations.push("visitor", MUST_NOT_BE_EMPTY);
    } else if request.visitor.chars().count() > MAX_VISITOR_CHARS {
        violations.push("visitor", "must have at most 128 characters");
    }
    complete(id, violations)
}

/// The parsed request, which is there if nothing is violated.
fn complete<T>(parsed: Option<T>, violations: Violations) -> Result<T, Status> {
    violations.into_result()?;
    Ok(parsed.expect("what could not be parsed is a violation"))
}

fn none<T>(field: &str, description: &str, violations: &mut Violations) -> Option<T> {
    violations.push(field, description);
    None
}

fn place_id(field: &str, id: i64, violations: &mut Violations) -> Option<PlaceId> {
    PlaceId::new(id).or_else(|| none(field, MUST_BE_POSITIVE, violations))
}

fn limit(
    field: &str,
    value: i32,
    range: &LimitRange,
    violations: &mut Violations,
) -> Option<usize> {
    match usize::try_from(value) {
        Ok(0) => Some(range.default),
        Ok(value) if value <= range.most => Some(value),
        _ => none(
            field,
            &format!("must be between 0 and {}", range.most),
            violations,
        ),
    }
}

/// A country, or all of them.
fn country(code: &str, violations: &mut Violations) -> Option<Option<CountryCode>> {
    if code.is_empty() {
        return Some(None);
    }
    match CountryCode::new(code) {
        None => none("country_code", "must be two upper-case letters", violations),
        valid => Some(valid),
    }
}

fn valid_position(location: &pb::LatLng) -> Option<Position> {
    Position::new(location.latitude, location.longitude).ok()
}

fn position(
    field: &str,
    location: Option<&pb::LatLng>,
    violations: &mut Violations,
) -> Option<Position> {
    let Some(location) = location else {
        return none(field, MUST_BE_SET, violations);
    };
    match Position::new(location.latitude, location.longitude) {
        Ok(position) => Some(position),
        Err(error) => {
            if error.latitude {
                violations.push(format!("{field}.latitude"), "must be between -90 and 90");
            }
            if error.longitude {
                violations.push(format!("{field}.longitude"), "must be between -180 and 180");
            }
            None
        }
    }
}
