//! Compares two observations of one call: status, details, trailers, and every message field by
//! field. Works on decoded messages, never on bytes (the order of maps is free) and never on
//! generated structs (they drop unknown fields); only messages with equal bytes are equal at once.

mod clear;
mod finding;
mod inflate;
mod list;
mod place;
mod scalar;
mod signature;
mod unpack;
mod walk;

use cutover_manifest::CompareRules;
use prost_reflect::DynamicMessage;

use crate::descriptors::Method;
use crate::difference::{Comparison, Kind, Redaction};
use crate::observation::{Message, Observation, code_name};
use finding::Findings;
use place::Place;
use walk::Walk;

pub use clear::{Cleared, clear_redacted};

/// Trailers that are never compared, let alone stored.
const SECRET_TRAILERS: [&str; 4] = [
    "authorization",
    "cookie",
    "set-cookie",
    "proxy-authorization",
];
/// Path of differences in the status code. No rule can ignore it.
const STATUS: &str = "grpc_status";
/// Path of differences in the status message.
const STATUS_MESSAGE: &str = "grpc_message";
/// Path of differences in the status details.
const DETAILS: &str = "grpc_details";
/// Path of differences in the number of messages.
const MESSAGES: &str = "messages";

/// Compares what both arms did with one call. For a noise call, the primary's own observation and
/// the repeat stand in for the two arms.
///
/// Where the status codes differ, message and details are not compared: they follow from it.
#[must_use]
pub fn compare(
    method: &Method,
    rules: &CompareRules,
    legacy: &Observation,
    candidate: &Observation,
    redaction: &Redaction,
) -> Comparison {
    let findings = Findings::new(rules, redaction);
    let mut walk = Walk::new(
        rules,
        redaction,
        method.output.parent_pool().clone(),
        findings,
    );
    if legacy.status == candidate.status {
        compare_status_message(&mut walk, legacy, candidate);
        compare_details(&mut walk, legacy, candidate);
    } else {
        let names = [legacy, candidate].map(|observation| code_name(observation.status));
        walk.findings.plain(STATUS, Kind::Status, names);
    }
    compare_trailers(&mut walk, legacy, candidate);
    let counts = [legacy, candidate].map(|observation| observation.messages.len());
    if counts[0] != counts[1] && legacy.status == candidate.status {
        walk.findings.plain(
            MESSAGES,
            Kind::MessageCount,
            counts.map(|count| count.to_string()),
        );
    }
    for (one, other) in legacy.messages.iter().zip(&candidate.messages) {
        compare_message(&mut walk, method, (legacy, one), (candidate, other));
    }
    walk.findings.done()
}

fn compare_status_message(walk: &mut Walk<'_>, legacy: &Observation, candidate: &Observation) {
    if legacy.status_message != candidate.status_message && !walk.rule.ignores(STATUS_MESSAGE) {
        let texts = [&legacy.status_message, &candidate.status_message];
        walk.findings.text(
            STATUS_MESSAGE,
            Kind::Status,
            texts.map(|text| text.as_str()),
        );
    }
}

fn compare_details(walk: &mut Walk<'_>, legacy: &Observation, candidate: &Observation) {
    if legacy.details == candidate.details || walk.rule.ignores(DETAILS) {
        return;
    }
    let Some(status) = unpack::status_descriptor() else {
        return;
    };
    let decode = |bytes: &bytes::Bytes| DynamicMessage::decode(status.clone(), bytes.clone());
    match (decode(&legacy.details), decode(&candidate.details)) {
        (Ok(one), Ok(other)) => {
            walk.call_kind = Some(Kind::Details);
            walk.details(&one, &other, Place::root(DETAILS));
            walk.call_kind = None;
        }
        _ => {
            let bytes = [&legacy.details, &candidate.details];
            walk.findings
                .bytes(DETAILS, Kind::Details, bytes.map(|bytes| bytes.as_ref()));
        }
    }
}

fn compare_trailers(walk: &mut Walk<'_>, legacy: &Observation, candidate: &Observation) {
    for name in &walk.rules.trailers {
        let name = name.to_ascii_lowercase();
        if SECRET_TRAILERS.contains(&name.as_str()) || name.ends_with("-bin") {
            continue;
        }
        let values = |observation: &Observation| {
            let all = observation.trailers.iter().filter(|(key, _)| *key == name);
            all.map(|(_, value)| value.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        };
        let (one, other) = (values(legacy), values(candidate));
        if one != other {
            walk.findings
                .text(&format!("trailer.{name}"), Kind::Trailer, [&one, &other]);
        }
    }
}

fn compare_message(
    walk: &mut Walk<'_>,
    method: &Method,
    legacy: (&Observation, &Message),
    candidate: (&Observation, &Message),
) {
    let encoding = |side: (&Observation, &Message)| {
        side.1
            .compressed
            .then(|| side.0.encoding.clone().unwrap_or_default())
    };
    if legacy.1.bytes == candidate.1.bytes && encoding(legacy) == encoding(candidate) {
        return;
    }
    let decode = |side: (&Observation, &Message)| {
        let bytes = inflate::plain_bytes(side.1, side.0.encoding.as_deref())?;
        DynamicMessage::decode(method.output.clone(), bytes).map_err(|error| error.to_string())
    };
    match (decode(legacy), decode(candidate)) {
        (Ok(one), Ok(other)) => walk.messages(&one, &other, Place::root("")),
        (one, other) => {
            // Why it can't be decoded comes from the decoder, not from the payload.
            let reasons = [one, other].map(|side| side.err().unwrap_or_default());
            walk.findings.plain("", Kind::Undecodable, reasons);
        }
    }
}

#[cfg(test)]
mod tests;
