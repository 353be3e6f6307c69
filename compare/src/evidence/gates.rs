//! The gates: each asks the evidence one question, or does not apply at a weight.
//!
//! | gate | weight 0 | between | weight 100 |
//! | --- | --- | --- | --- |
//! | `min_calls` | pairs compared | candidate's calls at this weight | likewise |
//! | `paired_errors` | guard, and proof | guard, where pairs were compared | likewise |
//! | `error_rate` | – | guard, and proof | guard, and proof against the legacy's past |
//! | `mismatch` | guard, and proof | likewise | likewise |
//! | `latency` | guard, where `p99_ratio` is set | likewise | likewise |
//!
//! A guard rolls back when the candidate is proven worse; a proof advances when it is proven fine.
//! In between, and without data, the answer is to wait.

use cutover_manifest::{Arm, Gates, Role, Weight};

use super::counters::MethodEvidence;
use super::routed::{Step, ln_e_fails_more, ln_e_fails_no_more};
use super::special::ln_mean_exp;
use super::verdict::{GateAnswer, VerdictKind};
use super::words::{percent, say};
use super::{betting, coin, latency, rate};

/// How many gates can roll back; each gets this part of the allowed error.
const GUARDS: f64 = 4.0;
/// Least primary calls that the candidate must have answered at a weight above 0, whatever
/// mirrored pairs have shown.
const MIN_ROUTED_CALLS: u64 = 10;

/// The evidence, and what is asked of it.
pub(super) struct Question<'a> {
    pub(super) gates: &'a Gates,
    pub(super) weight: Weight,
    pub(super) evidence: &'a MethodEvidence,
}

impl Question<'_> {
    /// Allowed chance of a wrong verdict.
    fn alpha(&self) -> f64 {
        (1.0 - self.gates.confidence).clamp(1e-12, 0.5)
    }

    /// What the log e-value of a proof has to reach.
    fn ln_proof(&self) -> f64 {
        -self.alpha().ln()
    }

    /// What the log e-value of a guard has to reach.
    fn ln_guard(&self) -> f64 {
        (GUARDS / self.alpha()).ln()
    }

    fn confidence(&self) -> String {
        percent(1.0 - self.alpha())
    }

    /// Has the candidate been asked often enough at this weight?
    pub(super) fn min_calls(&self) -> Option<GateAnswer> {
        let least = self.gates.min_calls;
        let (n, what) = if self.weight == Weight::ZERO {
            (self.evidence.pairs.compared, "pairs compared".to_owned())
        } else {
            let (calls, _) = self.evidence.sum(|cell| {
                cell.arm == Arm::Candidate && cell.role != Role::Noise && cell.weight == self.weight
            });
            (calls, format!("calls answered by the candidate at {}", self.weight))
        };
        let enough = n >= least;
        let verdict = if enough { VerdictKind::Advance } else { VerdictKind::Wait };
        Some(GateAnswer {
            more_calls: (!enough).then(|| least - n),
            ..say("min_calls", verdict, format!("{n} {what}; {least} asked for"), n, 0)
        })
    }

    /// Of the pairs in which one arm failed: was it the candidate too often?
    pub(super) fn paired_errors(&self) -> Option<GateAnswer> {
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
            return Some(self.test("paired_errors", VerdictKind::Rollback, reason, n, worse, log_e));
        }
        if self.weight > Weight::ZERO {
            let reason = format!("{counts}: the candidate does not stand out");
            return Some(self.test("paired_errors", VerdictKind::Advance, reason, n, worse, log_e));
        }
        let margin = self.gates.error_rate_margin;
        let alike = pairs.compared.saturating_sub(n) as f64;
        let proof = |k: f64| betting::ln_e(alike * k, worse as f64 * k, better as f64 * k, margin);
        Some(self.proof("paired_errors", counts, pairs.compared, worse, margin, proof))
    }

    /// Of the calls that clients got answers to: did the candidate fail more of its share?
    pub(super) fn error_rate(&self) -> Option<GateAnswer> {
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
            return Some(self.test("error_rate", VerdictKind::Rollback, reason, n, failures, guard));
        }
        let (here, _) = self.evidence.sum(|cell| {
            cell.arm == Arm::Candidate && cell.role == Role::Primary && cell.weight == self.weight
        });
        if here < MIN_ROUTED_CALLS {
            let reason = format!("{counts}; only {here} of them at {}", self.weight);
            let share = self.weight.percent() / 100.0;
            let more = ((MIN_ROUTED_CALLS - here) as f64 / share).ceil() as u64;
            let answer = say("error_rate", VerdictKind::Wait, reason, candidate_calls, failures);
            return Some(GateAnswer { more_calls: Some(more), ..answer });
        }
        // Mirrored pairs and routed calls speak about the same rates, and not independently: the
        // mean of their e-values is an e-value, their product is not.
        let margin = self.gates.error_rate_margin;
        let pairs = &self.evidence.pairs;
        let (worse, better) = (pairs.only_candidate_failed as f64, pairs.only_legacy_failed as f64);
        let alike = pairs.compared as f64 - worse - better;
        let proof = |k: f64| {
            let scaled: Vec<Step> = steps.iter().map(|step| step.scaled(k)).collect();
            let paired = betting::ln_e(alike * k, worse * k, better * k, margin);
            ln_mean_exp(&[ln_e_fails_no_more(&scaled, margin), paired])
        };
        Some(self.proof("error_rate", counts, calls, failures, margin, proof))
    }

    /// At weight 100 no client's call goes to the legacy any more: what it failed before, and as
    /// a shadow, is what the candidate is held against.
    fn error_rate_against_the_past(&self) -> GateAnswer {
        let (n, s) = self.evidence.sum(|cell| {
            cell.arm == Arm::Candidate && cell.role == Role::Primary && cell.weight == Weight::FULL
        });
        let (calls, failures) =
            self.evidence.sum(|cell| cell.arm == Arm::Legacy && cell.role != Role::Noise);
        let name = "error_rate";
        if calls == 0 {
            let reason = format!("the candidate failed {s} of {n} calls; the legacy had none");
            return say(name, VerdictKind::Wait, reason, n, s);
        }
        // Half of the guard's error is for the legacy's bound, half for the test against it.
        let alpha = self.alpha() / GUARDS / 2.0;
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

    /// Do the answers differ in too many pairs?
    pub(super) fn mismatch(&self) -> Option<GateAnswer> {
        let (n, s) = (self.evidence.pairs.compared, self.evidence.pairs.mismatched);
        let bound = self.gates.mismatch_below;
        let counts = format!("{s} of {n} pairs differ");
        let guard = coin::ln_e_above(n, s, bound);
        if guard >= self.ln_guard() {
            let reason = format!("{counts}: more than {}", percent(bound));
            return Some(self.test("mismatch", VerdictKind::Rollback, reason, n, s, guard));
        }
        let Some(clean) = rate::clean_needed(bound, self.alpha()) else {
            // Nothing can prove a bound of 0; a bound of 1 needs no proof.
            let verdict = if bound >= 1.0 { VerdictKind::Advance } else { VerdictKind::Wait };
            let reason = format!("{counts}; no number of pairs proves {}", percent(bound));
            return Some(say("mismatch", verdict, reason, n, s));
        };
        let log_e = rate::ln_e_rate_below(n, s, bound);
        let proven = log_e >= self.ln_proof();
        let verdict = if proven { VerdictKind::Advance } else { VerdictKind::Wait };
        let (bound_text, confidence) = (percent(bound), self.confidence());
        let reason = match (proven, s) {
            (_, 0) => format!("{counts}; {clean} rule out {bound_text} at {confidence}"),
            (true, _) => format!("{counts}: less than {bound_text} at {confidence}"),
            (false, _) => format!("{counts}: {bound_text} is not ruled out at {confidence} yet"),
        };
        let extrapolate = |k: f64| rate::ln_e((n - s.min(n)) as f64 * k, s as f64 * k, bound);
        let more_calls = match s {
            0 => Some(clean.saturating_sub(n)),
            _ => self.more(n, extrapolate),
        };
        Some(GateAnswer {
            log_e: Some(log_e),
            log_threshold: Some(self.ln_proof()),
            more_calls: more_calls.filter(|_| !proven),
            ..say("mismatch", verdict, reason, n, s)
        })
    }

    /// Is the candidate's 99th percentile proven to be too high?
    pub(super) fn latency(&self) -> Option<GateAnswer> {
        const Q: f64 = 0.99;
        let ratio = self.gates.p99_ratio?;
        let [legacy, candidate] = Arm::BOTH.map(|arm| self.evidence.latency(arm));
        let n = legacy.count().min(candidate.count());
        // Half of the guard's error for each arm's bound.
        let alpha = self.alpha() / GUARDS / 2.0;
        let (low, _) = latency::p_quantile_bounds(&candidate, Q, alpha);
        let (_, high) = latency::p_quantile_bounds(&legacy, Q, alpha);
        let ms = |us: f64| format!("{:.3} ms", us / 1e3);
        let p99 = |histogram: &crate::Histogram| ms(histogram.quantile(Q).as_secs_f64() * 1e6);
        let figures = format!(
            "p99 of the candidate {} (n = {}), of the legacy {} (n = {})",
            p99(&candidate),
            candidate.count(),
            p99(&legacy),
            legacy.count()
        );
        let needed = rate::clean_needed(1.0 - Q, alpha).unwrap_or(u64::MAX);
        let slower = self.evidence.pairs.candidate_slower;
        let (verdict, reason) = match high {
            Some(high) if low > ratio * high => {
                (VerdictKind::Rollback, format!("{figures}: at least {} against at most {}", ms(low), ms(high)))
            }
            Some(_) if n >= needed => (
                VerdictKind::Advance,
                format!("{figures}: not proven to be above {ratio} times; slower in {slower} pairs"),
            ),
            _ => (VerdictKind::Wait, format!("{figures}: {needed} values of each arm are needed")),
        };
        let more_calls = (verdict == VerdictKind::Wait).then(|| needed.saturating_sub(n));
        Some(GateAnswer { more_calls, ..say("latency", verdict, reason, n, slower) })
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

    /// The answer of a guard.
    fn test(
        &self,
        name: &'static str,
        verdict: VerdictKind,
        reason: String,
        n: u64,
        s: u64,
        log_e: f64,
    ) -> GateAnswer {
        let answer = say(name, verdict, reason, n, s);
        GateAnswer { log_e: Some(log_e), log_threshold: Some(self.ln_guard()), ..answer }
    }

    /// The answer of a proof that the candidate fails no more than `margin` above the legacy.
    /// `ln_e` gives its log e-value if everything had been seen so many times.
    fn proof(
        &self,
        name: &'static str,
        counts: String,
        n: u64,
        s: u64,
        margin: f64,
        ln_e: impl Fn(f64) -> f64,
    ) -> GateAnswer {
        let log_e = ln_e(1.0);
        let proven = log_e >= self.ln_proof();
        let verdict = if proven { VerdictKind::Advance } else { VerdictKind::Wait };
        let (margin_text, confidence) = (percent(margin), self.confidence());
        let not_yet = if proven { "" } else { "not yet " };
        let reason = format!(
            "{counts}: an error rate higher by {margin_text} is {not_yet}ruled out at {confidence}"
        );
        let more_calls = match n {
            0 => least(|n| betting::ln_e(n as f64, 0.0, 0.0, margin) >= self.ln_proof()),
            _ => self.more(n, ln_e),
        };
        GateAnswer {
            log_e: Some(log_e),
            log_threshold: Some(self.ln_proof()),
            more_calls: more_calls.filter(|_| !proven),
            ..say(name, verdict, reason, n, s)
        }
    }

    /// How many more observations like those so far lift a log e-value to the proof's threshold.
    fn more(&self, n: u64, ln_e: impl Fn(f64) -> f64) -> Option<u64> {
        if n == 0 {
            return None;
        }
        let reached = |all: u64| ln_e(all as f64 / n as f64) >= self.ln_proof();
        least(|more| reached(n + more))
    }
}

/// The least number for which `holds`, where it holds for all larger ones; `None` beyond 2^36.
pub(super) fn least(holds: impl Fn(u64) -> bool) -> Option<u64> {
    if holds(0) {
        return Some(0);
    }
    let high = (0..=36).map(|bits| 1u64 << bits).find(|n| holds(*n))?;
    let (mut low, mut high) = (high / 2, high);
    while high - low > 1 {
        let middle = u64::midpoint(low, high);
        if holds(middle) { high = middle } else { low = middle }
    }
    Some(high)
}
