//! What a replay adds up to, by method. Bounded by the methods and fields there are, not by calls.

use std::collections::BTreeMap;

use cutover_compare::{Comparison, Histogram};
use cutover_manifest::Arm;

use super::arm::Unanswered;
use super::plan::Skip;
use super::{Compared, Done};

/// Examples kept of one difference.
const MAX_EXAMPLES: usize = 3;
/// Paths and kinds kept of one method; the rest is counted.
const MAX_FINDINGS: usize = 200;
/// Reasons kept why calls of one method failed.
const MAX_REASONS: usize = 20;
/// Methods kept that calls were left out of; the rest goes under one name.
const MAX_LEFT_OUT: usize = 500;
/// That name.
const OTHERS: &str = "(others)";

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Calls in the recording.
    pub(super) read: u64,
    pub(super) methods: BTreeMap<String, MethodTally>,
    pub(super) left_out: BTreeMap<(String, Skip), u64>,
    /// Calls lost to a defect of ours, with the last reason.
    pub(super) lost: u64,
    pub(super) lost_reason: String,
}

/// One method's calls.
#[derive(Debug, Default)]
pub(super) struct MethodTally {
    pub(super) compared: u64,
    pub(super) differed: u64,
    /// Calls without a pair of answers, by reason.
    pub(super) failed: BTreeMap<String, u64>,
    /// Calls whose answers were too large to compare.
    pub(super) over_bound: u64,
    pub(super) findings: BTreeMap<(String, &'static str), Finding>,
    pub(super) findings_dropped: u64,
    /// By arm: calls by status.
    pub(super) statuses: [BTreeMap<u32, u64>; 2],
    /// By arm.
    pub(super) latency: [Histogram; 2],
}

/// One way in which a field differed.
#[derive(Debug, Default)]
pub(super) struct Finding {
    /// Calls, each once.
    pub(super) calls: u64,
    pub(super) examples: Vec<Example>,
    /// For floats: the relative tolerance that would have sufficed for all.
    pub(super) sufficient_relative: Option<f64>,
}

/// One call's values, or their keyed hashes.
#[derive(Debug)]
pub(super) struct Example {
    pub(super) call: u64,
    pub(super) legacy: String,
    pub(super) candidate: String,
}

impl Tally {
    /// Counts a call that ended.
    pub(super) fn take(&mut self, done: Done) {
        let method = self.methods.entry(done.method).or_default();
        match done.outcome {
            Ok(compared) => method.compared(done.id, &compared),
            Err(Unanswered::OverBound) => method.over_bound += 1,
            Err(Unanswered::BothLate) => method.failed("neither arm answered in time".to_owned()),
            Err(Unanswered::Broke(arm, why)) => method.failed(format!("{arm}: {why}")),
        }
    }

    /// Counts a call that is not sent.
    pub(super) fn leave_out(&mut self, method: &str, why: Skip) {
        let known = |(name, _): &(String, Skip)| name == method;
        let name = match self.left_out.len() < MAX_LEFT_OUT || self.left_out.keys().any(known) {
            true => method,
            false => OTHERS,
        };
        *self.left_out.entry((name.to_owned(), why)).or_default() += 1;
    }

    /// Counts a call that was lost to a defect of ours.
    pub(super) fn lost(&mut self, why: &str) {
        self.lost += 1;
        why.clone_into(&mut self.lost_reason);
    }

    /// Calls that were sent and have ended.
    pub(super) fn ended(&self) -> u64 {
        self.sum(|m| m.compared + m.over_bound + m.failed.values().sum::<u64>()) + self.lost
    }

    pub(super) fn compared(&self) -> u64 {
        self.sum(|method| method.compared)
    }

    pub(super) fn differed(&self) -> u64 {
        self.sum(|method| method.differed)
    }

    pub(super) fn over_bound(&self) -> u64 {
        self.sum(|method| method.over_bound)
    }

    pub(super) fn failed(&self) -> u64 {
        self.sum(|method| method.failed.values().sum()) + self.lost
    }

    pub(super) fn skipped(&self) -> u64 {
        self.left_out.values().sum()
    }

    fn sum(&self, of: impl Fn(&MethodTally) -> u64) -> u64 {
        self.methods.values().map(of).sum()
    }
}

impl MethodTally {
    fn compared(&mut self, id: u64, compared: &Compared) {
        self.compared += 1;
        for arm in Arm::BOTH.map(Arm::index) {
            let seen = &compared.seen[arm];
            *self.statuses[arm].entry(seen.status).or_default() += 1;
            self.latency[arm].record(seen.duration);
        }
        if compared.comparison.mismatched() {
            self.differed += 1;
            self.differences(id, &compared.comparison);
        }
    }

    fn differences(&mut self, id: u64, comparison: &Comparison) {
        for (at, difference) in comparison.differences.iter().enumerate() {
            let key = (difference.path.clone(), difference.kind.as_str());
            if self.findings.len() >= MAX_FINDINGS && !self.findings.contains_key(&key) {
                self.findings_dropped += 1;
                continue;
            }
            let finding = self.findings.entry(key).or_default();
            let again = comparison.differences[..at]
                .iter()
                .any(|d| d.path == difference.path && d.kind == difference.kind);
            if let Some(share) = difference.sufficient_relative {
                let most = finding
                    .sufficient_relative
                    .map_or(share, |old| old.max(share));
                finding.sufficient_relative = Some(most);
            }
            if again {
                continue;
            }
            finding.calls += 1;
            if finding.examples.len() < MAX_EXAMPLES {
                finding.examples.push(Example {
                    call: id,
                    legacy: difference.legacy.clone(),
                    candidate: difference.candidate.clone(),
                });
            }
        }
    }

    fn failed(&mut self, why: String) {
        let full = self.failed.len() >= MAX_REASONS && !self.failed.contains_key(&why);
        let why = if full {
            "other reasons".to_owned()
        } else {
            why
        };
        *self.failed.entry(why).or_default() += 1;
    }
}
