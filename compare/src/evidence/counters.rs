//! What is counted for a method. Everything adds up over replicas and methods.

use cutover_manifest::{Arm, Role, Weight};

use super::spells::Spells;
use crate::Histogram;

/// Calls that one arm has ended, at one weight and in one role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallCell {
    /// The weight in force when the calls were routed.
    pub weight: Weight,
    /// Who answered.
    pub arm: Arm,
    /// What the copies were for.
    pub role: Role,
    /// Calls ended.
    pub calls: u64,
    /// Calls that count as failures of the arm; see [`crate::is_failure`].
    pub failures: u64,
    /// From the request's arrival to the end of the answer. Copies of requests that are streams
    /// have none: they are sent at once, however slowly the client sent them.
    pub latency: Histogram,
}

/// Mirrored pairs: the primary's and the shadow's observation of the same call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PairCell {
    /// Pairs compared.
    pub compared: u64,
    /// Pairs with at least one difference that counts.
    pub mismatched: u64,
    /// Of those, pairs whose differences may be noise: they count against advancing, and not for
    /// rolling back.
    pub undecided: u64,
    /// Pairs that were asked once more for noise.
    pub triples: u64,
    /// Pairs in which only the candidate failed.
    pub only_candidate_failed: u64,
    /// Pairs in which only the legacy failed.
    pub only_legacy_failed: u64,
    /// Pairs in which the candidate took longer.
    pub candidate_slower: u64,
    /// Pairs in which the legacy took longer.
    pub legacy_slower: u64,
}

/// What pairs of traces say about one operation of one method.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperationCell {
    /// Kind and name, such as `db sqlite SELECT places`.
    pub key: String,
    /// Pairs of traces compared of its method.
    pub compared: u64,
    /// Pairs in which the candidate called it more often.
    pub more_in_candidate: u64,
    /// Pairs in which the legacy called it more often.
    pub more_in_legacy: u64,
    /// Whether it looks like N+1 in the candidate only.
    pub n_plus_one: bool,
}

/// What pairs of traces say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceCell {
    /// Pairs compared.
    pub compared: u64,
    /// The operations in them.
    pub operations: Vec<OperationCell>,
}

/// The memory of the arms. It is the processes', so no method has one of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryCell {
    /// Spells of calls that the candidate was watched for.
    pub spells: Spells,
    /// The legacy's memory now, bytes; 0: unknown.
    pub legacy_bytes: u64,
    /// The candidate's memory now, bytes; 0: unknown.
    pub candidate_bytes: u64,
}

/// All that is counted for a method, or for several together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MethodEvidence {
    /// Calls, one cell for each weight, arm and role that occurred.
    pub calls: Vec<CallCell>,
    /// Compared pairs.
    pub pairs: PairCell,
    /// Compared pairs of traces.
    pub traces: TraceCell,
    /// The arms' memory.
    pub memory: MemoryCell,
}

impl PairCell {
    /// Adds what another has counted.
    pub fn merge(&mut self, other: &PairCell) {
        self.compared += other.compared;
        self.mismatched += other.mismatched;
        self.undecided += other.undecided;
        self.triples += other.triples;
        self.only_candidate_failed += other.only_candidate_failed;
        self.only_legacy_failed += other.only_legacy_failed;
        self.candidate_slower += other.candidate_slower;
        self.legacy_slower += other.legacy_slower;
    }
}

impl MethodEvidence {
    /// Adds what another method or replica has counted, cell by cell; memory stays as it is.
    pub fn merge(&mut self, other: &MethodEvidence) {
        let PairCell {
            mismatched,
            undecided,
            ..
        } = other.pairs;
        self.merge_with(other, mismatched, undecided);
    }

    /// Adds what another has counted, with other numbers of mismatches.
    pub(super) fn merge_with(&mut self, other: &MethodEvidence, mismatched: u64, undecided: u64) {
        for cell in &other.calls {
            let mine = self.cell(cell.weight, cell.arm, cell.role);
            mine.calls += cell.calls;
            mine.failures += cell.failures;
            mine.latency.merge(&cell.latency);
        }
        self.traces.compared += other.traces.compared;
        let operations = &other.traces.operations;
        self.traces.operations.extend(operations.iter().cloned());
        self.pairs.merge(&PairCell {
            mismatched,
            undecided,
            ..other.pairs
        });
    }

    /// The cell of a weight, arm and role; a new one where there was none.
    pub fn cell(&mut self, weight: Weight, arm: Arm, role: Role) -> &mut CallCell {
        let same = |cell: &CallCell| (cell.weight, cell.arm, cell.role) == (weight, arm, role);
        let index = self.calls.iter().position(same).unwrap_or_else(|| {
            let latency = Histogram::default();
            self.calls.push(CallCell {
                weight,
                arm,
                role,
                calls: 0,
                failures: 0,
                latency,
            });
            self.calls.len() - 1
        });
        &mut self.calls[index]
    }

    /// Calls and failures, summed over the cells that `which` picks.
    pub(super) fn sum(&self, which: impl Fn(&CallCell) -> bool) -> (u64, u64) {
        let picked = self.calls.iter().filter(|cell| which(cell));
        picked.fold((0, 0), |(calls, failures), cell| {
            (calls + cell.calls, failures + cell.failures)
        })
    }

    /// Latency, summed over the cells that `which` picks.
    pub(super) fn latency(&self, which: impl Fn(&CallCell) -> bool) -> Histogram {
        let mut sum = Histogram::default();
        for cell in self.calls.iter().filter(|cell| which(cell)) {
            sum.merge(&cell.latency);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn replicas_add_up_cell_by_cell() {
        let mut one = MethodEvidence::default();
        let cell = one.cell(Weight::ZERO, Arm::Legacy, Role::Primary);
        cell.calls = 3;
        cell.latency.record(Duration::from_millis(2));
        one.pairs.compared = 2;
        let mut two = one.clone();
        two.cell(Weight::FULL, Arm::Candidate, Role::Primary)
            .failures = 1;
        one.merge(&two);
        assert_eq!(one.calls.len(), 2);
        assert_eq!(one.calls[0].calls, 6);
        assert_eq!(one.calls[0].latency.count(), 2);
        assert_eq!(one.pairs.compared, 4);
        assert_eq!(one.sum(|cell| cell.arm == Arm::Candidate), (0, 1));
    }
}
