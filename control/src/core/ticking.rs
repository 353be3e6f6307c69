//! The ramp's beat: questions to the evidence, asked outside the lock, and what follows from the
//! answers.

use cutover_manifest::Arm;
use cutover_proto::cutover::v1 as wire;

use super::{Core, Moment, Run};
use crate::ledger::Totals;
use crate::ramp::Phase;
use crate::tally::MethodTally;
use crate::verdict::{Assessed, MethodTallies, Question, WINDOW, sentence, to_wire, trace_cell};
use crate::words::{ALL, OTHER};

/// Questions of one moment, and the epoch they belong to.
#[derive(Debug)]
pub(crate) struct Questions {
    pub(crate) epoch: u64,
    pub(crate) of: Vec<(String, Question)>,
}

/// What a control plane may do with the ramps at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Move them.
    Leads,
    /// Only move them back to safety: the store is away, and what would be decided could be lost.
    Careful(String),
    /// Only watch: another control plane moves them.
    Follows,
}

impl Core {
    /// Lets time pass, opens the windows that are due, and says what is to be judged.
    pub(crate) fn questions(&mut self, at: Moment) -> Questions {
        self.add_ramps(at);
        let Some(ramp) = self.manifest.ramp.clone() else {
            return Questions {
                epoch: self.epoch,
                of: Vec::new(),
            };
        };
        let passed = at.now.saturating_sub(self.last_tick);
        self.last_tick = at.now;
        let totals = self.ledger.totals();
        let calls = answered_by_candidate(&totals);
        if self.replica.led() {
            let footprints = self.processes.footprints(at.now);
            self.memory.look(footprints, calls, at.now);
        }
        let scopes: Vec<String> = self
            .active_ramps()
            .map(|(scope, _)| scope.to_owned())
            .collect();
        let mut of = Vec::new();
        for scope in scopes {
            let methods: Vec<String> = match scope.as_str() {
                ALL => totals
                    .keys()
                    .filter(|m| *m != OTHER && !self.is_pinned(m))
                    .cloned()
                    .collect(),
                method => vec![method.to_owned()],
            };
            let Some(run) = self.ramps.get_mut(&scope) else {
                continue;
            };
            run.state.held = run.state.held.saturating_add(passed);
            if run.state.phase == Phase::Degraded {
                continue;
            }
            let noise_share = |method: &str| {
                let noise = self.table.route(method).mirror.noise;
                f64::from(noise.bp()) / 10_000.0
            };
            let tallies = |method: &String| MethodTallies {
                whole: totals.get(method).cloned().unwrap_or_default(),
                recent: since(&totals, &run.baseline, method),
                noise_share: noise_share(method),
                traces: self
                    .traces
                    .status(method)
                    .map(|status| trace_cell(&status))
                    .unwrap_or_default(),
            };
            let question = Question {
                gates: ramp.gates,
                weight: run.state.weight(&ramp.steps),
                window: run.state.windows,
                methods: methods.iter().map(tallies).collect(),
                memory: self.memory.cell(),
            };
            of.push((scope, question));
            if at.now.saturating_sub(run.opened) >= WINDOW {
                run.state.windows = run.state.windows.saturating_add(1);
                run.open_window(totals.clone(), at.now);
            }
        }
        Questions {
            epoch: self.epoch,
            of,
        }
    }

    /// Clients' calls of a ramp's methods.
    fn calls_per_second(&mut self, scope: &str) -> f64 {
        let methods = match scope {
            ALL => self.known_methods(),
            method => vec![method.to_owned()],
        };
        let ramped = methods.iter().filter(|m| *m != OTHER && !self.is_pinned(m));
        let of = |method: &String| Arm::BOTH.map(|arm| self.rates.per_second(method, arm));
        ramped.flat_map(of).sum()
    }

    /// Whether a verdict is another than when this was last asked.
    pub(crate) fn take_verdicts_moved(&mut self) -> bool {
        std::mem::take(&mut self.verdicts_moved)
    }

    /// Applies the answers to the questions of `epoch`; those of another epoch are void.
    pub(crate) fn answers(
        &mut self,
        epoch: u64,
        answers: Vec<(String, Assessed)>,
        standing: &Standing,
        at: Moment,
    ) -> Vec<wire::Decision> {
        let Some(ramp) = self.manifest.ramp.clone().filter(|_| epoch == self.epoch) else {
            return Vec::new();
        };
        let mut decisions = Vec::new();
        for (scope, Assessed { verdict, basis }) in answers {
            let calls_per_second = self.calls_per_second(&scope);
            let overridden =
                self.overrides.contains_key(&scope) || self.overrides.contains_key(ALL);
            let Some(run) = self.ramps.get_mut(&scope) else {
                continue;
            };
            let reason = sentence(&verdict);
            let kind = verdict.kind;
            let before = std::mem::replace(&mut run.verdict, to_wire(&verdict));
            run.basis = Some(basis);
            pace(&mut run.verdict, calls_per_second);
            if run.state.phase == Phase::Progressing {
                run.show_what_holds_it_back(&ramp, overridden, standing);
            }
            self.verdicts_moved |= before != run.verdict;
            if *standing == Standing::Follows {
                continue;
            }
            let held_back = overridden || *standing != Standing::Leads;
            let transition = run.state.tick(&ramp, kind, &reason, held_back, at.unix_ms);
            if let Some(transition) = transition {
                decisions.push(self.log(&scope, "ramp", transition, at));
            }
        }
        decisions
    }
}

impl Run {
    /// Adds the gates that are no tests: the hold, an operator's override, what was judged before,
    /// and the store.
    fn show_what_holds_it_back(
        &mut self,
        ramp: &cutover_manifest::Ramp,
        overridden: bool,
        standing: &Standing,
    ) {
        let (held, hold) = (self.state.held, self.state.hold(&ramp.steps));
        let is_held = self.state.is_held();
        let mut gate = |passed: bool, reason: String| {
            let kind = if passed {
                wire::VerdictKind::Advance
            } else {
                wire::VerdictKind::Wait
            };
            if !passed && self.verdict.kind == i32::from(wire::VerdictKind::Advance) {
                self.verdict.kind = wire::VerdictKind::Wait.into();
            }
            let verdict = kind.into();
            let name = "hold".to_owned();
            self.verdict.gates.push(wire::Gate {
                name,
                verdict,
                reason,
                ..Default::default()
            });
        };
        if !hold.is_zero() {
            let (held_s, hold_s) = (held.min(hold).as_secs_f64(), hold.as_secs_f64());
            gate(
                held >= hold,
                format!("held for {held_s:.1} s of {hold_s:.1} s"),
            );
        }
        if overridden {
            let reason = "an operator's override is in force: the ramp stays until it is reset";
            gate(false, reason.to_owned());
        }
        if is_held {
            let reason = "the evidence spoke against the candidate at weight 0: \
                          a deploy or `cutover resume` begins it anew";
            gate(false, reason.to_owned());
        }
        if let Standing::Careful(why) = standing {
            gate(false, why.clone());
        }
        let shows_wait = |gate: &wire::Gate| gate.verdict != self.verdict.kind;
        self.verdict.gates.sort_by_key(shows_wait);
    }
}

/// Says how long what is needed takes, where it takes more than a few minutes.
fn pace(verdict: &mut wire::Verdict, calls_per_second: f64) {
    const WORTH_SAYING: f64 = 300.0;
    let waits = |gate: &&mut wire::Gate| gate.verdict == i32::from(wire::VerdictKind::Wait);
    for gate in verdict.gates.iter_mut().filter(waits) {
        let Some(more) = gate.more_calls.filter(|_| calls_per_second > 0.0) else {
            continue;
        };
        let seconds = more as f64 / calls_per_second;
        if seconds >= WORTH_SAYING {
            let (rate, takes) = (calls_per_second, about(seconds));
            gate.reason += &format!("; at {rate:.1} calls/s this takes about {takes}");
        }
    }
}

/// A duration as people say it.
fn about(seconds: f64) -> String {
    match seconds / 60.0 {
        minutes if minutes < 90.0 => format!("{minutes:.0} minutes"),
        minutes if minutes < 36.0 * 60.0 => format!("{:.0} hours", minutes / 60.0),
        minutes => format!("{:.0} days", minutes / 1_440.0),
    }
}

/// Calls of all kinds, copies too: each may leave something behind.
fn answered_by_candidate(totals: &Totals) -> u64 {
    let cells = totals.values().flat_map(|tally| &tally.calls);
    cells
        .filter(|(key, _)| key.arm == Arm::Candidate)
        .map(|(_, cell)| cell.calls())
        .sum()
}

fn since(totals: &Totals, baseline: &Totals, method: &str) -> MethodTally {
    let now = totals.get(method).cloned().unwrap_or_default();
    baseline
        .get(method)
        .map_or_else(|| now.clone(), |then| now.since(then))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use cutover_manifest::Manifest;

    use super::*;
    use crate::ramp::Move;
    use crate::replicas::Replica;
    use crate::store::Saved;

    const MANIFEST: &str = "
apiVersion: cutover.dev/v1alpha1
kind: Cutover
metadata: { name: a }
spec:
  legacy: { url: \"http://127.0.0.1:1\" }
  candidate: { url: \"http://127.0.0.1:2\" }
  ramp: { scope: service, steps: [{ weight: 10, hold: 1h }, { weight: 100 }] }
";
    const HOUR_MS: i64 = 3_600_000;

    #[test]
    fn a_wall_clock_that_jumps_moves_no_ramp_and_shortens_no_hold() {
        let manifest = Arc::new(Manifest::parse("test", MANIFEST).unwrap());
        let moment = |seconds, unix_ms| Moment {
            now: Duration::from_secs(seconds),
            unix_ms,
        };
        let (mut core, _) = Core::new(
            manifest,
            &Saved::default(),
            Replica::alone(),
            moment(0, HOUR_MS),
        );
        let promoted = core.move_ramp(ALL, Move::Promote, ("ada", "why"), moment(0, HOUR_MS));
        assert_eq!(promoted.unwrap().len(), 1);
        for (seconds, unix_ms) in [(1, 3 * HOUR_MS), (2, -HOUR_MS), (3, HOUR_MS)] {
            let at = moment(seconds, unix_ms);
            let questions = core.questions(at);
            let judged = questions
                .of
                .into_iter()
                .map(|(scope, q)| (scope, q.assess()));
            let decisions = core.answers(questions.epoch, judged.collect(), &Standing::Leads, at);
            assert!(decisions.is_empty(), "{decisions:?}");
            let (_, run) = core.active_ramps().next().unwrap();
            assert_eq!(run.state.phase, Phase::Progressing);
            assert_eq!(run.state.held, Duration::from_secs(seconds));
        }
    }

    #[test]
    fn says_how_long_a_ramp_waits_at_the_pace_of_its_calls() {
        let says = |more_calls, calls_per_second| {
            let gate = wire::Gate {
                verdict: wire::VerdictKind::Wait.into(),
                reason: "why".to_owned(),
                more_calls,
                ..wire::Gate::default()
            };
            let mut verdict = wire::Verdict {
                gates: vec![gate],
                ..wire::Verdict::default()
            };
            pace(&mut verdict, calls_per_second);
            verdict.gates.remove(0).reason
        };
        let slow = "why; at 3.0 calls/s this takes about 14 days";
        assert_eq!(says(Some(3_628_800), 3.0), slow);
        let hours = "why; at 500.0 calls/s this takes about 2 hours";
        assert_eq!(says(Some(3_628_800), 500.0), hours);
        for (more, pace) in [(Some(500), 500.0), (Some(500), 0.0), (None, 3.0)] {
            assert_eq!(says(more, pace), "why");
        }
    }
}
