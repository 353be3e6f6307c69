//! Compares two observations of one call: status, details, trailers, and every message field by
//! field. Works on decoded messages, never on bytes (the order of maps is free) and never on
//! generated structs (they drop unknown fields); only messages with equal bytes are equal at once:
//! no rule can make them differ.

mod clear;
mod finding;
mod inflate;
mod list;
mod place;
mod same;
mod scalar;
mod signature;
mod unpack;
mod walk;

use std::collections::BTreeSet;

use bytes::Bytes;
use cutover_manifest::CompareRules;
use prost_reflect::DynamicMessage;

use crate::descriptors::Method;
use crate::difference::{Comparison, Kind, Misfit, Redaction};
use crate::observation::{Message, Observation, code_name};
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
/// Path of differences in the number of messages; with `[]`, of messages that can't be compared.
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
    let mut walk = Walk::new(rules, redaction, method.output.parent_pool().clone());
    if legacy.status == candidate.status {
        compare_status_message(&mut walk, legacy, candidate);
        compare_details(&mut walk, legacy, candidate);
    } else {
        let names = [legacy, candidate].map(|observation| code_name(observation.status));
        walk.find_plain(&Place::ROOT.field(STATUS), Kind::Status, names);
    }
    compare_trailers(&mut walk, legacy, candidate);
    let counts = [legacy, candidate].map(|observation| observation.messages.len());
    if counts[0] != counts[1] && legacy.status == candidate.status {
        let counts = counts.map(|count| count.to_string());
        walk.find_plain(&Place::ROOT.field(MESSAGES), Kind::MessageCount, counts);
    }
    for (one, other) in legacy.messages.iter().zip(&candidate.messages) {
        compare_message(&mut walk, method, (legacy, one), (candidate, other));
    }
    walk.done()
}

fn compare_status_message(walk: &mut Walk<'_>, legacy: &Observation, candidate: &Observation) {
    let place = Place::ROOT.field(STATUS_MESSAGE);
    let texts = [&legacy.status_message, &candidate.status_message];
    let same = match walk.rule.normalizations(&place) {
        None => texts[0] == texts[1],
        Some(form) => scalar::same_text(texts[0], texts[1], form),
    };
    if !same && !walk.rule.ignores(&place) {
        walk.find_texts(&place, Kind::Status, texts.map(String::as_str));
    }
}

fn compare_details(walk: &mut Walk<'_>, legacy: &Observation, candidate: &Observation) {
    let place = Place::ROOT.field(DETAILS);
    if legacy.details == candidate.details || walk.rule.ignores(&place) {
        return;
    }
    let Some(status) = unpack::status_descriptor() else {
        return;
    };
    let decode = |bytes: &Bytes| DynamicMessage::decode(status.clone(), bytes.clone());
    match (decode(&legacy.details), decode(&candidate.details)) {
        (Ok(one), Ok(other)) => {
            walk.call_kind = Some(Kind::Details);
            walk.details(&one, &other, &place);
            walk.call_kind = None;
        }
        _ => {
            let bytes = [&legacy.details, &candidate.details];
            walk.find_bytes(&place, Kind::Details, bytes.map(|bytes| bytes.as_ref()));
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
            let trailers = Place::ROOT.field("trailer");
            walk.find_texts(&trailers.field(&name), Kind::Trailer, [&one, &other]);
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
    let plain =
        |side: (&Observation, &Message)| inflate::plain_bytes(side.1, side.0.encoding.as_deref());
    let (one, other) = match (plain(legacy), plain(candidate)) {
        (Ok(one), Ok(other)) => (one, other),
        (one, other) => {
            let reasons = [one, other].map(|side| side.err().unwrap_or_default());
            return walk.find_whole(reasons);
        }
    };
    let decode = |bytes: Bytes| DynamicMessage::decode(method.output.clone(), bytes);
    let [less, other_less] = same::without_equal_fields(method, [one.clone(), other.clone()]);
    match (decode(less), decode(other_less)) {
        (Ok(less), Ok(other_less)) => {
            // Only where what is left is mostly unknown does all of it have to be looked at.
            if mostly_unknown(&less) && mostly_unknown(&other_less) {
                let whole = [one, other].map(decode);
                if whole.iter().all(Result::is_err) {
                    walk.findings.misfit(Misfit::Undecodable);
                } else if whole.iter().flatten().all(mostly_unknown) {
                    walk.findings.misfit(Misfit::UnknownFields);
                }
            }
            walk.messages(&less, &other_less, &Place::ROOT);
        }
        (one, other) => {
            if one.is_err() && other.is_err() {
                walk.findings.misfit(Misfit::Undecodable);
            }
            // Why it can't be decoded comes from the decoder, not from the payload.
            let reason = |error: prost::DecodeError| error.to_string();
            let reasons = [one, other].map(|side| side.err().map(reason).unwrap_or_default());
            walk.find_whole(reasons);
        }
    }
}

/// Whether more fields are unknown than known.
fn mostly_unknown(message: &DynamicMessage) -> bool {
    let unknown: BTreeSet<u32> = message
        .unknown_fields()
        .map(|field| field.number())
        .collect();
    unknown.len() > message.fields().count()
}

#[cfg(test)]
mod tests;
