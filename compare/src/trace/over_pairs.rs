//! What many pairs of traces say about an operation together: counters that merge, and which
//! operations stand out.

use super::diff::OperationDiff;
use crate::evidence::{e_bh, ln_e_two_sided};

/// One operation over many pairs. Everything adds up over replicas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OperationEvidence {
    /// Calls by the legacy.
    pub legacy_calls: u64,
    /// Calls by the candidate.
    pub candidate_calls: u64,
    /// Pairs in which the candidate called it more often.
    pub more_in_candidate: u64,
    /// Pairs in which the legacy called it more often.
    pub more_in_legacy: u64,
    /// Failed calls by the legacy.
    pub legacy_errors: u64,
    /// Failed calls by the candidate.
    pub candidate_errors: u64,
    /// Self time of the legacy, ns in all.
    pub legacy_self_ns: u64,
    /// Self time of the candidate, ns in all.
    pub candidate_self_ns: u64,
    /// Pairs that look like N+1 in the candidate only.
    pub n_plus_one: u64,
}

impl OperationEvidence {
    /// Adds one pair.
    pub fn record(&mut self, diff: &OperationDiff) {
        let (legacy, candidate) = (&diff.legacy, &diff.candidate);
        self.merge(&OperationEvidence {
            legacy_calls: legacy.count.into(),
            candidate_calls: candidate.count.into(),
            more_in_candidate: (candidate.count > legacy.count).into(),
            more_in_legacy: (legacy.count > candidate.count).into(),
            legacy_errors: legacy.errors.into(),
            candidate_errors: candidate.errors.into(),
            legacy_self_ns: legacy.self_ns,
            candidate_self_ns: candidate.self_ns,
            n_plus_one: diff.n_plus_one.into(),
        });
    }

    /// Adds what another has counted.
    pub fn merge(&mut self, other: &OperationEvidence) {
        self.legacy_calls += other.legacy_calls;
        self.candidate_calls += other.candidate_calls;
        self.more_in_candidate += other.more_in_candidate;
        self.more_in_legacy += other.more_in_legacy;
        self.legacy_errors += other.legacy_errors;
        self.candidate_errors += other.candidate_errors;
        self.legacy_self_ns = self.legacy_self_ns.saturating_add(other.legacy_self_ns);
        self.candidate_self_ns = self
            .candidate_self_ns
            .saturating_add(other.candidate_self_ns);
        self.n_plus_one += other.n_plus_one;
    }
}

/// Which operations one arm calls more often than the other, beyond chance: the sign of the
/// difference in each pair is a fair coin if neither does; e-BH over the operations.
#[must_use]
pub fn stands_out(operations: &[OperationEvidence], alpha: f64) -> Vec<bool> {
    let ln_e = operations.iter().map(|operation| {
        let n = operation.more_in_candidate + operation.more_in_legacy;
        ln_e_two_sided(n, operation.more_in_candidate, 0.5)
    });
    e_bh(&ln_e.collect::<Vec<_>>(), alpha)
}
