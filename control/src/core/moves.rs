//! What an operator can change: overrides of weights, and moves of ramps.

use std::collections::BTreeMap;

use cutover_manifest::{MethodPath, Weight};
use cutover_proto::cutover::v1 as wire;

use super::{Core, Moment};
use crate::ramp::Move;
use crate::words::{ALL, OTHER};

/// Most overrides at a time.
const MAX_OVERRIDES: usize = 1_000;

/// Why a change is refused: the sentence says what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChangeError {
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// There is no such scope.
    #[error("{0}")]
    NotFound(String),
    /// Not in the state that things are in.
    #[error("{0}")]
    Refused(String),
    /// Based on another state than the one that things are in.
    #[error(
        "this is based on revision {based_on}, but the state is at revision {current}: look at \
         it (`cutover status`), and ask again with that revision if it is still right"
    )]
    Stale {
        /// As the request says.
        based_on: u64,
        /// The generation now.
        current: u64,
    },
}

impl Core {
    /// Whether a request may change the state as it is now: one that says which state it is based
    /// on may change no other. Every change raises the generation, so none can be replayed.
    pub(crate) fn check_revision(&self, based_on: Option<u64>) -> Result<(), ChangeError> {
        let current = self.generation;
        match based_on {
            Some(based_on) if based_on != current => Err(ChangeError::Stale { based_on, current }),
            _ => Ok(()),
        }
    }

    /// Overrides a weight, or ends an override.
    pub(crate) fn set_weight(
        &mut self,
        scope: &str,
        weight: Option<Weight>,
        (who, why): (&str, &str),
        at: Moment,
    ) -> Result<Vec<wire::Decision>, ChangeError> {
        let before = self.weight_of(scope);
        let action = match weight {
            Some(weight) => {
                self.check_scope(scope)?;
                let is_new = !self.overrides.contains_key(scope);
                if is_new && self.overrides.len() >= MAX_OVERRIDES {
                    let message = format!("{MAX_OVERRIDES} overrides are in force: reset some");
                    return Err(ChangeError::Refused(message));
                }
                let new = wire::Override {
                    scope: scope.to_owned(),
                    weight_bp: weight.bp().into(),
                    who: who.to_owned(),
                    why: why.to_owned(),
                    at_unix_ms: at.unix_ms,
                };
                self.overrides.insert(scope.to_owned(), new);
                "override"
            }
            None => {
                self.overrides.remove(scope).ok_or_else(|| {
                    ChangeError::Refused(format!("there is no override of {scope} to reset"))
                })?;
                "reset"
            }
        };
        self.rebuild();
        let weights = (before, self.weight_of(scope));
        Ok(vec![self.decision(scope, action, weights, who, why, at)])
    }

    /// Moves one ramp, or with `*` all that can be moved so.
    pub(crate) fn move_ramp(
        &mut self,
        scope: &str,
        step: Move,
        (who, why): (&str, &str),
        at: Moment,
    ) -> Result<Vec<wire::Decision>, ChangeError> {
        let Some(ramp) = self.manifest.ramp.clone() else {
            let message = "the manifest has no ramp: add spec.ramp, or set the weight instead";
            return Err(ChangeError::Refused(message.to_owned()));
        };
        let scopes: Vec<String> = self
            .active_ramps()
            .map(|(name, _)| name.to_owned())
            .filter(|name| scope == ALL || name == scope)
            .collect();
        let lifted =
            scope == ALL && step == Move::Resume && !std::mem::take(&mut self.latch).is_empty();
        if scopes.is_empty() && !lifted {
            return Err(self.no_ramp(scope));
        }
        let mut decisions = Vec::new();
        let mut refused = None;
        for name in scopes {
            let Some(run) = self.ramps.get_mut(&name) else {
                continue;
            };
            match run.state.apply(&ramp, step, why, at.unix_ms) {
                Ok(transition) => decisions.push(self.log(&name, who, transition, at)),
                Err(refusal) => refused = Some(format!("the ramp of {name}: {refusal}")),
            }
        }
        if lifted && decisions.is_empty() {
            let weight = self.weight_of(ALL);
            decisions.push(self.decision(ALL, "resume", (weight, weight), who, why, at));
        }
        match refused {
            Some(refused) if decisions.is_empty() => Err(ChangeError::Refused(refused)),
            _ => Ok(decisions),
        }
    }

    fn no_ramp(&self, scope: &str) -> ChangeError {
        let active: Vec<&str> = self.active_ramps().map(|(name, _)| name).take(20).collect();
        if scope != ALL && MethodPath::parse(scope).is_ok() && self.is_pinned(scope) {
            let message = format!("{scope} has no ramp: the manifest pins its weight");
            return ChangeError::Refused(message);
        }
        ChangeError::NotFound(match active.as_slice() {
            [] => "there is no ramp yet: no method was called so far".to_owned(),
            names => format!(
                "there is no ramp of {scope}; there are {}",
                names.join(", ")
            ),
        })
    }

    fn check_scope(&mut self, scope: &str) -> Result<(), ChangeError> {
        if scope == ALL {
            return Ok(());
        }
        let path = MethodPath::parse(scope)
            .ok()
            .filter(|path| path.as_str() == scope);
        let path = path.ok_or_else(|| {
            let message = format!("scope {scope:?}: write * or /package.Service/Method");
            ChangeError::Invalid(message)
        })?;
        let known = self.known_methods();
        let prefix = format!("/{}/", path.service());
        if !known.is_empty() && !known.iter().any(|method| method.starts_with(&prefix)) {
            return Err(ChangeError::NotFound(format!(
                "service {} is unknown; known methods are {}",
                path.service(),
                known.into_iter().take(20).collect::<Vec<_>>().join(", ")
            )));
        }
        Ok(())
    }

    /// The weight in force, basis points; for all methods, the one that most get that
    /// the manifest pins none for.
    pub(super) fn weight_of(&mut self, scope: &str) -> u32 {
        if scope != ALL {
            return self.table.route(scope).weight.bp().into();
        }
        let mut methods_by_weight: BTreeMap<u32, usize> = BTreeMap::new();
        for method in self.known_methods() {
            if method != OTHER && !self.is_pinned(&method) {
                let weight = self.table.route(&method).weight.bp();
                *methods_by_weight.entry(weight.into()).or_default() += 1;
            }
        }
        // Of equally many, the larger weight: it comes last.
        let most = methods_by_weight.into_iter().max_by_key(|(_, n)| *n);
        let all = self.overrides.get(ALL).map(|o| o.weight_bp);
        most.map(|(weight, _)| weight)
            .or(all)
            .unwrap_or_else(|| self.weights().ramp.bp().into())
    }
}
