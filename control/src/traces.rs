//! What the traces of both arms say about each method: pairs go through the comparison, and become
//! counters for each operation and a bounded selection of pairs to look at.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::catch_unwind;
use std::time::Duration;

use cutover_compare::trace::{OperationDiff, Span, Subtree, TraceDiff, Twos, grows_with_answer};
use cutover_manifest::MethodPath;
use cutover_proto::cutover::v1 as wire;

use crate::ledger::MAX_METHODS;
use crate::pairing::{Outcome, Pair};
use crate::store::{Snapshot, TraceRow};
use crate::words::{arm_to_wire, hex};

/// Most operations counted for each method; those that come later are left out.
const MAX_OPERATIONS: usize = 256;
/// Most spans of each arm kept with a pair.
const MAX_KEPT_SPANS: usize = 500;
/// Most differences kept with a pair.
const MAX_KEPT_SENTENCES: usize = 50;
/// Pairs of a method that are kept at once; after that, one in each `KEEP_EVERY`.
const KEEP_AT_ONCE: u32 = 40;
/// How often a pair is kept once there are enough; spares the disk.
const KEEP_EVERY: Duration = Duration::from_secs(1);

/// How both arms' parts of a trace are compared, the legacy's first; `diff_pair`.
pub(crate) type Compare = fn(&Subtree, &Subtree) -> TraceDiff;

/// An outcome of pairing, compared.
#[derive(Debug)]
pub(crate) enum Examined {
    /// Both arms' parts, and what differs in them.
    Compared(Box<Pair>, TraceDiff),
    /// Given up.
    Incomplete {
        method: MethodPath,
        missing: &'static str,
    },
}

/// What became of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is in the counters.
    Counted,
    /// And its pair is worth keeping.
    Keep,
}

impl Examined {
    /// Compares both arms' parts, where they are there. A panic in the comparison is a defect of
    /// ours: the pair is given up, so it is no evidence, and the next one is compared.
    pub(crate) fn new(outcome: Outcome, compare: Compare) -> Examined {
        let pair = match outcome {
            Outcome::Incomplete { method, missing } => {
                return Examined::Incomplete { method, missing };
            }
            Outcome::Pair(pair) => pair,
        };
        match catch_unwind(|| compare(&pair.legacy, &pair.candidate)) {
            Ok(diff) => Examined::Compared(pair, diff),
            Err(_) => {
                let (method, trace_id) = (pair.method, hex(&pair.legacy.root.trace_id));
                tracing::error!(method = %method.as_str(), trace_id, "comparing traces panicked");
                let missing = "comparer_failed";
                Examined::Incomplete { method, missing }
            }
        }
    }

    /// The pair as it is stored, if there is one.
    pub(crate) fn to_wire(&self, unix_ms: i64) -> Option<wire::TracePair> {
        let Examined::Compared(pair, diff) = self else {
            return None;
        };
        let differences = diff.sentences.iter().take(MAX_KEPT_SENTENCES);
        Some(wire::TracePair {
            trace_id: hex(&pair.legacy.root.trace_id),
            method: pair.method.as_str().to_owned(),
            primary: arm_to_wire(pair.primary).into(),
            at_unix_ms: unix_ms,
            legacy: summarise(&pair.legacy),
            candidate: summarise(&pair.candidate),
            differences: differences.cloned().collect(),
        })
    }
}

/// The counters of one method.
#[derive(Clone, Debug, Default)]
struct Method {
    status: wire::TraceStatus,
    kept: [Kept; 2],
    /// By key of the operation: the pair that waits for its counterpart, lost with the process.
    twos: BTreeMap<String, Twos>,
}

/// How many pairs were handed on to be kept, and when the last one was.
#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    count: u32,
    last: Duration,
}

/// What the traces say, by method, in one epoch.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    methods: BTreeMap<String, Method>,
    unsaved: BTreeSet<String>,
    /// What other control planes have counted.
    others: BTreeMap<String, wire::TraceStatus>,
    /// Whether what the store holds under our slot is in our own counters.
    settled: bool,
}

impl Traces {
    /// With what the store held of a control plane that is alone.
    pub(crate) fn alone(saved: &[TraceRow]) -> Traces {
        let mut traces = Traces::default();
        traces.take_others(saved, Some(0));
        traces.unsaved.clear();
        traces
    }

    /// Begins an epoch.
    pub(crate) fn restart(&mut self) {
        self.methods.clear();
        self.unsaved.clear();
        self.others.clear();
    }

    /// The counters of a method, by all control planes.
    pub(crate) fn status(&self, method: &str) -> Option<wire::TraceStatus> {
        let own = self.methods.get(method).map(|method| &method.status);
        match (own, self.others.get(method)) {
            (Some(own), Some(others)) => {
                let mut sum = own.clone();
                add(&mut sum, others);
                Some(sum)
            }
            (own, others) => own.or(others).cloned(),
        }
    }

    /// Takes over what the store holds: under another slot it is what others have counted; under
    /// our own, when it is new to us, what whoever had it before has left.
    pub(crate) fn take_others(&mut self, rows: &[TraceRow], slot: Option<u32>) {
        self.others.clear();
        for row in rows {
            let sum = if Some(row.slot) != slot {
                self.others.entry(row.method.clone()).or_default()
            } else if self.settled {
                continue;
            } else {
                self.unsaved.insert(row.method.clone());
                &mut self.methods.entry(row.method.clone()).or_default().status
            };
            add(sum, &row.status);
        }
        self.settled |= slot.is_some();
    }

    /// Nothing is saved until it is known what the new slot holds. Who has lost a slot has left
    /// what was counted to whoever took it.
    pub(crate) fn move_to_another_slot(&mut self, lost: bool) {
        if lost {
            self.methods.clear();
            self.unsaved.clear();
        }
        self.settled = false;
    }

    /// Counts an outcome. Says whether its pair is one of those to keep.
    pub(crate) fn count(&mut self, examined: &Examined, now: Duration) -> Taken {
        match examined {
            Examined::Incomplete { method, missing } => {
                if let Some(method) = self.method(method) {
                    let incomplete = &mut method.status.incomplete;
                    *incomplete.entry((*missing).to_owned()).or_default() += 1;
                }
                Taken::Counted
            }
            Examined::Compared(pair, diff) => {
                let Some(method) = self.method(&pair.method) else {
                    return Taken::Counted;
                };
                let mismatched = method.add(diff);
                if let Some(bytes) = pair.answer_bytes {
                    method.add_growth(diff, bytes.into());
                }
                method.kept[usize::from(mismatched)].take(now)
            }
        }
    }

    /// Adds what changed since the last time to a snapshot.
    pub(crate) fn take_unsaved(&mut self, snapshot: &mut Snapshot) {
        if !self.settled {
            return;
        }
        for name in std::mem::take(&mut self.unsaved) {
            if let Some(method) = self.methods.get(&name) {
                snapshot.traces.push((name, method.status.clone()));
            }
        }
    }

    /// Takes back a snapshot that could not be saved: the next one holds it again.
    pub(crate) fn give_back(&mut self, snapshot: &Snapshot) {
        self.unsaved
            .extend(snapshot.traces.iter().map(|(method, _)| method.clone()));
    }

    fn method(&mut self, path: &MethodPath) -> Option<&mut Method> {
        let name = path.as_str();
        if !self.methods.contains_key(name) && self.methods.len() >= MAX_METHODS {
            return None;
        }
        if !self.unsaved.contains(name) {
            self.unsaved.insert(name.to_owned());
        }
        if !self.methods.contains_key(name) {
            self.methods.insert(name.to_owned(), Method::default());
        }
        self.methods.get_mut(name)
    }
}

impl Kept {
    fn take(&mut self, now: Duration) -> Taken {
        if self.count >= KEEP_AT_ONCE && now.saturating_sub(self.last) < KEEP_EVERY {
            return Taken::Counted;
        }
        *self = Kept {
            count: self.count.saturating_add(1),
            last: now,
        };
        Taken::Keep
    }
}

impl Method {
    /// Counts a comparison; says whether the arms did different things.
    fn add(&mut self, diff: &TraceDiff) -> bool {
        let mismatched = diff.mismatched();
        self.status.compared += 1;
        self.status.mismatched += u64::from(mismatched);
        for operation in &diff.operations {
            let operations = &mut self.status.operations;
            let found = operations
                .iter()
                .position(|known| known.key == operation.key);
            let index = match found {
                Some(index) => index,
                None if operations.len() >= MAX_OPERATIONS => continue,
                None => {
                    let key = operation.key.clone();
                    operations.push(wire::OperationStatus {
                        key,
                        ..Default::default()
                    });
                    operations.len() - 1
                }
            };
            add_operation(&mut operations[index], operation);
        }
        mismatched
    }

    /// Counts whether the candidate's calls grow with the answer; the legacy's don't.
    fn add_growth(&mut self, diff: &TraceDiff, answer_bytes: u64) {
        for status in &mut self.status.operations {
            let called = diff
                .operations
                .iter()
                .find(|operation| operation.key == status.key);
            let excess = called.map_or(0, |operation| {
                i64::from(operation.candidate.count) - i64::from(operation.legacy.count)
            });
            if !self.twos.contains_key(&status.key) {
                self.twos.insert(status.key.clone(), Twos::default());
            }
            let Some(growing) = self
                .twos
                .get_mut(&status.key)
                .and_then(|twos| twos.record(answer_bytes, excess))
            else {
                continue;
            };
            status.growth_compared += 1;
            status.growth_growing += u64::from(growing);
            status.n_plus_one |= grows_with_answer(status.growth_compared, status.growth_growing);
        }
    }
}

/// Adds what another control plane has counted.
fn add(sum: &mut wire::TraceStatus, more: &wire::TraceStatus) {
    sum.compared += more.compared;
    sum.mismatched += more.mismatched;
    for (why, n) in &more.incomplete {
        *sum.incomplete.entry(why.clone()).or_default() += n;
    }
    for operation in &more.operations {
        let known = sum
            .operations
            .iter()
            .position(|known| known.key == operation.key);
        match known {
            Some(index) => add_counters(&mut sum.operations[index], operation),
            None if sum.operations.len() >= MAX_OPERATIONS => {}
            None => sum.operations.push(operation.clone()),
        }
    }
}

fn add_counters(sum: &mut wire::OperationStatus, more: &wire::OperationStatus) {
    // Named one by one, so that a counter that comes to be is not forgotten here.
    let wire::OperationStatus {
        key: _,
        legacy_calls,
        candidate_calls,
        more_in_candidate,
        more_in_legacy,
        legacy_errors,
        candidate_errors,
        legacy_self_us,
        candidate_self_us,
        n_plus_one,
        growth_compared,
        growth_growing,
    } = more;
    sum.legacy_calls += legacy_calls;
    sum.candidate_calls += candidate_calls;
    sum.more_in_candidate += more_in_candidate;
    sum.more_in_legacy += more_in_legacy;
    sum.legacy_errors += legacy_errors;
    sum.candidate_errors += candidate_errors;
    sum.legacy_self_us += legacy_self_us;
    sum.candidate_self_us += candidate_self_us;
    sum.growth_compared += growth_compared;
    sum.growth_growing += growth_growing;
    sum.n_plus_one |= n_plus_one | grows_with_answer(sum.growth_compared, sum.growth_growing);
}

fn add_operation(status: &mut wire::OperationStatus, operation: &OperationDiff) {
    let (legacy, candidate) = (&operation.legacy, &operation.candidate);
    let (legacy_calls, candidate_calls) = (u64::from(legacy.count), u64::from(candidate.count));
    status.legacy_calls += legacy_calls;
    status.candidate_calls += candidate_calls;
    status.more_in_candidate += u64::from(candidate_calls > legacy_calls);
    status.more_in_legacy += u64::from(legacy_calls > candidate_calls);
    status.legacy_errors += u64::from(legacy.errors);
    status.candidate_errors += u64::from(candidate.errors);
    status.legacy_self_us += legacy.self_ns / 1_000;
    status.candidate_self_us += candidate.self_ns / 1_000;
    status.n_plus_one |= operation.n_plus_one;
}

fn summarise(tree: &Subtree) -> Vec<wire::SpanSummary> {
    let summary = |(depth, span): (u32, &Span)| {
        let start_ns = i128::from(span.start_ns) - i128::from(tree.root.start_ns);
        let key = span.operation_key().filter(|_| depth > 0);
        wire::SpanSummary {
            span_id: hex(&span.span_id),
            depth,
            name: span.name().to_owned(),
            key: key.unwrap_or_default().to_owned(),
            start_us: i64::try_from(start_ns / 1_000).unwrap_or(0),
            duration_us: span.duration_ns() / 1_000,
            error: span.error,
        }
    };
    let spans = tree.in_order().into_iter().take(MAX_KEPT_SPANS);
    spans.map(summary).collect()
}

#[cfg(test)]
mod tests;
