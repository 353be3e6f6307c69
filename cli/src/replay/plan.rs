//! Which recorded calls are sent, and by which rules their answers are compared.

use std::collections::BTreeSet;

use cutover_compare::{Descriptors, Method, SideEffects};
use cutover_manifest::{CompareRules, MirrorSideEffects, RouteTable, Weight};
use cutover_proxy::journal::{Incomplete, RecordedCall};

use crate::failure::Failure;
use crate::operate::scope;

/// Why a recorded call is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Skip {
    /// `--methods` doesn't name it.
    NotAsked,
    /// The descriptors don't have it.
    UnknownMethod,
    /// It may write, and the manifest doesn't accept that.
    SideEffects,
    /// The recording doesn't have all of its request.
    Incomplete,
    /// A message was left out when it was recorded.
    CutMessage,
}

impl Skip {
    /// The word in JSON.
    pub(super) fn word(self) -> &'static str {
        match self {
            Skip::NotAsked => "not_asked",
            Skip::UnknownMethod => "unknown_method",
            Skip::SideEffects => "side_effects",
            Skip::Incomplete => "incomplete",
            Skip::CutMessage => "cut_message",
        }
    }

    /// For a person.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Skip::NotAsked => "not among --methods",
            Skip::UnknownMethod => "the descriptors have no such method",
            Skip::SideEffects => {
                "may have side effects: mark it NO_SIDE_EFFECTS, or say acceptSideEffects in its \
                 rule"
            }
            Skip::Incomplete => "the recording doesn't have the whole request",
            Skip::CutMessage => "a message was left out or cut off when it was recorded",
        }
    }
}

/// What is sent, and how it is compared.
#[derive(Debug)]
pub(super) struct Plan {
    descriptors: Descriptors,
    table: RouteTable,
    /// Empty: all.
    asked: BTreeSet<String>,
}

impl Plan {
    /// `methods` are names or paths, as a person writes them; none means all.
    pub(super) fn new(
        descriptors: Descriptors,
        table: RouteTable,
        methods: &[String],
    ) -> Result<Plan, Failure> {
        let paths = descriptors.paths();
        let known: BTreeSet<&str> = paths.iter().map(|path| path.as_str()).collect();
        let mut asked = BTreeSet::new();
        for given in methods {
            asked.insert(scope::one_of(given.trim(), &known)?.to_owned());
        }
        Ok(Plan {
            descriptors,
            table,
            asked,
        })
    }

    /// Whether a call is sent.
    pub(super) fn admit(&self, call: &RecordedCall) -> Result<(), Skip> {
        if !self.asked.is_empty() && !self.asked.contains(&call.method) {
            return Err(Skip::NotAsked);
        }
        let method = self.descriptors.method(&call.method);
        let method = method.ok_or(Skip::UnknownMethod)?;
        let accepted = self.table.route(&call.method).mirror.side_effects;
        if method.side_effects != SideEffects::None && accepted != MirrorSideEffects::Accept {
            return Err(Skip::SideEffects);
        }
        match call.incomplete {
            Some(Incomplete::CutMessage) => return Err(Skip::CutMessage),
            Some(_) => return Err(Skip::Incomplete),
            None => {}
        }
        // One message is all that such a method takes, with or without its end.
        let whole = match method.client_streaming {
            true => call.half_closed,
            false => call.messages.len() == 1,
        };
        if whole { Ok(()) } else { Err(Skip::Incomplete) }
    }

    /// Whether the legacy is asked a second time, for noise: so for the share of calls that the
    /// rule says.
    pub(super) fn asks_twice(&self, path: &str) -> bool {
        let share = self.table.route(path).mirror.noise;
        rand::random_range(0..Weight::FULL.bp()) < share.bp()
    }

    /// The method and the rules for its answers.
    pub(super) fn rules(&self, path: &str) -> Option<(&Method, &CompareRules)> {
        let method = self.descriptors.method(path)?;
        Some((method, &self.table.route(path).compare))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use cutover_manifest::{Manifest, Weights};
    use cutover_proto::gazetteer::FILE_DESCRIPTOR_SET;

    use super::*;

    const SERVICE: &str = "/gazetteer.v1.GazetteerService";
    const ACCEPTS: &str = "  rules:\n  - matches: [{ method: { service: \
        gazetteer.v1.GazetteerService, method: RecordVisit } }]\n    \
        mirror: { percent: 0, acceptSideEffects: true }\n";

    fn plan(rules: &str, methods: &[&str]) -> Result<Plan, Failure> {
        let text = format!(
            "apiVersion: cutover.dev/v1alpha1\nkind: Cutover\nmetadata: {{ name: t }}\nspec:\n  \
             legacy: {{ url: \"http://a:1\" }}\n  candidate: {{ url: \"http://b:1\" }}\n{rules}"
        );
        let manifest = Arc::new(Manifest::parse("t.yaml", &text).unwrap());
        let methods: Vec<String> = methods.iter().map(|&name| name.to_owned()).collect();
        Plan::new(
            Descriptors::decode(FILE_DESCRIPTOR_SET).unwrap(),
            RouteTable::build(manifest, &Weights::default(), 0, 0),
            &methods,
        )
    }

    fn call(method: &str, messages: usize) -> RecordedCall {
        RecordedCall {
            method: format!("{SERVICE}/{method}"),
            messages: vec![Bytes::new(); messages],
            ..RecordedCall::default()
        }
    }

    fn ended(call: RecordedCall) -> RecordedCall {
        RecordedCall {
            half_closed: true,
            ..call
        }
    }

    #[test]
    fn a_write_is_sent_only_where_the_manifest_accepts_it() {
        let visit = ended(call("RecordVisit", 1));
        assert_eq!(plan("", &[]).unwrap().admit(&visit), Err(Skip::SideEffects));
        assert_eq!(plan(ACCEPTS, &[]).unwrap().admit(&visit), Ok(()));
    }

    #[test]
    fn a_stream_of_the_client_needs_its_end_and_one_message_does_not() {
        let plan = plan("", &[]).unwrap();
        for (call, expected) in [
            (call("GetPlace", 1), Ok(())),
            (call("GetPlace", 0), Err(Skip::Incomplete)),
            (call("GetPlace", 2), Err(Skip::Incomplete)),
            (call("Suggest", 2), Err(Skip::Incomplete)),
            (ended(call("Suggest", 2)), Ok(())),
            (ended(call("MeasureRoute", 0)), Ok(())),
            (call("Nope", 1), Err(Skip::UnknownMethod)),
        ] {
            assert_eq!(plan.admit(&call), expected, "{call:?}");
        }
    }

    #[test]
    fn what_was_not_recorded_whole_is_not_sent() {
        let plan = plan("", &[]).unwrap();
        for (why, expected) in [
            (Incomplete::CutMessage, Skip::CutMessage),
            (Incomplete::MissingEntry, Skip::Incomplete),
            (Incomplete::NoHeader, Skip::Incomplete),
        ] {
            let mut call = ended(call("GetPlace", 1));
            call.incomplete = Some(why);
            assert_eq!(plan.admit(&call), Err(expected));
        }
    }

    #[test]
    fn methods_are_picked_by_name_and_a_wrong_name_is_told() {
        let picky = plan("", &["GetPlace"]).unwrap();
        assert_eq!(picky.admit(&call("GetPlace", 1)), Ok(()));
        assert_eq!(picky.admit(&call("SearchPlaces", 1)), Err(Skip::NotAsked));
        let wrong = plan("", &["GetPlaec"]).unwrap_err().to_string();
        assert!(wrong.contains("did you mean GetPlace?"), "{wrong}");
    }
}
