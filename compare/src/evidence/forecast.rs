//! How much traffic a ramp takes at least: its gates, put to the evidence that there would be if
//! both arms always agreed, answered equally fast and never failed.

use std::time::Duration;

use cutover_manifest::{Arm, Gates, Percent, Ramp, Role, TracesGate, Weight};

use super::counters::{CallCell, MethodEvidence, PairCell, TraceCell};
use super::gates::{Levels, least};
use super::verdict::{VerdictKind, judge};
use crate::Histogram;

/// How long each call takes, as far as gates care.
const DURATION: Duration = Duration::from_millis(5);

/// The way from one weight to the next.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// The weight in force.
    pub weight: Weight,
    /// How long it is held at least.
    pub hold: Duration,
    /// What its gates need.
    pub needed: Needed,
}

/// What the gates of a stage need.
#[derive(Clone, Debug, PartialEq)]
pub enum Needed {
    /// So many calls of clients.
    Calls {
        /// The number, evidence of earlier stages made use of.
        calls: u64,
        /// The gate that is passed last.
        gate: &'static str,
    },
    /// No number of calls passes them.
    Never {
        /// The gate that waits.
        gate: &'static str,
        /// For what.
        reason: String,
    },
}

impl Stage {
    /// How long it takes at a rate of calls, per second; `None`: for ever.
    #[must_use]
    pub fn takes(&self, per_second: f64) -> Option<Duration> {
        match self.needed {
            Needed::Calls { calls, .. } => {
                let seconds = calls as f64 / per_second;
                let counted = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
                Some(counted.max(self.hold))
            }
            Needed::Never { .. } => None,
        }
    }
}

/// The stages from weight 0 up to the last step of a ramp, up to the first that is never passed.
/// With `per_second`, calls of clients per second, what comes while a weight is held counts too.
#[must_use]
pub fn forecast(ramp: &Ramp, mirrored: Percent, per_second: Option<f64>) -> Vec<Stage> {
    let from_zero = std::iter::once((Weight::ZERO, Duration::ZERO));
    let steps = ramp.steps.iter().map(|step| (step.weight, step.hold));
    let mut before = MethodEvidence::default();
    let mut stages = Vec::new();
    // At the last step there is nothing more to pass.
    for (weight, hold) in from_zero.chain(steps).take(ramp.steps.len()) {
        let needed = needed(&ramp.gates, weight, mirrored, &before);
        let calls = match needed {
            Needed::Calls { calls, .. } => calls,
            Needed::Never { .. } => 0,
        };
        let held = per_second.map_or(0.0, |rate| rate * hold.as_secs_f64());
        before.merge(&flawless(
            weight,
            mirrored,
            calls.max(held as u64),
            &ramp.gates,
        ));
        let stage = Stage {
            weight,
            hold,
            needed,
        };
        let ends = matches!(stage.needed, Needed::Never { .. });
        stages.push(stage);
        if ends {
            break;
        }
    }
    stages
}

fn needed(gates: &Gates, weight: Weight, mirrored: Percent, before: &MethodEvidence) -> Needed {
    let judged = |calls: u64| {
        let mut evidence = before.clone();
        evidence.merge(&flawless(weight, mirrored, calls, gates));
        judge(gates, weight, Levels::of(gates), &evidence)
    };
    // The largest number that `least` tries.
    const MANY: u64 = 1 << 36;
    let waiting = |calls: u64| judged(calls).gates.into_iter().next();
    match least(|calls| judged(calls).kind == VerdictKind::Advance) {
        Some(calls) => Needed::Calls {
            calls,
            gate: waiting(calls.saturating_sub(1)).map_or("", |gate| gate.name),
        },
        None => waiting(MANY).map_or(
            Needed::Never {
                gate: "",
                reason: String::new(),
            },
            |gate| Needed::Never {
                gate: gate.name,
                reason: gate.reason,
            },
        ),
    }
}

/// So many calls of clients at a weight, none of them with anything to say against the candidate.
fn flawless(weight: Weight, mirrored: Percent, calls: u64, gates: &Gates) -> MethodEvidence {
    let share = |of: u64, bp: u16| (u128::from(of) * u128::from(bp) / 10_000) as u64;
    let candidate = share(calls, weight.bp());
    let legacy = calls - candidate;
    let copies = |of| share(of, mirrored.bp());
    let cell = |(arm, role, calls): (Arm, Role, u64)| {
        let bucket = Histogram::bucket_of(DURATION) as u32;
        let sum_us = calls.saturating_mul(DURATION.as_micros() as u64);
        CallCell {
            weight,
            arm,
            role,
            calls,
            failures: 0,
            latency: Histogram::from_buckets([(bucket, calls)], sum_us),
        }
    };
    let cells = [
        (Arm::Legacy, Role::Primary, legacy),
        (Arm::Candidate, Role::Primary, candidate),
        (Arm::Legacy, Role::Shadow, copies(candidate)),
        (Arm::Candidate, Role::Shadow, copies(legacy)),
    ];
    let compared = copies(legacy) + copies(candidate);
    MethodEvidence {
        calls: cells
            .into_iter()
            .filter(|(.., n)| *n > 0)
            .map(cell)
            .collect(),
        pairs: PairCell {
            compared,
            ..PairCell::default()
        },
        traces: TraceCell {
            // Where they are not required, there may be none.
            compared: match gates.traces {
                TracesGate::Required => compared,
                _ => 0,
            },
            operations: Vec::new(),
        },
        ..MethodEvidence::default()
    }
}

#[cfg(test)]
mod tests {
    use cutover_manifest::Manifest;

    use super::*;

    fn ramp(gates: &str) -> Ramp {
        let text = format!(
            "apiVersion: cutover.dev/v1alpha1\nkind: Cutover\nmetadata: {{ name: t }}\nspec:\n  \
             legacy: {{ url: \"http://a:1\" }}\n  candidate: {{ url: \"http://b:1\" }}\n  \
             ramp:\n    \
             steps: [{{ weight: 1, hold: 1h }}, {{ weight: 50 }}, {{ weight: 100 }}]\n    \
             gates: {{ {gates} }}\n"
        );
        Manifest::parse("t.yaml", &text).unwrap().ramp.unwrap()
    }

    fn percent(percent: f64) -> Percent {
        Percent::from_percent(percent).unwrap()
    }

    fn calls(stages: &[Stage]) -> Vec<(u64, &'static str)> {
        let one = |stage: &Stage| match stage.needed {
            Needed::Calls { calls, gate } => (calls, gate),
            Needed::Never { gate, .. } => (u64::MAX, gate),
        };
        stages.iter().map(one).collect()
    }

    #[test]
    fn a_mismatch_below_one_in_ten_thousand_takes_33_500_pairs_once() {
        let gates = "minCalls: 10, mismatchBelow: 0.01%, errorRateMargin: 1%";
        let found = calls(&forecast(&ramp(gates), percent(100.0), None));
        let (first, gate) = found[0];
        assert!((33_300..33_700).contains(&first), "{found:?}");
        assert_eq!(gate, "mismatch");
        // What was proven stays proven: the candidate must answer some calls of clients.
        assert_eq!(found[1], (1_000, "error_rate"));
        assert!(found[2].0 <= 20, "{found:?}");
        let quarter = calls(&forecast(&ramp(gates), percent(25.0), None));
        assert!(quarter[0].0.abs_diff(4 * first) <= 4, "{quarter:?} {first}");
    }

    #[test]
    fn least_calls_are_of_clients_and_copies_at_each_weight() {
        let gates = "minCalls: 5000, mismatchBelow: 5%, errorRateMargin: 5%";
        let found = calls(&forecast(&ramp(gates), percent(10.0), None));
        assert_eq!(found[0], (50_000, "min_calls"));
        // Of 100 calls, the candidate answers 1 and copies of 9.9 of the others.
        assert!(found[1].0.abs_diff(5_000 * 1_000 / 109) < 20, "{found:?}");
        assert!(found[2].0.abs_diff(5_000 * 100 / 55) < 20, "{found:?}");
    }

    #[test]
    fn what_comes_while_a_weight_is_held_counts_for_the_next() {
        let stages = forecast(
            &ramp("minCalls: 100, errorRateMargin: 1%, mismatchBelow: 1%"),
            percent(100.0),
            Some(10.0),
        );
        let takes: Vec<_> = stages
            .iter()
            .map(|stage| stage.takes(10.0).unwrap())
            .collect();
        assert_eq!(takes[1], Duration::from_secs(3_600));
        assert!(takes[0] > Duration::from_secs(10), "{takes:?}");
    }

    #[test]
    fn nothing_is_proven_without_pairs_or_of_a_bound_of_nothing() {
        let never = |gates: &str, mirrored: f64| {
            let stages = forecast(&ramp(gates), percent(mirrored), None);
            assert_eq!(stages.len(), 1);
            assert_eq!(stages[0].takes(1e6), None);
            calls(&stages)[0]
        };
        assert_eq!(never("minCalls: 10", 0.0).0, u64::MAX);
        assert_eq!(never("mismatchBelow: 0%", 100.0), (u64::MAX, "mismatch"));
    }

    #[test]
    fn required_traces_and_equal_latency_can_be_passed() {
        let gates = "minCalls: 10, mismatchBelow: 20%, errorRateMargin: 20%, traces: required, \
                     latency: { p99Ratio: 1.0 }";
        let found = forecast(&ramp(gates), percent(100.0), None);
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(calls(&found)[0], (50, "traces"));
    }
}
