//! What the runtimes of one proxy share: the route table, the descriptors, and the hand-overs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use cutover_compare::Descriptors;
use cutover_manifest::RouteTable;
use tokio::sync::{Notify, mpsc};

use crate::journal::Journal;
use crate::mirror::MirrorCall;
use crate::observe::Labels;
use crate::spans::Spans;

/// Read by every core, written only when a table or descriptors arrive.
pub(crate) struct Shared {
    /// The table in force; none until the first one comes.
    pub(crate) table: ArcSwapOption<RouteTable>,
    /// What the arms' methods look like; none until reflection or a file has said it.
    pub(crate) descriptors: ArcSwapOption<Descriptors>,
    /// Told when descriptors may have to be fetched anew.
    pub(crate) describe: Notify,
    /// The methods that get a label of their own.
    pub(crate) labels: ArcSwap<Labels>,
    /// Rises after each change of the three above, so that cores notice it by one load.
    pub(crate) change: AtomicU64,
    /// The bounded hand-over to the shadow runtime: full means dropped and counted.
    pub(crate) mirror: mpsc::Sender<Box<MirrorCall>>,
    /// Memory of all mirrored calls.
    pub(crate) mirror_memory: Arc<Budget>,
    /// Where calls are recorded, if they are.
    pub(crate) journal: Option<Journal>,
    /// Where finished spans go.
    pub(crate) spans: Spans,
    /// True from the first signal to stop.
    pub(crate) draining: AtomicBool,
}

/// A bound on bytes, shared by all who take from it.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: AtomicUsize,
    taken: AtomicUsize,
}

/// Bytes taken from a [`Budget`]; given back on drop.
#[derive(Debug)]
pub(crate) struct Taken {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Arc<Budget> {
        Arc::new(Budget {
            limit: AtomicUsize::new(bytes),
            taken: AtomicUsize::new(0),
        })
    }

    /// Sets another bound. What is taken beyond it stays so until it is given back.
    pub(crate) fn set_limit(&self, bytes: usize) {
        self.limit.store(bytes, Ordering::Relaxed);
    }

    /// Nothing taken yet.
    pub(crate) fn empty(self: &Arc<Self>) -> Taken {
        Taken {
            budget: self.clone(),
            bytes: 0,
        }
    }
}

impl Taken {
    /// Takes more; false where the bound would be passed, and then nothing is taken.
    pub(crate) fn take(&mut self, bytes: usize) -> bool {
        let limit = self.budget.limit.load(Ordering::Relaxed);
        let all = &self.budget.taken;
        let taken = all.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
            n.checked_add(bytes).filter(|sum| *sum <= limit)
        });
        if taken.is_ok() {
            self.bytes += bytes;
        }
        taken.is_ok()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.budget.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_never_passed_and_comes_back() {
        let budget = Budget::new(10);
        let mut first = budget.empty();
        let mut second = budget.empty();
        assert!(first.take(6));
        assert!(!second.take(5));
        assert!(second.take(4));
        drop(first);
        assert!(second.take(6));
        assert_eq!(second.bytes(), 10);
        budget.set_limit(5);
        assert!(!second.take(1));
        drop(second);
        assert!(!budget.empty().take(6));
        assert!(budget.empty().take(5));
    }
}
