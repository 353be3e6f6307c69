//! Which recorded calls are sent, and by which rules their answers are compared.

use std::collections::BTreeSet;

use cutover_compare::{Descriptors, Method, SideEffects};
use cutover_manifest::{CompareRules, MirrorSideEffects, RouteTable};
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
        match call.incomplete {
            Some(Incomplete::CutMessage) => return Err(Skip::CutMessage),
            Some(_) => return Err(Skip::Incomplete),
            None => {}
        }
        let method = self.descriptors.method(&call.method);
        let method = method.ok_or(Skip::UnknownMethod)?;
        let accepted = self.table.route(&call.method).mirror.side_effects;
        if method.side_effects != SideEffects::None && accepted != MirrorSideEffects::Accept {
            return Err(Skip::SideEffects);
        }
        // One message is all that such a method takes, with or without its end.
        let whole = match method.client_streaming {
            true => call.half_closed,
            false => call.messages.len() == 1,
        };
        if whole { Ok(()) } else { Err(Skip::Incomplete) }
    }

    /// The method and the rules for its answers.
    pub(super) fn rules(&self, path: &str) -> Option<(&Method, &CompareRules)> {
        let method = self.descriptors.method(path)?;
        Some((method, &self.table.route(path).compare))
    }
}
