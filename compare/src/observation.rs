//! What one arm did with one call, as the proxy saw it on the wire.

use std::time::Duration;

use bytes::Bytes;

/// Names of the gRPC status codes, by number.
const CODE_NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// What one arm did with one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// gRPC status code, 0 for OK.
    pub status: u32,
    /// `grpc-message`, percent-decoded.
    pub status_message: String,
    /// `grpc-status-details-bin`, base64-decoded; may be empty.
    pub details: Bytes,
    /// Trailers with text values; names in lower case.
    pub trailers: Vec<(String, String)>,
    /// `grpc-encoding`, where the answer had one.
    pub encoding: Option<String>,
    /// The messages of the answer, in order.
    pub messages: Vec<Message>,
    /// From the request's arrival to the end of the answer.
    pub duration: Duration,
}

/// One gRPC message without its prefix of 5 bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The prefix's flag.
    pub compressed: bool,
    /// The payload as it was on the wire.
    pub bytes: Bytes,
}

/// Whether a status is the arm's own failure. What the caller brought about (a wrong argument, a
/// missing thing, a cancelled call, …) is not, though it is a difference where the arms disagree.
#[must_use]
pub fn is_failure(status: u32) -> bool {
    match status {
        // OK, CANCELLED, INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, PERMISSION_DENIED,
        // FAILED_PRECONDITION, ABORTED, OUT_OF_RANGE, UNAUTHENTICATED.
        0 | 1 | 3 | 5 | 6 | 7 | 9 | 10 | 11 | 16 => false,
        // UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE,
        // DATA_LOSS, and codes that gRPC doesn't have.
        _ => true,
    }
}

/// `NOT_FOUND` for 5; the number itself where gRPC has no such code.
#[must_use]
pub fn code_name(status: u32) -> String {
    let known = usize::try_from(status)
        .ok()
        .and_then(|code| CODE_NAMES.get(code));
    known.map_or_else(|| status.to_string(), |name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_callers_doing_is_no_failure_of_the_arm() {
        let failures: Vec<String> = (0..=17)
            .filter(|code| is_failure(*code))
            .map(code_name)
            .collect();
        let expected = [
            "UNKNOWN",
            "DEADLINE_EXCEEDED",
            "RESOURCE_EXHAUSTED",
            "UNIMPLEMENTED",
            "INTERNAL",
            "UNAVAILABLE",
            "DATA_LOSS",
            "17",
        ];
        assert_eq!(failures, expected);
    }
}
