//! Observe: the counters of one runtime. Nothing here is shared; snapshots are taken by message
//! and merged elsewhere. Counters belong to an epoch; what earlier epochs counted stays in
//! `retired` for `/metrics`, whose counters must never fall.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use cutover_compare::{Comparison, Descriptors, Histogram, is_failure};
use cutover_manifest::{Arm, Role, RouteTable, Target, Weight};

/// Stands for every method that neither the descriptors nor the manifest has, which bounds the
/// number of labels.
pub(crate) const OTHER: &str = "_OTHER";

/// Most fields that are told apart in one method; later ones are counted as [`OTHER`].
const MAX_FIELDS: usize = 256;

/// gRPC status codes 0 to 16.
const CODES: usize = 17;

/// Everything one runtime has counted.
#[derive(Clone, Default)]
pub(crate) struct Stats {
    pub(crate) epoch: u64,
    pub(crate) current: Methods,
    /// Earlier epochs, all weights together.
    pub(crate) retired: Methods,
    /// Calls that no arm has seen, by reason.
    pub(crate) refused: BTreeMap<&'static str, u64>,
    /// Calls that went to the legacy because the candidate couldn't be connected to.
    pub(crate) fallbacks: u64,
}

/// Counters by method.
#[derive(Clone, Default)]
pub(crate) struct Methods(pub(crate) HashMap<Arc<str>, MethodStats>);

/// Counters of one method.
#[derive(Clone, Default)]
pub(crate) struct MethodStats {
    pub(crate) cells: Vec<Cell>,
    pub(crate) pairs: PairStats,
}

/// Calls that one arm has ended, at one weight and in one role.
#[derive(Clone)]
pub(crate) struct Cell {
    pub(crate) weight: Weight,
    pub(crate) arm: Arm,
    pub(crate) role: Role,
    pub(crate) by_status: [u64; CODES],
    pub(crate) failures: u64,
    pub(crate) latency: Histogram,
}

/// Compared pairs of one method.
#[derive(Clone, Default)]
pub(crate) struct PairStats {
    pub(crate) compared: u64,
    pub(crate) mismatched: u64,
    pub(crate) triples: u64,
    pub(crate) only_failed: [u64; 2],
    pub(crate) slower: [u64; 2],
    pub(crate) not_compared: BTreeMap<&'static str, u64>,
    pub(crate) fields: BTreeMap<(String, &'static str), FieldStats>,
}

/// How often one field differed.
#[derive(Clone, Copy, Default)]
pub(crate) struct FieldStats {
    pub(crate) pairs: u64,
    pub(crate) only_other: u64,
    pub(crate) only_repeat: u64,
    pub(crate) both: u64,
}

/// One ended call, ready to be counted.
pub(crate) struct Ended<'a> {
    pub(crate) epoch: u64,
    pub(crate) method: &'a Arc<str>,
    pub(crate) weight: Weight,
    pub(crate) arm: Arm,
    pub(crate) role: Role,
    pub(crate) status: u32,
    /// None where it says nothing about the arm.
    pub(crate) duration: Option<Duration>,
}

impl Stats {
    /// Counts one ended call. A call of an earlier epoch counts as retired.
    pub(crate) fn ended(&mut self, call: &Ended<'_>) {
        let methods = match self.enter(call.epoch) {
            true => &mut self.current,
            false => &mut self.retired,
        };
        let cell = methods
            .method(call.method)
            .cell(call.weight, call.arm, call.role);
        cell.ended(call.status, call.duration);
    }

    /// Adds what `cell` has counted in `epoch`, and leaves it empty.
    pub(crate) fn take(&mut self, epoch: u64, method: &Arc<str>, cell: &mut Cell) {
        if cell.latency.count() == 0 && cell.by_status == [0; CODES] {
            return;
        }
        let methods = match self.enter(epoch) {
            true => &mut self.current,
            false => &mut self.retired,
        };
        let sum = methods
            .method(method)
            .cell(cell.weight, cell.arm, cell.role);
        sum.add(cell);
        *cell = Cell::new(cell.weight, cell.arm, cell.role);
    }

    /// The pair counters of a method in `epoch`.
    pub(crate) fn pairs(&mut self, epoch: u64, method: &Arc<str>) -> &mut PairStats {
        let methods = match self.enter(epoch) {
            true => &mut self.current,
            false => &mut self.retired,
        };
        &mut methods.method(method).pairs
    }

    pub(crate) fn refused(&mut self, reason: &'static str) {
        *self.refused.entry(reason).or_default() += 1;
    }

    /// Moves on to a new epoch; false where `epoch` is over already.
    fn enter(&mut self, epoch: u64) -> bool {
        if epoch > self.epoch {
            let ended = std::mem::take(&mut self.current);
            self.retired.merge(ended.without_weights());
            self.epoch = epoch;
        }
        epoch == self.epoch
    }

    /// Adds another runtime's counters. Only those of the later epoch stay current.
    pub(crate) fn merge(&mut self, mut other: Stats) {
        let epoch = self.epoch.max(other.epoch);
        self.enter(epoch);
        other.enter(epoch);
        self.current.merge(other.current);
        self.retired.merge(other.retired);
        self.fallbacks += other.fallbacks;
        for (reason, count) in other.refused {
            *self.refused.entry(reason).or_default() += count;
        }
    }
}

impl Methods {
    fn method(&mut self, method: &Arc<str>) -> &mut MethodStats {
        if !self.0.contains_key(method) {
            self.0.insert(method.clone(), MethodStats::default());
        }
        self.0
            .get_mut(method)
            .expect("it was inserted where it was missing")
    }

    pub(crate) fn merge(&mut self, other: Methods) {
        for (name, theirs) in other.0 {
            let mine = self.method(&name);
            for cell in theirs.cells {
                mine.cell(cell.weight, cell.arm, cell.role).add(&cell);
            }
            mine.pairs.merge(theirs.pairs);
        }
    }

    pub(crate) fn without_weights(self) -> Methods {
        let mut all = Methods::default();
        for (name, mut method) in self.0 {
            for cell in &mut method.cells {
                cell.weight = Weight::ZERO;
            }
            // One by one, so that cells which differ only in weight become one.
            let pairs = std::mem::take(&mut method.pairs);
            for cell in method.cells {
                let one = MethodStats {
                    cells: vec![cell],
                    pairs: PairStats::default(),
                };
                all.merge(Methods(HashMap::from([(name.clone(), one)])));
            }
            all.method(&name).pairs.merge(pairs);
        }
        all
    }
}

impl MethodStats {
    /// Few weights are in force in an epoch, so a scan beats a map.
    fn cell(&mut self, weight: Weight, arm: Arm, role: Role) -> &mut Cell {
        let same = |cell: &Cell| cell.weight == weight && cell.arm == arm && cell.role == role;
        let at = self.cells.iter().position(same).unwrap_or_else(|| {
            self.cells.push(Cell::new(weight, arm, role));
            self.cells.len() - 1
        });
        &mut self.cells[at]
    }
}

impl Cell {
    pub(crate) fn new(weight: Weight, arm: Arm, role: Role) -> Cell {
        Cell {
            weight,
            arm,
            role,
            by_status: [0; CODES],
            failures: 0,
            latency: Histogram::default(),
        }
    }

    /// Counts one ended call.
    pub(crate) fn ended(&mut self, status: u32, duration: Option<Duration>) {
        let code = match status as usize {
            known @ 0..CODES => known,
            _ => 2,
        };
        self.by_status[code] += 1;
        self.failures += u64::from(is_failure(status));
        if let Some(duration) = duration {
            self.latency.record(duration);
        }
    }

    fn add(&mut self, other: &Cell) {
        for (sum, count) in self.by_status.iter_mut().zip(other.by_status) {
            *sum += count;
        }
        self.failures += other.failures;
        self.latency.merge(&other.latency);
    }
}

impl PairStats {
    /// Counts one compared pair; status and duration by arm's index. Durations are absent where
    /// they say nothing about the arms.
    pub(crate) fn compared(
        &mut self,
        status: [u32; 2],
        durations: Option<[Duration; 2]>,
        comparison: &Comparison,
    ) {
        self.compared += 1;
        self.mismatched += u64::from(!comparison.differences.is_empty());
        let failed = status.map(is_failure);
        for arm in Arm::BOTH {
            let (mine, other) = (arm.index(), arm.other().index());
            self.only_failed[mine] += u64::from(failed[mine] && !failed[other]);
            let slower = durations.is_some_and(|times| times[mine] > times[other]);
            self.slower[mine] += u64::from(slower);
        }
        for field in fields(comparison) {
            self.field(field).pairs += 1;
        }
    }

    /// Counts one triple: what differed between the arms, and what between two answers of one.
    pub(crate) fn noise(&mut self, other: &Comparison, repeat: &Comparison) {
        self.triples += 1;
        let (other, repeat) = (fields(other), fields(repeat));
        for field in other.union(&repeat) {
            let stats = self.field(field.clone());
            match (other.contains(field), repeat.contains(field)) {
                (true, true) => stats.both += 1,
                (true, false) => stats.only_other += 1,
                _ => stats.only_repeat += 1,
            }
        }
    }

    pub(crate) fn not_compared(&mut self, reason: &'static str) {
        *self.not_compared.entry(reason).or_default() += 1;
    }

    fn field(&mut self, key: (String, &'static str)) -> &mut FieldStats {
        let known = self.fields.contains_key(&key) || self.fields.len() < MAX_FIELDS;
        let key = if known {
            key
        } else {
            (OTHER.to_owned(), key.1)
        };
        self.fields.entry(key).or_default()
    }

    fn merge(&mut self, other: PairStats) {
        self.compared += other.compared;
        self.mismatched += other.mismatched;
        self.triples += other.triples;
        for arm in Arm::BOTH.map(Arm::index) {
            self.only_failed[arm] += other.only_failed[arm];
            self.slower[arm] += other.slower[arm];
        }
        for (reason, count) in other.not_compared {
            *self.not_compared.entry(reason).or_default() += count;
        }
        for (key, theirs) in other.fields {
            let mine = self.field(key);
            mine.pairs += theirs.pairs;
            mine.only_other += theirs.only_other;
            mine.only_repeat += theirs.only_repeat;
            mine.both += theirs.both;
        }
    }
}

fn fields(comparison: &Comparison) -> BTreeSet<(String, &'static str)> {
    let field = |d: &cutover_compare::Difference| (d.path.clone(), d.kind.as_str());
    comparison.differences.iter().map(field).collect()
}

/// The label of each method that is known: from the descriptors and from the manifest's rules.
#[derive(Default)]
pub(crate) struct Labels(HashMap<Box<str>, Arc<str>>, Option<Arc<str>>);

impl Labels {
    pub(crate) fn new(descriptors: Option<&Descriptors>, table: Option<&RouteTable>) -> Labels {
        let described = descriptors.map(Descriptors::paths).unwrap_or_default();
        let ruled = table.into_iter().flat_map(|table| &table.manifest.rules);
        let ruled = ruled
            .flat_map(|rule| &rule.targets)
            .filter_map(|(target, _)| match target {
                Target::Method(path) => Some(path.clone()),
                _ => None,
            });
        let all = described.into_iter().chain(ruled);
        let label = |path: cutover_manifest::MethodPath| {
            (Box::from(path.as_str()), Arc::from(path.as_str()))
        };
        Labels(all.map(label).collect(), Some(Arc::from(OTHER)))
    }

    /// The label of a path: itself where known, else [`OTHER`].
    pub(crate) fn label(&self, path: &str) -> Arc<str> {
        match (self.0.get(path), &self.1) {
            (Some(label), _) | (None, Some(label)) => label.clone(),
            (None, None) => Arc::from(OTHER),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(epoch: u64, weight: u32, status: u32, method: &Arc<str>) -> Ended<'_> {
        Ended {
            epoch,
            method,
            weight: Weight::from_bp(weight).unwrap(),
            arm: Arm::Candidate,
            role: Role::Primary,
            status,
            duration: Some(Duration::from_millis(1)),
        }
    }

    #[test]
    fn a_new_epoch_starts_from_zero_and_loses_nothing_of_the_totals() {
        let method: Arc<str> = Arc::from("/a.B/C");
        let mut stats = Stats::default();
        stats.ended(&call(1, 100, 0, &method));
        stats.ended(&call(1, 200, 14, &method));
        stats.ended(&call(2, 100, 0, &method));
        // A straggler of the epoch before.
        stats.ended(&call(1, 100, 0, &method));
        let calls = |m: &Methods| {
            m.0[&method]
                .cells
                .iter()
                .flat_map(|cell| cell.by_status)
                .sum::<u64>()
        };
        assert_eq!(calls(&stats.current), 1);
        assert_eq!(calls(&stats.retired), 3);
        assert_eq!(stats.retired.0[&method].cells[0].failures, 1);
    }

    #[test]
    fn merging_runtimes_adds_up() {
        let method: Arc<str> = Arc::from("/a.B/C");
        let mut one = Stats::default();
        one.ended(&call(1, 100, 0, &method));
        let mut two = Stats::default();
        two.ended(&call(2, 100, 5, &method));
        one.merge(two);
        assert_eq!(one.epoch, 2);
        assert_eq!(one.current.0[&method].cells[0].by_status[5], 1);
        assert_eq!(one.retired.0[&method].cells[0].by_status[0], 1);
    }

    #[test]
    fn unknown_codes_count_as_unknown() {
        let method: Arc<str> = Arc::from("/a.B/C");
        let mut stats = Stats::default();
        stats.ended(&call(1, 100, 77, &method));
        assert_eq!(stats.current.0[&method].cells[0].by_status[2], 1);
    }
}
