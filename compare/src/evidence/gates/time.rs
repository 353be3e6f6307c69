//! The gate that asks whether the candidate is too slow.

use cutover_manifest::{Arm, Role, Weight};

use super::{GUARDS, Question};
use crate::Histogram;
use crate::evidence::counters::CallCell;
use crate::evidence::latency::{p_quantile_bounds, slow_tail};
use crate::evidence::rate::clean_needed;
use crate::evidence::verdict::{GateAnswer, VerdictKind};
use crate::evidence::words::{percent, say};

/// The quantile that the manifest speaks of.
const P99: f64 = 0.99;

impl Question<'_> {
    /// Is the candidate's 99th percentile proven to be too high?
    pub(in crate::evidence) fn latency(&self) -> Option<GateAnswer> {
        let ratio = self.gates.p99_ratio?;
        let [legacy, candidate] = Arm::BOTH.map(|arm| self.evidence.latency(arm));
        let n = legacy.count().min(candidate.count());
        if candidate.count() == 0 && self.only_untimed_copies() {
            // Copies never will have times: to wait for them would be to wait for ever.
            let reason = "judged once the candidate answers callers: the clients stream, and their \
                          copies are sent at once";
            let reason = reason.to_owned();
            return Some(say("latency", VerdictKind::Advance, reason, 0, 0));
        }
        // Half of the guard's error for each arm's bound.
        let alpha = self.alpha() / GUARDS / 2.0;
        let (low, _) = p_quantile_bounds(&candidate, P99, alpha);
        let (_, high) = p_quantile_bounds(&legacy, P99, alpha);
        let needed = clean_needed(1.0 - P99, alpha).unwrap_or(u64::MAX);
        let figures = format!(
            "p99 of the candidate {}, of the legacy {}",
            p99(&candidate),
            p99(&legacy)
        );
        let (verdict, reason) = match high {
            Some(high) if low > ratio * high => {
                let (low, high) = (ms(low), ms(high));
                (
                    VerdictKind::Rollback,
                    format!("{figures}: at least {low} against at most {high}"),
                )
            }
            Some(_) if n >= needed => (
                VerdictKind::Advance,
                format!("{figures}: not proven to be above {ratio} times"),
            ),
            _ => (
                VerdictKind::Wait,
                format!("{figures}: {needed} values of each are needed"),
            ),
        };
        // Only said, not held against the candidate: the manifest speaks of p99 alone.
        let elsewhere = match slow_tail(&legacy, &candidate, ratio, self.alpha()) {
            Some(tail) if verdict != VerdictKind::Rollback => format!(
                "; yet the slowest {} take at least {} against at most {}",
                percent(1.0 - tail.quantile),
                ms(tail.candidate_at_least_us),
                ms(tail.legacy_at_most_us)
            ),
            _ => String::new(),
        };
        let slower = self.evidence.pairs.candidate_slower;
        let reason = format!("{reason}{elsewhere}");
        let more_calls = (verdict == VerdictKind::Wait).then(|| needed.saturating_sub(n));
        Some(GateAnswer {
            more_calls,
            ..say("latency", verdict, reason, n, slower)
        })
    }

    /// Whether all that the candidate has been sent are copies whose times say nothing.
    fn only_untimed_copies(&self) -> bool {
        let shadow = |cell: &&CallCell| (cell.arm, cell.role) == (Arm::Candidate, Role::Shadow);
        let mut copies = self.evidence.calls.iter().filter(shadow);
        self.weight == Weight::ZERO && copies.any(|cell| cell.untimed() > 0)
    }
}

fn p99(histogram: &Histogram) -> String {
    let us = histogram.quantile(P99).as_secs_f64() * 1e6;
    format!("{} (n = {})", ms(us), histogram.count())
}

fn ms(us: f64) -> String {
    format!("{:.3} ms", us / 1e3)
}
