//! Errors that are told another way.

use gazetteer_server::errors::Violations;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::hazard::{Hazard, Hazards};

/// The status as the port tells it.
pub(crate) fn spoil(hazards: &Hazards, status: Status) -> Status {
    let mut status = status;
    if hazards.has(Hazard::FirstViolationOnly) {
        status = first_violation(status);
    }
    let code = match status.code() {
        Code::NotFound if hazards.has(Hazard::NotFoundAsUnknown) => Code::Unknown,
        Code::InvalidArgument if hazards.has(Hazard::InvalidAsOutOfRange) => Code::OutOfRange,
        code => code,
    };
    if hazards.has(Hazard::DetailsMissing) || code == Code::Unknown {
        return Status::new(code, status.message());
    }
    Status::with_details(code, status.message(), status.details().to_vec().into())
}

fn first_violation(status: Status) -> Status {
    let details = status.get_error_details();
    let first = details
        .bad_request()
        .and_then(|bad| bad.field_violations.first());
    let Some(first) = first else { return status };
    let mut violations = Violations::default();
    violations.push(first.field.clone(), first.description.clone());
    violations.into_status()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gazetteer_server::domain::place::PlaceId;
    use gazetteer_server::errors::place_not_found;

    fn spoilt(hazard: Option<Hazard>, status: Status) -> Status {
        spoil(&hazard.into_iter().collect(), status)
    }

    fn two_violations() -> Status {
        let mut violations = Violations::default();
        violations.push("query", "must not be empty");
        violations.push("limit", "must be between 0 and 100");
        violations.into_status()
    }

    #[test]
    fn without_a_hazard_nothing_changes() {
        let (expected, got) = (two_violations(), spoilt(None, two_violations()));
        assert_eq!(
            (got.code(), got.message(), got.details()),
            (expected.code(), expected.message(), expected.details()),
        );
    }

    #[test]
    fn each_hazard_changes_the_status() {
        let missing = || place_not_found(PlaceId::new(7).unwrap());
        let unknown = spoilt(Some(Hazard::NotFoundAsUnknown), missing());
        assert_eq!(
            (unknown.code(), unknown.message()),
            (Code::Unknown, "place 7 not found")
        );
        let bare = spoilt(Some(Hazard::DetailsMissing), missing());
        assert_eq!((bare.code(), bare.details()), (Code::NotFound, &[][..]));
        let first = spoilt(Some(Hazard::FirstViolationOnly), two_violations());
        assert_eq!(first.message(), "query: must not be empty");
        let range = spoilt(Some(Hazard::InvalidAsOutOfRange), two_violations());
        assert_eq!(range.code(), Code::OutOfRange);
    }
}
