//! What answers don't show: other statements, other writes, other times.

use cutover_proto::gazetteer::v1::{GetPlaceResponse, RecordVisitRequest, RecordVisitResponse};
use gazetteer_server::domain::place::PlaceId;
use gazetteer_server::errors;
use gazetteer_server::service::Gazetteer;
use gazetteer_server::store::{PlaceRecord, SELECT_NAMES, Session, Statement, StoreError};
use tonic::Status;

use crate::hazard::{Hazard, Hazards};
use crate::service::MAX_VISITOR_CHARS;

const SELECT_NAME: Statement = Statement::new(
    "SELECT",
    "names",
    "SELECT name FROM names WHERE place_id = ? AND position = ?",
);
const SELECT_VISITS: Statement = Statement::new(
    "SELECT",
    "visits",
    "SELECT id FROM visits WHERE place_id = ?",
);

/// Whether [`place`] must take the real implementation's place.
pub(crate) fn reads_otherwise(hazards: &Hazards) -> bool {
    hazards.has_any(&[Hazard::NamesOneByOne, Hazard::VisitsReadToCount])
}

/// `GetPlace` with an equal answer by other statements.
pub(crate) fn place(
    gazetteer: &Gazetteer,
    hazards: &Hazards,
    id: PlaceId,
) -> Result<GetPlaceResponse, Status> {
    let one_by_one = hazards.has(Hazard::NamesOneByOne);
    let read_to_count = hazards.has(Hazard::VisitsReadToCount);
    let read = gazetteer.store().read(move |session| {
        let Some(place) = session.place(id)? else {
            return Ok(None);
        };
        let alternate_names = if one_by_one {
            names_one_by_one(session, id)?
        } else {
            session.rows(&SELECT_NAMES, (id.get(),), |row| Ok(row.get(0)?))?
        };
        let visit_count = if read_to_count {
            let ids = session.rows(&SELECT_VISITS, (id.get(),), |row| Ok(row.get::<_, i64>(0)?))?;
            i64::try_from(ids.len()).unwrap_or(i64::MAX)
        } else {
            session.visit_count(id)?
        };
        Ok(Some(PlaceRecord {
            place,
            alternate_names,
            visit_count,
        }))
    });
    let record = read.map_err(|_| errors::database_unavailable())?;
    record
        .map(Into::into)
        .ok_or_else(|| errors::place_not_found(id))
}

/// The answer to a visit as if it had been written; `None` where none would be.
pub(crate) fn unwritten_visit(
    gazetteer: &Gazetteer,
    request: &RecordVisitRequest,
) -> Result<Option<RecordVisitResponse>, Status> {
    let is_good = (1..=MAX_VISITOR_CHARS).contains(&request.visitor.chars().count());
    let Some(id) = PlaceId::new(request.place_id).filter(|_| is_good) else {
        return Ok(None);
    };
    let read = gazetteer.store().read(move |session| {
        let count = match session.place(id)? {
            Some(_) => Some(session.visit_count(id)?),
            None => None,
        };
        Ok(count)
    });
    let count = read.map_err(|_| errors::database_unavailable())?;
    Ok(count.map(|count| RecordVisitResponse {
        visit_id: count + 1,
        visit_count: count + 1,
    }))
}

fn names_one_by_one(session: &Session<'_>, id: PlaceId) -> Result<Vec<String>, StoreError> {
    let mut names = Vec::new();
    for position in 0_i64.. {
        let found = session.rows(&SELECT_NAME, (id.get(), position), |row| Ok(row.get(0)?))?;
        if found.is_empty() {
            break;
        }
        names.extend(found);
    }
    Ok(names)
}
