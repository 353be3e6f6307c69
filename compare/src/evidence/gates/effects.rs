//! The gates that ask what the arms do beside answering: their operations, and their memory.

use cutover_manifest::{LeakGate, TracesGate};

use super::Question;
use crate::evidence::coin::ln_e_above;
use crate::evidence::counters::OperationCell;
use crate::evidence::many::e_bh;
use crate::evidence::spells::{SpellCount, ln_e_grows, loudest};
use crate::evidence::verdict::{GateAnswer, VerdictKind};
use crate::evidence::words::say;
use crate::trace::{is_read_key, is_write_key};

/// Where there are traces at all, fewer pairs than these prove nothing.
const MIN_PAIRS: u64 = 50;
/// Most operations that a reason names.
const MAX_NAMED: usize = 3;

impl Question<'_> {
    /// Does the candidate call other operations, or call them more or less often?
    ///
    /// An operation counts if one arm calls it more often beyond chance (the sign of the
    /// difference in each pair is a fair coin otherwise) *and* in more pairs than the gates allow
    /// to differ, so that a few lost spans don't count; e-BH over the operations.
    pub(in crate::evidence) fn traces(&self) -> Option<GateAnswer> {
        let asked = self.gates.traces;
        if asked == TracesGate::Report {
            return None;
        }
        let traces = &self.evidence.traces;
        let n = traces.compared;
        if n == 0 {
            let (verdict, reason) = match asked {
                TracesGate::Required => (VerdictKind::Wait, "no traces, which are required"),
                _ => (VerdictKind::Advance, "no traces: nothing to compare"),
            };
            return Some(say("traces", verdict, reason.to_owned(), 0, 0));
        }
        let alpha = self.levels.guard();
        let ln_e: Vec<f64> = traces.operations.iter().map(|o| self.differs(o)).collect();
        let mut flagged: Vec<(&OperationCell, f64)> = traces
            .operations
            .iter()
            .zip(ln_e.iter().copied())
            .zip(e_bh(&ln_e, alpha))
            .filter(|((operation, _), flagged)| *flagged && !is_only_spared(operation))
            .map(|(operation, _)| operation)
            .collect();
        // Writes first, then the surest.
        flagged.sort_by(|(a, a_e), (b, b_e)| {
            let writes = |operation: &OperationCell| is_write_key(&operation.key);
            writes(b).cmp(&writes(a)).then(b_e.total_cmp(a_e))
        });
        let Some((worst, log_e)) = flagged.first() else {
            let enough = n >= MIN_PAIRS;
            let (verdict, reason) = match enough {
                true => (
                    VerdictKind::Advance,
                    format!("{n} pairs of traces: no operation differs"),
                ),
                false => (
                    VerdictKind::Wait,
                    format!("{n} of {MIN_PAIRS} pairs of traces"),
                ),
            };
            return Some(GateAnswer {
                more_calls: (!enough).then(|| self.calls_for(n, MIN_PAIRS - n, |_| true)),
                ..say("traces", verdict, reason, n, 0)
            });
        };
        let rolls_back = asked != TracesGate::Hold && is_write_key(&worst.key);
        let verdict = match rolls_back {
            true => VerdictKind::Rollback,
            false => VerdictKind::Wait,
        };
        let named: Vec<String> = flagged
            .iter()
            .take(MAX_NAMED)
            .map(|(o, _)| words(o))
            .collect();
        let others = match flagged.len().saturating_sub(MAX_NAMED) {
            0 => String::new(),
            others => format!("; and {others} more"),
        };
        let reason = format!("{}{others}", named.join("; "));
        let differing = worst.more_in_candidate + worst.more_in_legacy;
        Some(GateAnswer {
            log_e: Some(*log_e),
            log_threshold: Some((ln_e.len() as f64 / (alpha * flagged.len() as f64)).ln()),
            ..say("traces", verdict, reason, worst.compared, differing)
        })
    }

    /// ln e-value against "neither arm calls it more often, or in no more pairs than may differ".
    /// The larger direction is picked, which the half of it pays for.
    fn differs(&self, operation: &OperationCell) -> f64 {
        let (one, other) = (operation.more_in_candidate, operation.more_in_legacy);
        let more = one.max(other);
        let sign = ln_e_above(one + other, more, 0.5);
        let rate = ln_e_above(operation.compared, more, self.gates.mismatch_below);
        sign.min(rate) - std::f64::consts::LN_2
    }

    /// Does the candidate's memory grow without end, or is there too much of it?
    pub(in crate::evidence) fn memory(&self) -> Option<GateAnswer> {
        let (asked, ratio) = (self.gates.leak, self.gates.memory_ratio);
        if asked == LeakGate::Report && ratio.is_none() {
            return None;
        }
        let memory = &self.evidence.memory;
        let SpellCount { spells: n, grew: s } = loudest(&memory.spells);
        if memory.candidate_bytes == 0 {
            let reason = "no metric of the candidate's memory: nothing to judge".to_owned();
            return Some(say("memory", VerdictKind::Advance, reason, 0, 0));
        }
        let log_e = ln_e_grows(&memory.spells);
        let leaks = asked != LeakGate::Report && log_e >= self.ln_guard();
        let too_much = ratio.is_some_and(|ratio| {
            memory.legacy_bytes > 0
                && memory.candidate_bytes as f64 > ratio * memory.legacy_bytes as f64
        });
        let figures = format!(
            "{} of the candidate, {} of the legacy; it grew in {s} of {n} spells",
            mebibytes(memory.candidate_bytes),
            mebibytes(memory.legacy_bytes)
        );
        let (verdict, judged) = match (leaks, too_much) {
            (true, _) if asked == LeakGate::Rollback => (VerdictKind::Rollback, ": it leaks"),
            (true, _) => (VerdictKind::Wait, ": it leaks, or is still filling up"),
            (false, true) => (VerdictKind::Wait, ": more than the gates allow"),
            (false, false) => (VerdictKind::Advance, ""),
        };
        Some(GateAnswer {
            log_e: Some(log_e),
            log_threshold: Some(self.ln_guard()),
            ..say("memory", verdict, format!("{figures}{judged}"), n, s)
        })
    }
}

/// Reads that the candidate does less often harm nobody: the answers are compared.
fn is_only_spared(operation: &OperationCell) -> bool {
    is_read_key(&operation.key) && operation.more_in_legacy > operation.more_in_candidate
}

fn words(operation: &OperationCell) -> String {
    let OperationCell {
        key,
        compared,
        more_in_candidate,
        more_in_legacy,
        n_plus_one,
    } = operation;
    let (how, pairs) = match more_in_candidate >= more_in_legacy {
        true => ("more", more_in_candidate),
        false => ("less", more_in_legacy),
    };
    let n_plus_one = if *n_plus_one {
        ", again and again: N+1?"
    } else {
        ""
    };
    format!("the candidate calls {key} {how} often in {pairs} of {compared} pairs{n_plus_one}")
}

fn mebibytes(bytes: u64) -> String {
    match bytes {
        0 => "unknown memory".to_owned(),
        bytes => format!("{:.1} MiB", bytes as f64 / (1024.0 * 1024.0)),
    }
}
