//! One ramp as a state machine: pure, with the verdict and the time handed in. It says what to
//! change and why; whoever drives it saves the change and tells the proxies.

use std::time::Duration;

use cutover_compare::VerdictKind;
use cutover_manifest::{OnFailure, Ramp, Step, Weight};
use cutover_proto::cutover::v1 as wire;

use crate::store::RampRow;

/// Where a ramp stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Waiting for evidence or for a hold to pass; see [`RampState::is_held`].
    Progressing,
    /// Stopped by an operator; a bad sign still rolls it back.
    Paused,
    /// Rolled back or aborted; latched until a person resumes it.
    Degraded,
    /// At the last step, still watched.
    Healthy,
}

/// What an operator does to a ramp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    Pause,
    Resume,
    Promote,
    PromoteFull,
    Abort,
}

/// Whether a transition makes the evidence so far worthless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evidence {
    Keep,
    Restart,
}

/// A change of weight or phase, for the decision log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transition {
    pub(crate) action: &'static str,
    pub(crate) from: Weight,
    pub(crate) to: Weight,
    pub(crate) why: String,
    pub(crate) evidence: Evidence,
}

/// Why a move is refused: what stands against it, and what would be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(pub(crate) &'static str);

/// One ramp's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RampState {
    pub(crate) phase: Phase,
    /// Index of the step in force; `None` before the first (weight 0).
    pub(crate) step: Option<usize>,
    /// When the step was entered, by the wall clock: for people only.
    pub(crate) entered_unix_ms: i64,
    /// How long the step was held while someone watched, by the monotonic clock.
    pub(crate) held: Duration,
    /// Windows of evidence opened in this epoch.
    pub(crate) windows: u64,
    /// Why it is paused, degraded or held.
    pub(crate) reason: String,
}

impl RampState {
    /// Before the first step; paused where there is a reason for that.
    pub(crate) fn new(unix_ms: i64, paused: &str) -> RampState {
        RampState {
            phase: if paused.is_empty() {
                Phase::Progressing
            } else {
                Phase::Paused
            },
            step: None,
            entered_unix_ms: unix_ms,
            held: Duration::ZERO,
            windows: 1,
            reason: paused.to_owned(),
        }
    }

    /// The weight it wants.
    pub(crate) fn weight(&self, steps: &[Step]) -> Weight {
        self.current(steps).map_or(Weight::ZERO, |step| step.weight)
    }

    /// How long the step has to be held at least.
    pub(crate) fn hold(&self, steps: &[Step]) -> Duration {
        self.current(steps).map_or(Duration::ZERO, |step| step.hold)
    }

    /// Whether evidence spoke against the candidate while no client could be hurt: at weight 0
    /// there is nothing to roll back, so the ramp stays without being latched. It goes on by itself
    /// when the evidence has begun anew and is good, or by an operator's move.
    pub(crate) fn is_held(&self) -> bool {
        self.phase == Phase::Progressing && !self.reason.is_empty()
    }

    /// Ends a hold of that kind: what was judged says nothing about what comes.
    pub(crate) fn release(&mut self, ramp: &Ramp) {
        if self.is_held() {
            self.reason.clear();
            self.phase = self.moving(ramp);
        }
    }

    /// Applies a verdict. `held_back` says why it may not advance now, whatever the evidence.
    pub(crate) fn tick(
        &mut self,
        ramp: &Ramp,
        verdict: VerdictKind,
        reason: &str,
        held_back: bool,
        unix_ms: i64,
    ) -> Option<Transition> {
        match (self.phase, verdict) {
            (Phase::Degraded, _) | (_, VerdictKind::Wait) => None,
            (_, VerdictKind::Rollback) if self.weight(&ramp.steps) > Weight::ZERO => {
                Some(self.fail(ramp, reason, unix_ms))
            }
            // A paused one stays anyway; its reason is the operator's.
            (Phase::Paused, VerdictKind::Rollback) => None,
            (_, VerdictKind::Rollback) => (!self.is_held()).then(|| self.stay(reason)),
            (Phase::Progressing, VerdictKind::Advance)
                if !held_back && !self.is_held() && self.held >= self.hold(&ramp.steps) =>
            {
                let next = self.step.map_or(0, |step| step + 1);
                Some(self.enter(ramp, next, "advance", reason.to_owned(), unix_ms))
            }
            (_, VerdictKind::Advance) => None,
        }
    }

    /// Applies an operator's move, or says why it can't be.
    pub(crate) fn apply(
        &mut self,
        ramp: &Ramp,
        step: Move,
        why: &str,
        unix_ms: i64,
    ) -> Result<Transition, Refused> {
        let last = ramp.steps.len() - 1;
        let stay = self.weight(&ramp.steps);
        let standing = |action| Transition {
            action,
            from: stay,
            to: stay,
            why: why.to_owned(),
            evidence: Evidence::Keep,
        };
        match (step, self.phase) {
            (Move::Pause, Phase::Paused) => Err(Refused("it is paused already")),
            (Move::Pause, Phase::Degraded) => Err(Refused(
                "it is degraded, so it stands still already: resume or abort it",
            )),
            (Move::Pause, _) => {
                self.phase = Phase::Paused;
                self.reason = why.to_owned();
                Ok(standing("pause"))
            }
            (Move::Resume, Phase::Paused) => {
                self.phase = self.moving(ramp);
                self.reason.clear();
                Ok(standing("resume"))
            }
            (Move::Resume, phase) if phase == Phase::Degraded || self.is_held() => {
                // After a rollback the step is none, so this begins at weight 0; after
                // `onFailure: hold` the weight stays where it was held.
                self.phase = self.moving(ramp);
                self.reason.clear();
                self.begin_step(unix_ms);
                self.windows = 1;
                Ok(Transition {
                    evidence: Evidence::Restart,
                    ..standing("resume")
                })
            }
            (Move::Resume, _) => Err(Refused("it is neither paused, degraded nor held")),
            (Move::Promote | Move::PromoteFull, Phase::Degraded) => Err(Refused(
                "it is degraded: resume it first, which begins anew at weight 0",
            )),
            (Move::Promote | Move::PromoteFull, _) if self.step == Some(last) => {
                Err(Refused("it is at the last step already"))
            }
            (Move::Promote, _) => {
                let next = self.step.map_or(0, |step| step + 1);
                Ok(self.enter(ramp, next, "promote", why.to_owned(), unix_ms))
            }
            (Move::PromoteFull, _) => {
                Ok(self.enter(ramp, last, "promote", why.to_owned(), unix_ms))
            }
            (Move::Abort, _) => {
                self.step = None;
                self.phase = Phase::Degraded;
                self.reason = format!("aborted: {why}");
                self.begin_step(unix_ms);
                Ok(Transition {
                    to: Weight::ZERO,
                    ..standing("abort")
                })
            }
        }
    }

    /// Finds its place in changed steps: the last one that is not above the weight it had.
    pub(crate) fn refit(&mut self, weight: Weight, ramp: &Ramp) {
        self.step = match self.step {
            None => None,
            Some(_) => ramp.steps.iter().rposition(|step| step.weight <= weight),
        };
        if matches!(self.phase, Phase::Progressing | Phase::Healthy) && !self.is_held() {
            self.phase = self.moving(ramp);
        }
    }

    /// As it is stored.
    pub(crate) fn row(&self, scope: &str, steps: &[Step]) -> RampRow {
        RampRow {
            weight_bp: u32::from(self.weight(steps).bp()),
            scope: scope.to_owned(),
            phase: wire::Phase::from(self.phase).into(),
            step: self.step_number(),
            entered_unix_ms: self.entered_unix_ms,
            held_ms: i64::try_from(self.held.as_millis()).unwrap_or(i64::MAX),
            windows: i64::try_from(self.windows).unwrap_or(i64::MAX),
            reason: self.reason.clone(),
        }
    }

    /// From its row, which may belong to other steps than today's. A phase that can't be read is
    /// taken as degraded: nothing moves then.
    pub(crate) fn from_row(row: &RampRow, ramp: &Ramp) -> RampState {
        let phase = match wire::Phase::try_from(row.phase) {
            Ok(wire::Phase::Progressing) => Phase::Progressing,
            Ok(wire::Phase::Paused) => Phase::Paused,
            Ok(wire::Phase::Healthy) => Phase::Healthy,
            _ => Phase::Degraded,
        };
        let mut state = RampState {
            phase,
            step: usize::try_from(row.step).ok(),
            entered_unix_ms: row.entered_unix_ms,
            held: Duration::from_millis(u64::try_from(row.held_ms).unwrap_or(0)),
            windows: u64::try_from(row.windows).unwrap_or(1).max(1),
            reason: row.reason.clone(),
        };
        state.refit(Weight::from_bp(row.weight_bp).unwrap_or(Weight::ZERO), ramp);
        state
    }

    /// Index of the step, -1 before the first.
    pub(crate) fn step_number(&self) -> i32 {
        self.step
            .and_then(|step| i32::try_from(step).ok())
            .unwrap_or(-1)
    }

    fn current<'a>(&self, steps: &'a [Step]) -> Option<&'a Step> {
        // Steps may have become fewer since the place was saved.
        self.step
            .and_then(|step| steps.get(step.min(steps.len() - 1)))
    }

    fn moving(&self, ramp: &Ramp) -> Phase {
        if self.step.is_some_and(|step| step + 1 >= ramp.steps.len()) {
            Phase::Healthy
        } else {
            Phase::Progressing
        }
    }

    fn begin_step(&mut self, unix_ms: i64) {
        self.entered_unix_ms = unix_ms;
        self.held = Duration::ZERO;
        self.windows = self.windows.saturating_add(1);
    }

    fn enter(
        &mut self,
        ramp: &Ramp,
        step: usize,
        action: &'static str,
        why: String,
        unix_ms: i64,
    ) -> Transition {
        let from = self.weight(&ramp.steps);
        self.step = Some(step.min(ramp.steps.len() - 1));
        self.phase = self.moving(ramp);
        self.reason.clear();
        self.begin_step(unix_ms);
        Transition {
            action,
            from,
            to: self.weight(&ramp.steps),
            why,
            evidence: Evidence::Keep,
        }
    }

    /// Holds it at weight 0. The weight is as before, so the step was not entered anew, but a new
    /// window opens.
    fn stay(&mut self, reason: &str) -> Transition {
        self.phase = Phase::Progressing;
        self.reason = reason.to_owned();
        self.windows = self.windows.saturating_add(1);
        Transition {
            action: "hold",
            from: Weight::ZERO,
            to: Weight::ZERO,
            why: reason.to_owned(),
            evidence: Evidence::Keep,
        }
    }

    fn fail(&mut self, ramp: &Ramp, reason: &str, unix_ms: i64) -> Transition {
        let from = self.weight(&ramp.steps);
        if ramp.on_failure == OnFailure::Rollback {
            self.step = None;
        }
        self.phase = Phase::Degraded;
        self.reason = reason.to_owned();
        self.begin_step(unix_ms);
        Transition {
            action: "rollback",
            from,
            to: self.weight(&ramp.steps),
            why: reason.to_owned(),
            evidence: Evidence::Keep,
        }
    }
}

impl From<Phase> for wire::Phase {
    fn from(phase: Phase) -> wire::Phase {
        match phase {
            Phase::Progressing => wire::Phase::Progressing,
            Phase::Paused => wire::Phase::Paused,
            Phase::Degraded => wire::Phase::Degraded,
            Phase::Healthy => wire::Phase::Healthy,
        }
    }
}

impl From<Phase> for i32 {
    fn from(phase: Phase) -> i32 {
        wire::Phase::from(phase).into()
    }
}

#[cfg(test)]
mod tests;
