//! What goes wrong as gRPC status: the one place that makes a [`Status`].

use tonic::{Code, Status};
use tonic_types::{BadRequest, ErrorDetails, FieldViolation, StatusExt};

use crate::domain::place::PlaceId;

/// How tonic begins to say that a message is over the size limit (as OUT_OF_RANGE, where gRPC
/// says RESOURCE_EXHAUSTED).
const OVERSIZE_PREFIX: &str = "Error, decoded message length too large";
/// How every decoding error of prost begins.
const UNDECODABLE_PREFIX: &str = "failed to decode Protobuf message";

/// The broken constraints of one request, in order of field number.
#[derive(Debug, Default)]
pub struct Violations(Vec<FieldViolation>);

impl Violations {
    /// Adds that `field` is not as `description` says it must be.
    pub fn push(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.0.push(FieldViolation::new(field, description));
    }

    /// INVALID_ARGUMENT if there is any violation.
    pub fn into_result(self) -> Result<(), Status> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(self.into_status())
        }
    }

    /// INVALID_ARGUMENT with every violation, in the message and as a detail.
    pub fn into_status(self) -> Status {
        let texts: Vec<_> = self
            .0
            .iter()
            .map(|v| format!("{}: {}", v.field, v.description))
            .collect();
        let mut details = ErrorDetails::new();
        details.set_bad_request(BadRequest::new(self.0).field_violations);
        Status::with_error_details(Code::InvalidArgument, texts.join("; "), details)
    }
}

/// The client's fault: no place has this id.
pub fn place_not_found(id: PlaceId) -> Status {
    let id = id.get();
    let details = ErrorDetails::with_resource_info(
        "gazetteer.v1.Place",
        id.to_string(),
        "",
        "no place has this id",
    );
    Status::with_error_details(Code::NotFound, format!("place {id} not found"), details)
}

/// Ours: the database failed. What failed goes to the log, not to the client.
pub fn database_unavailable() -> Status {
    Status::unavailable("database unavailable")
}

/// The client's fault: the service has no such method.
pub fn unknown_method() -> Status {
    Status::unimplemented("Method not found!")
}

/// Ours, for now: as many calls as there may be are running.
pub fn too_many_calls() -> Status {
    Status::resource_exhausted("Concurrent RPC limit exceeded!")
}

/// What the transport says about a request: undecodable bytes in the words of the contract,
/// oversized messages in those of gRPC's C core, which legacy is built on. Anything else stays as
/// it is.
pub fn from_transport(status: Status) -> Status {
    match status.code() {
        Code::Internal if status.message().starts_with(UNDECODABLE_PREFIX) => {
            Status::internal("malformed request")
        }
        Code::OutOfRange if status.message().starts_with(OVERSIZE_PREFIX) => {
            let mut sizes = status.message()[OVERSIZE_PREFIX.len()..].split(' ');
            let mut next_size = || sizes.find_map(|word| word.parse::<u64>().ok()).unwrap_or(0);
            let (found, most) = (next_size(), next_size());
            Status::resource_exhausted(format!(
                "SERVER: Received message larger than max ({found} vs. {most})"
            ))
        }
        _ => status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_names_every_violation_in_order() {
        let mut violations = Violations::default();
        violations.push("query", "must not be empty");
        violations.push("limit", "must be between 0 and 100");
        let status = violations.into_result().unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        let message = "query: must not be empty; limit: must be between 0 and 100";
        assert_eq!(status.message(), message);
        let details = status.get_error_details();
        let fields: Vec<_> = details
            .bad_request()
            .unwrap()
            .field_violations
            .iter()
            .map(|v| (v.field.as_str(), v.description.as_str()))
            .collect();
        assert_eq!(
            fields,
            [
                ("query", "must not be empty"),
                ("limit", "must be between 0 and 100")
            ]
        );
    }

    #[test]
    fn no_violation_is_no_error() {
        assert!(Violations::default().into_result().is_ok());
    }

    #[test]
    fn rewrites_what_the_transport_says_of_bad_messages_only() {
        let check = |status: Status, code, message| {
            let rewritten = from_transport(status);
            assert_eq!((rewritten.code(), rewritten.message()), (code, message));
        };
        let undecodable = Status::internal("failed to decode Protobuf message: buffer underflow");
        check(undecodable, Code::Internal, "malformed request");
        let oversize = Status::out_of_range(
            "Error, decoded message length too large: found 9 bytes, the limit is: 8 bytes",
        );
        check(
            oversize,
            Code::ResourceExhausted,
            "SERVER: Received message larger than max (9 vs. 8)",
        );
        check(Status::cancelled("gone"), Code::Cancelled, "gone");
        check(
            database_unavailable(),
            Code::Unavailable,
            "database unavailable",
        );
    }
}
