//! What a replay adds up to, by method. Bounded by the methods and fields there are, not by calls.

use std::collections::{BTreeMap, BTreeSet};

use cutover_compare::evidence::{FieldNoise, noisy};
use cutover_compare::{Comparison, Difference, Histogram, Misfit};
use cutover_manifest::Arm;

use super::arm::Unanswered;
use super::plan::Skip;
use super::{Compared, Done, Uncompared};

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
/// Allowed chance that a field that is wrong passes for noise, as in a proxy's comparison.
const ALPHA: f64 = 0.05;

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
    /// Calls that differ at all, noise counted too.
    pub(super) differed: u64,
    /// Calls for which the legacy was asked twice.
    pub(super) asked_twice: u64,
    /// Calls without a pair of answers, by reason.
    pub(super) failed: BTreeMap<String, u64>,
    /// Calls whose answers were too large to compare.
    pub(super) over_bound: u64,
    /// Calls whose answers are not the message that the descriptors name.
    pub(super) misfits: BTreeMap<(Misfit, String), u64>,
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
    /// Of the calls for which the legacy was asked twice.
    pub(super) noise: FieldNoise,
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
            Err(Uncompared::Misfit(misfit, answer)) => {
                *method.misfits.entry((misfit, answer)).or_default() += 1;
            }
            Err(Uncompared::Unanswered(why)) => match why {
                Unanswered::OverBound => method.over_bound += 1,
                Unanswered::BothLate => method.failed("neither arm answered in time".to_owned()),
                Unanswered::Broke(arm, why) => method.failed(format!("{arm}: {why}")),
            },
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
        let unread = |m: &MethodTally| m.misfits.values().sum::<u64>();
        let failed = |m: &MethodTally| m.failed.values().sum::<u64>();
        self.sum(|m| m.compared + m.over_bound + unread(m) + failed(m)) + self.lost
    }

    pub(super) fn compared(&self) -> u64 {
        self.sum(|method| method.compared)
    }

    /// Calls that differ in more than noise.
    pub(super) fn differed(&self) -> u64 {
        self.sum(MethodTally::differed_beyond_noise)
    }

    /// Calls that differ in nothing but noise.
    pub(super) fn only_noise(&self) -> u64 {
        self.sum(|method| method.differed) - self.differed()
    }

    /// Calls that the descriptors don't fit: their method or their answers.
    pub(super) fn misfits(&self) -> u64 {
        let unknown = self.left_out.iter().filter(|(of, _)| is_misfit(of));
        self.sum(|method| method.misfits.values().sum())
            + unknown.map(|(_, calls)| calls).sum::<u64>()
    }

    pub(super) fn over_bound(&self) -> u64 {
        self.sum(|method| method.over_bound)
    }

    pub(super) fn failed(&self) -> u64 {
        self.sum(|method| method.failed.values().sum()) + self.lost
    }

    /// Calls that were not sent, but for those that the descriptors don't have.
    pub(super) fn skipped(&self) -> u64 {
        let known = self.left_out.iter().filter(|(of, _)| !is_misfit(of));
        known.map(|(_, calls)| calls).sum()
    }

    fn sum(&self, of: impl Fn(&MethodTally) -> u64) -> u64 {
        self.methods.values().map(of).sum()
    }
}

impl MethodTally {
    /// Whether each finding is noise: the legacy's own second answer differs there as readily.
    pub(super) fn noisy(&self) -> Vec<bool> {
        let noise: Vec<_> = self.findings.values().map(|f| f.noise).collect();
        noisy(&noise, ALPHA)
    }

    /// Calls that differ in a field that is not noise. One that differs in two such fields may
    /// count twice, up to all that differ; where the fields don't explain all, all count. So
    /// nothing is let off that is not known to be noise.
    pub(super) fn differed_beyond_noise(&self) -> u64 {
        let (mut noise, mut real) = (0, 0);
        for (finding, noisy) in self.findings.values().zip(self.noisy()) {
            *(if noisy { &mut noise } else { &mut real }) += finding.calls;
        }
        match noise + real < self.differed {
            true => self.differed,
            false => real.min(self.differed),
        }
    }

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
        if let Some(repeat) = &compared.repeat {
            self.asked_twice += 1;
            self.noise(&compared.comparison, repeat);
        }
    }

    fn noise(&mut self, other: &Comparison, repeat: &Comparison) {
        let (other, repeat) = (fields(other), fields(repeat));
        for key in other.union(&repeat) {
            let Some(finding) = self.finding(key) else {
                continue;
            };
            match (other.contains(key), repeat.contains(key)) {
                (true, true) => finding.noise.both += 1,
                (true, false) => finding.noise.only_other += 1,
                (false, _) => finding.noise.only_repeat += 1,
            }
        }
    }

    /// The finding of a path and kind; none where there are too many.
    fn finding(&mut self, key: &(String, &'static str)) -> Option<&mut Finding> {
        if self.findings.len() >= MAX_FINDINGS && !self.findings.contains_key(key) {
            self.findings_dropped += 1;
            return None;
        }
        Some(self.findings.entry(key.clone()).or_default())
    }

    fn differences(&mut self, id: u64, comparison: &Comparison) {
        for (at, difference) in comparison.differences.iter().enumerate() {
            let key = (difference.path.clone(), difference.kind.as_str());
            let Some(finding) = self.finding(&key) else {
                continue;
            };
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

/// Whether calls were left out for the descriptors' fault. Services of gRPC itself, such as health,
/// are in few descriptors.
pub(super) fn is_misfit((method, why): &(String, Skip)) -> bool {
    *why == Skip::UnknownMethod && !method.is_empty() && !method.starts_with("/grpc.")
}

fn fields(comparison: &Comparison) -> BTreeSet<(String, &'static str)> {
    let field = |d: &Difference| (d.path.clone(), d.kind.as_str());
    comparison.differences.iter().map(field).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cutover_compare::{Kind, Observation};

    use super::*;

    fn comparison(paths: &[&str]) -> Comparison {
        let difference = |path: &&str| Difference {
            path: (*path).to_owned(),
            kind: Kind::Value,
            legacy: String::new(),
            candidate: String::new(),
            sufficient_relative: None,
        };
        Comparison {
            differences: paths.iter().map(difference).collect(),
            ..Comparison::default()
        }
    }

    fn call(method: &mut MethodTally, other: &[&str], repeat: Option<&[&str]>) {
        let seen = Observation {
            duration: Duration::from_millis(1),
            ..Observation::default()
        };
        let compared = Compared {
            seen: [seen.clone(), seen],
            comparison: comparison(other),
            repeat: repeat.map(comparison),
        };
        method.compared(1, &compared);
    }

    #[test]
    fn noise_alone_is_no_difference_and_hides_none() {
        let mut method = MethodTally::default();
        for _ in 0..20 {
            call(&mut method, &["id"], Some(&["id"]));
        }
        assert_eq!((method.differed, method.differed_beyond_noise()), (20, 0));
        for _ in 0..3 {
            call(&mut method, &["id", "name"], Some(&["id"]));
        }
        assert_eq!(method.noisy(), [true, false]);
        assert_eq!(method.differed_beyond_noise(), 3);
        assert_eq!(method.asked_twice, 23);
    }

    #[test]
    fn without_a_second_answer_nothing_is_noise() {
        let mut method = MethodTally::default();
        call(&mut method, &["id"], None);
        assert_eq!(
            (method.noisy(), method.differed_beyond_noise()),
            (vec![false], 1)
        );
    }

    #[test]
    fn what_differs_only_on_a_repeat_is_no_finding_of_the_candidates() {
        let mut method = MethodTally::default();
        call(&mut method, &[], Some(&["id"]));
        assert_eq!((method.differed, method.differed_beyond_noise()), (0, 0));
        assert_eq!(method.findings.values().map(|f| f.calls).sum::<u64>(), 0);
    }
}
