//! Compares what both arms did for one call.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::subtree::{Node, Subtree};
use super::{run, timing, writes};

/// Most operations in a diff; the rest is said to be left out.
const MAX_OPERATIONS: usize = 256;
/// Most operations of one key that are aligned one by one.
const MAX_ALIGNED: usize = 1000;
/// Most sentences in a diff.
const MAX_SENTENCES: usize = 32;

/// What one arm did with one operation in one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpStats {
    /// How often.
    pub count: u32,
    /// How many of them ended in an error.
    pub errors: u32,
    /// Time spent in them and not in spans below, ns.
    pub self_ns: u64,
    /// Time on the call's critical path, ns.
    pub critical_ns: u64,
    /// The most of them at the same time.
    pub concurrency: u32,
}

/// How many operations of both arms were found to belong together, and by what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alignment {
    /// Below the same operations, all the way up.
    pub by_path: u32,
    /// Below the same operation.
    pub by_parent: u32,
    /// By the key alone: it moved to another place.
    pub by_key: u32,
}

/// One operation in both arms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationDiff {
    /// Kind and name, such as `db sqlite SELECT places`.
    pub key: String,
    /// What the legacy did.
    pub legacy: OpStats,
    /// What the candidate did.
    pub candidate: OpStats,
    /// How those in both belong together.
    pub alignment: Alignment,
    /// Whether the candidate asks again and again where the legacy doesn't.
    pub n_plus_one: bool,
}

impl OperationDiff {
    /// Whether count or errors differ. Times and places are shown, never held against an arm.
    #[must_use]
    pub fn mismatched(&self) -> bool {
        let contract = |stats: &OpStats| (stats.count, stats.errors);
        contract(&self.legacy) != contract(&self.candidate)
    }
}

/// What both arms did for one call, compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceDiff {
    /// The operations of both arms, by key.
    pub operations: Vec<OperationDiff>,
    /// What differs, in plain words, one sentence each; at most 32.
    pub sentences: Vec<String>,
}

impl TraceDiff {
    /// Whether a count, an outcome or the order of writes differs.
    #[must_use]
    pub fn mismatched(&self) -> bool {
        !self.sentences.is_empty()
    }
}

/// Compares what both arms did for one call. Only complete pairs should come here: a subtree
/// whose spans have not all arrived looks like one that did less.
#[must_use]
pub fn diff_pair(legacy: &Subtree, candidate: &Subtree) -> TraceDiff {
    let (mut legacy, mut candidate) = (legacy.nodes(), candidate.nodes());
    say_alike(&mut legacy, &mut candidate);
    let stats = [&legacy, &candidate].map(|nodes| stats(nodes));
    let runs = [&legacy, &candidate].map(|nodes| run::longest(nodes));
    let places = [&legacy, &candidate].map(|nodes| places(nodes));
    let mut keys: Vec<&str> = stats.iter().flat_map(BTreeMap::keys).copied().collect();
    keys.sort_unstable();
    keys.dedup();
    let mut diff = TraceDiff::default();
    let left_out = keys.len().saturating_sub(MAX_OPERATIONS);
    keys.truncate(MAX_OPERATIONS);
    for key in keys {
        let [one, other] = [0, 1].map(|arm| stats[arm].get(key).copied().unwrap_or_default());
        let [mine, theirs] = [1, 0].map(|arm| runs[arm].get(key).copied().unwrap_or_default());
        let operation = OperationDiff {
            key: key.to_owned(),
            legacy: one,
            candidate: other,
            alignment: align(key, &places),
            n_plus_one: run::loops(mine, theirs),
        };
        diff.sentences.extend(sentences(&operation, mine));
        diff.operations.push(operation);
    }
    let order = [&legacy, &candidate].map(|nodes| writes::in_order(nodes));
    diff.sentences
        .extend(writes::order_sentence(&order[0], &order[1]));
    if left_out > 0 {
        diff.sentences
            .push(format!("{left_out} more operations were not compared"));
    }
    diff.sentences.truncate(MAX_SENTENCES);
    diff
}

/// Where one of the arms doesn't export the statement of a read, both are known by what every arm
/// exports.
fn say_alike<'a>(legacy: &mut [Node<'a>], candidate: &mut [Node<'a>]) {
    let untold: HashSet<&str> = legacy
        .iter()
        .chain(&*candidate)
        .filter_map(|node| node.operation)
        .filter(|operation| operation.database && operation.without_statement.is_none())
        .map(|operation| operation.key.as_str())
        .collect();
    for node in legacy.iter_mut().chain(candidate) {
        let plain = node
            .operation
            .and_then(|of| of.without_statement.as_deref());
        if let Some(plain) = plain.filter(|plain| untold.contains(plain)) {
            node.key = plain;
        }
    }
}

fn stats<'a>(nodes: &'a [Node<'_>]) -> BTreeMap<&'a str, OpStats> {
    let critical = timing::critical_ns(nodes);
    let mut indices: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, node) in nodes.iter().enumerate() {
        if node.operation.is_some() {
            indices.entry(node.key).or_default().push(index);
        }
    }
    let of = |indices: &Vec<usize>| OpStats {
        count: indices.len() as u32,
        errors: indices
            .iter()
            .filter(|index| nodes[**index].span.error)
            .count() as u32,
        self_ns: indices
            .iter()
            .map(|index| timing::self_ns(nodes, *index))
            .sum(),
        critical_ns: indices.iter().map(|index| critical[*index]).sum(),
        concurrency: timing::concurrency(nodes, indices),
    };
    indices
        .iter()
        .map(|(key, indices)| (*key, of(indices)))
        .collect()
}

/// Where an operation hangs: the keys of the operations above it, nearest first.
type Ancestry<'a> = Vec<&'a str>;

/// For each key, where its operations hang.
fn places<'a>(nodes: &'a [Node<'_>]) -> HashMap<&'a str, Vec<Ancestry<'a>>> {
    let mut places: HashMap<&str, Vec<Ancestry<'_>>> = HashMap::new();
    for node in nodes {
        if node.operation.is_none() {
            continue;
        }
        let known = places.entry(node.key).or_default();
        if known.len() >= MAX_ALIGNED {
            continue;
        }
        let mut above = node.above;
        let mut ancestry = Vec::new();
        while nodes[above].operation.is_some() {
            ancestry.push(nodes[above].key);
            above = nodes[above].above;
        }
        known.push(ancestry);
    }
    places
}

/// Matches by full path, then by parent, then by key.
fn align(key: &str, places: &[HashMap<&str, Vec<Ancestry<'_>>>; 2]) -> Alignment {
    let [mut legacy, mut candidate] =
        [0, 1].map(|arm| places[arm].get(key).cloned().unwrap_or_default());
    let mut take = |same: fn(&Ancestry<'_>, &Ancestry<'_>) -> bool| {
        let before = legacy.len();
        legacy.retain(
            |one| match candidate.iter().position(|other| same(one, other)) {
                Some(index) => {
                    candidate.swap_remove(index);
                    false
                }
                None => true,
            },
        );
        (before - legacy.len()) as u32
    };
    Alignment {
        by_path: take(|one, other| one == other),
        by_parent: take(|one, other| one.first() == other.first()),
        by_key: take(|_, _| true),
    }
}

fn sentences(operation: &OperationDiff, run: u32) -> Vec<String> {
    let (key, legacy, candidate) = (&operation.key, &operation.legacy, &operation.candidate);
    let mut all = Vec::new();
    let times = |count: u32| {
        if count == 1 {
            "once".to_owned()
        } else {
            format!("{count} times")
        }
    };
    if legacy.count != candidate.count {
        all.push(match (legacy.count, candidate.count) {
            (0, count) => format!("only the candidate calls {key}, {}", times(count)),
            (count, 0) => format!("only the legacy calls {key}, {}", times(count)),
            (one, other) => {
                format!(
                    "the legacy calls {key} {}, the candidate {}",
                    times(one),
                    times(other)
                )
            }
        });
    }
    if operation.n_plus_one {
        all.push(format!(
            "the candidate calls {key} {run} times in a row: N+1?"
        ));
    }
    if legacy.errors != candidate.errors {
        all.push(format!(
            "{key} fails {} in the legacy, {} in the candidate",
            times(legacy.errors),
            times(candidate.errors)
        ));
    }
    all
}
