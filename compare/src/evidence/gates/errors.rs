//! The gates that ask whether the candidate fails more often.

use cutover_manifest::{Arm, Role, Weight};

use super::{Question, least};
use crate::evidence::counters::PairCell;
use crate::evidence::routed::{self, Step, ln_e_fails_more};
use crate::evidence::special::ln_mean_exp;
use crate::evidence::verdict::{GateAnswer, VerdictKind};
use crate::evidence::words::{percent, say};
use crate::evidence::{betting, coin};

/// Least primary calls that the candidate must have answered at a weight above 0, whatever
/// mirrored pairs have shown.
const MIN_ROUTED_CALLS: u64 = 10;

impl Question<'_> {
    /// Of the pairs in which one arm failed: was it the candidate too often?
    pub(in crate::evidence) fn paired_errors(&self) -> Option<GateAnswer> {
        let pairs = &self.evidence.pairs;
        let (worse, better) = (pairs.only_candidate_failed, pairs.only_legacy_failed);
        let n = worse + better;
        if pairs.compared == 0 && self.weight > Weight::ZERO {
            return None;
        }
        let log_e = coin::ln_e_above(n, worse, 0.5);
        let counts = format!(
            "of {} pairs, only the candidate failed in {worse} and only the legacy in {better}",
            pairs.compared
        );
        if log_e >= self.ln_guard() {
            let reason = format!("{counts}: the candidate fails more often");
            return Some(self.test(
                "paired_errors",
                VerdictKind::Rollback,
                reason,
                n,
                worse,
                log_e,
            ));
        }
        if self.weight > Weight::ZERO {
            let reason = format!("{counts}: the candidate does not stand out");
            return Some(self.test(
                "paired_errors",
                VerdictKind::Advance,
                reason,
                n,
                worse,
                log_e,
            ));
        }
        let capital = betting::capital(pairs, self.gates.error_rate_margin);
        let seen = (pairs.compared, worse);
        let proof = self.proof("paired_errors", counts, seen, |times| {
            capital.ln_e_after(times)
        });
        Some(GateAnswer {
            more_calls: proof.more_calls.map(|pairs| self.calls_for_pairs(pairs)),
            ..proof
        })
    }

    /// Of the calls that clients got answers to: did the candidate fail more of its share?
    pub(in crate::evidence) fn error_rate(&self) -> Option<GateAnswer> {
        if self.weight == Weight::ZERO {
            return None;
        }
        if self.weight == Weight::FULL {
            return Some(self.error_rate_against_the_past());
        }
        let (steps, calls) = self.steps();
        let sum = |of: fn(&Step) -> f64| steps.iter().map(of).sum::<f64>() as u64;
        let (failures, others) = (sum(|s| s.candidate_failures), sum(|s| s.legacy_failures));
        let candidate_calls = sum(|s| s.candidate_calls);
        let counts = format!(
            "the candidate failed {failures} of {candidate_calls} calls, the legacy {others} of {}",
            sum(|s| s.legacy_calls)
        );
        let guard = ln_e_fails_more(&steps, 1.0);
        if guard >= self.ln_guard() {
            let reason = format!("{counts}: more than its share");
            let n = failures + others;
            return Some(self.test(
                "error_rate",
                VerdictKind::Rollback,
                reason,
                n,
                failures,
                guard,
            ));
        }
        let (here, _) = self.evidence.sum(|cell| {
            cell.arm == Arm::Candidate && cell.role == Role::Primary && cell.weight == self.weight
        });
        if here < MIN_ROUTED_CALLS {
            let reason = format!("{counts}; only {here} of them at {}", self.weight);
            let share = self.weight.percent() / 100.0;
            let more = ((MIN_ROUTED_CALLS - here) as f64 / share).ceil() as u64;
            let answer = say(
                "error_rate",
                VerdictKind::Wait,
                reason,
                candidate_calls,
                failures,
            );
            return Some(GateAnswer {
                more_calls: Some(more),
                ..answer
            });
        }
        // Mirrored pairs and routed calls speak about the same rates, and not independently: the
        // mean of their e-values is an e-value, their product is not.
        let margin = self.gates.error_rate_margin;
        let routed = routed::capital(&steps, margin);
        let paired = betting::capital(&self.evidence.pairs, margin);
        Some(
            self.proof("error_rate", counts, (calls, failures), |times| {
                ln_mean_exp(&[routed.ln_e_after(times), paired.ln_e_after(times)])
            }),
        )
    }

    /// At weight 100 no client's call goes to the legacy any more: what it failed before, and as
    /// a shadow, is what the candidate is held against.
    fn error_rate_against_the_past(&self) -> GateAnswer {
        let (n, s) = self.evidence.sum(|cell| {
            cell.arm == Arm::Candidate && cell.role == Role::Primary && cell.weight == Weight::FULL
        });
        let (calls, failures) = self
            .evidence
            .sum(|cell| cell.arm == Arm::Legacy && cell.role != Role::Noise);
        let name = "error_rate";
        if calls == 0 {
            let reason = format!("the candidate failed {s} of {n} calls; the legacy had none");
            return say(name, VerdictKind::Wait, reason, n, s);
        }
        // Half of the guard's error is for the legacy's bound, half for the test against it.
        let alpha = self.levels.guard() / 2.0;
        let (_, bound) = coin::interval(calls, failures, alpha);
        let bound = (bound + self.gates.error_rate_margin).min(1.0);
        let log_e = coin::ln_e_above(n, s, bound);
        let reason = format!(
            "the candidate failed {s} of {n} calls; the legacy's {failures} of {calls} allow {}",
            percent(bound)
        );
        let threshold = -alpha.ln();
        let verdict = match (log_e >= threshold, n >= MIN_ROUTED_CALLS) {
            (true, _) => VerdictKind::Rollback,
            (false, true) => VerdictKind::Advance,
            (false, false) => VerdictKind::Wait,
        };
        GateAnswer {
            log_e: Some(log_e),
            log_threshold: Some(threshold),
            more_calls: (verdict == VerdictKind::Wait).then(|| MIN_ROUTED_CALLS - n),
            ..say(name, verdict, reason, n, s)
        }
    }

    /// Primary calls by weight, where both arms take part, and how many there are.
    fn steps(&self) -> (Vec<Step>, u64) {
        let mut weights: Vec<Weight> = self.evidence.calls.iter().map(|cell| cell.weight).collect();
        weights.sort_unstable();
        weights.dedup();
        weights.retain(|weight| ![Weight::ZERO, Weight::FULL].contains(weight));
        let mut all = 0;
        let step = |weight: &Weight| {
            let [legacy, candidate] = Arm::BOTH.map(|arm| {
                self.evidence.sum(|cell| {
                    cell.role == Role::Primary && cell.arm == arm && cell.weight == *weight
                })
            });
            all += legacy.0 + candidate.0;
            Step {
                share: weight.percent() / 100.0,
                candidate_calls: candidate.0 as f64,
                candidate_failures: candidate.1 as f64,
                legacy_calls: legacy.0 as f64,
                legacy_failures: legacy.1 as f64,
            }
        };
        let steps = weights.iter().map(step).collect();
        (steps, all)
    }

    /// The answer of a proof that the candidate fails no more than the margin above the legacy,
    /// from `seen` = (observations, ones). `ln_e` gives its log e-value if everything had been seen
    /// so many times.
    fn proof(
        &self,
        name: &'static str,
        counts: String,
        seen: (u64, u64),
        ln_e: impl Fn(f64) -> f64,
    ) -> GateAnswer {
        let (n, s) = seen;
        let margin = self.gates.error_rate_margin;
        let log_e = ln_e(1.0);
        let proven = log_e >= self.ln_proof();
        let verdict = if proven {
            VerdictKind::Advance
        } else {
            VerdictKind::Wait
        };
        let (margin_text, confidence) = (percent(margin), self.confidence());
        let not_yet = if proven { "" } else { "not yet " };
        let reason = format!(
            "{counts}: an error rate higher by {margin_text} is {not_yet}ruled out at {confidence}"
        );
        let clean = |compared: u64| PairCell {
            compared,
            ..PairCell::default()
        };
        let more_calls = match n {
            0 => least(|n| betting::ln_e_no_worse(&clean(n), margin) >= self.ln_proof()),
            _ => self.more(n, ln_e),
        };
        GateAnswer {
            log_e: Some(log_e),
            log_threshold: Some(self.ln_proof()),
            more_calls: more_calls.filter(|_| !proven),
            ..say(name, verdict, reason, n, s)
        }
    }
}
