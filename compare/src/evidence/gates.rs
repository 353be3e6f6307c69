//! The gates: each asks the evidence one question, or does not apply at a weight.
//!
//! | gate | weight 0 | between | weight 100 |
//! | --- | --- | --- | --- |
//! | `min_calls` | pairs compared | candidate's calls at this weight | likewise |
//! | `paired_errors` | guard, and proof | guard, where pairs were compared | likewise |
//! | `error_rate` | – | guard, and proof | guard, and proof against the legacy's past |
//! | `mismatch` | guard, and proof | likewise | likewise |
//! | `latency` | proof, where `p99_ratio` is set | guard, and proof | guard |
//! | `traces` | guard, or only holds | likewise | likewise |
//! | `memory` | only holds, or guard | likewise | likewise |
//!
//! A guard rolls back when the candidate is proven worse; a proof advances when it is proven fine.
//! In between, and without data, the answer is to wait.

mod effects;
mod errors;
mod time;

use cutover_manifest::{Arm, Gates, Role, Weight};

use super::counters::{CallCell, MethodEvidence};
use super::verdict::{GateAnswer, VerdictKind};
use super::words::{percent, say};
use super::{coin, rate};

/// How many questions can lead to a rollback: those of the gates, and which fields differ by more
/// than noise. Each gets this part of the allowed error.
const GUARDS: f64 = 7.0;

/// Allowed chances of a wrong answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Levels {
    /// Of a wrong rollback, all guards together.
    pub guards: f64,
    /// Of a wrong advance: each proof.
    pub proof: f64,
}

impl Levels {
    /// The same for both: what the gates' confidence leaves.
    #[must_use]
    pub fn of(gates: &Gates) -> Levels {
        let alpha = (1.0 - gates.confidence).clamp(1e-12, 0.5);
        Levels {
            guards: alpha,
            proof: alpha,
        }
    }

    /// What one guard may err.
    pub(super) fn guard(&self) -> f64 {
        self.guards / GUARDS
    }
}

/// The evidence, and what is asked of it.
pub(super) struct Question<'a> {
    pub(super) gates: &'a Gates,
    pub(super) weight: Weight,
    pub(super) levels: Levels,
    pub(super) evidence: &'a MethodEvidence,
}

impl Question<'_> {
    /// What the log e-value of a proof has to reach.
    fn ln_proof(&self) -> f64 {
        -self.levels.proof.ln()
    }

    /// What the log e-value of a guard has to reach.
    fn ln_guard(&self) -> f64 {
        -self.levels.guard().ln()
    }

    fn confidence(&self) -> String {
        percent(1.0 - self.levels.proof)
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
            (
                calls,
                format!("calls answered by the candidate at {}", self.weight),
            )
        };
        let enough = n >= least;
        let verdict = if enough {
            VerdictKind::Advance
        } else {
            VerdictKind::Wait
        };
        let more = least.saturating_sub(n);
        let more_calls = match n {
            0 if self.weight > Weight::ZERO => more * 10_000 / u64::from(self.weight.bp()),
            _ => self.calls_for(n, more, |cell| cell.weight == self.weight),
        };
        Some(GateAnswer {
            more_calls: (!enough).then_some(more_calls),
            ..say(
                "min_calls",
                verdict,
                format!("{n} {what}; {least} asked for"),
                n,
                0,
            )
        })
    }

    /// Do the answers differ in too many pairs?
    pub(super) fn mismatch(&self) -> Option<GateAnswer> {
        let (n, s) = (self.evidence.pairs.compared, self.evidence.pairs.mismatched);
        let bound = self.gates.mismatch_below;
        let hint = if n == 0 {
            " (none was mirrored, or none could be compared)"
        } else {
            ""
        };
        let certain = s.saturating_sub(self.evidence.pairs.undecided);
        let guard = coin::ln_e_above(n, certain, bound);
        if guard >= self.ln_guard() {
            let reason = format!(
                "{certain} of {n} pairs differ: more than {}",
                percent(bound)
            );
            return Some(self.test("mismatch", VerdictKind::Rollback, reason, n, certain, guard));
        }
        let perhaps = match s - certain {
            0 => String::new(),
            undecided => format!(" ({undecided} of them perhaps by noise)"),
        };
        let counts = format!("{s} of {n} pairs differ{hint}{perhaps}");
        let Some(clean) = rate::clean_needed(bound, self.levels.proof) else {
            // Nothing can prove a bound of 0; a bound of 1 needs no proof.
            let verdict = if bound >= 1.0 {
                VerdictKind::Advance
            } else {
                VerdictKind::Wait
            };
            let reason = format!("{counts}; no number of pairs proves {}", percent(bound));
            return Some(say("mismatch", verdict, reason, n, s));
        };
        let capital = rate::capital(n, s, bound);
        let log_e = capital.ln_e();
        let proven = log_e >= self.ln_proof();
        let verdict = if proven {
            VerdictKind::Advance
        } else {
            VerdictKind::Wait
        };
        let (bound_text, confidence) = (percent(bound), self.confidence());
        let reason = match (proven, s) {
            (_, 0) => format!("{counts}; {clean} rule out {bound_text} at {confidence}"),
            (true, _) => format!("{counts}: less than {bound_text} at {confidence}"),
            (false, _) => format!("{counts}: {bound_text} is not ruled out at {confidence} yet"),
        };
        let more_calls = match s {
            0 => Some(clean.saturating_sub(n)),
            // As many more as if it went on like this; if that leads nowhere, though the rate is
            // below the bound, as many more as if none of them differed.
            _ => self.more(n, |times| capital.ln_e_after(times)).or_else(|| {
                let below = (s as f64) < bound * n as f64;
                let clean = |more| rate::ln_e_rate_below(n + more, s, bound) >= self.ln_proof();
                below.then(|| least(clean)).flatten()
            }),
        };
        Some(GateAnswer {
            log_e: Some(log_e),
            log_threshold: Some(self.ln_proof()),
            more_calls: more_calls
                .filter(|_| !proven)
                .map(|pairs| self.calls_for_pairs(pairs)),
            ..say("mismatch", verdict, reason, n, s)
        })
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
        GateAnswer {
            log_e: Some(log_e),
            log_threshold: Some(self.ln_guard()),
            ..answer
        }
    }

    /// How many calls of clients bring so many `more` observations, where all that `which` picks
    /// brought `n`: of calls that are mirrored in part, only some become pairs.
    fn calls_for(&self, n: u64, more: u64, which: impl Fn(&CallCell) -> bool) -> u64 {
        let (calls, _) = self
            .evidence
            .sum(|cell| cell.role == Role::Primary && which(cell));
        let each = if n == 0 {
            1.0
        } else {
            (calls as f64 / n as f64).max(1.0)
        };
        (more as f64 * each).ceil() as u64
    }

    /// The same of pairs.
    fn calls_for_pairs(&self, more: u64) -> u64 {
        self.calls_for(self.evidence.pairs.compared, more, |_| true)
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
        if holds(middle) {
            high = middle
        } else {
            low = middle
        }
    }
    Some(high)
}
