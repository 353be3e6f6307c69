//! The calls that were finished a while ago, so that a repeated export is not counted twice, and a
//! late one is known for what it is.

use std::collections::{BTreeSet, VecDeque};

use super::{SpanId, TraceId};

/// Most calls that are remembered; the oldest goes first.
const MAX_CALLS: usize = 65_536;
/// Bytes that they take at most: an entry in a queue and one in a tree whose nodes are half full.
pub(super) const MAX_BYTES: usize = MAX_CALLS * (2 * 24 + 56);

/// Calls by trace and shadow root.
#[derive(Debug, Default)]
pub(super) struct Finished {
    order: VecDeque<(TraceId, SpanId)>,
    known: BTreeSet<(TraceId, SpanId)>,
}

impl Finished {
    /// Remembers a call; says whether it is a new one.
    pub(super) fn insert(&mut self, trace: TraceId, shadow: SpanId) -> bool {
        if !self.known.insert((trace, shadow)) {
            return false;
        }
        self.order.push_back((trace, shadow));
        if self.order.len() > MAX_CALLS
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }

    /// Whether a call of this trace was finished.
    pub(super) fn has_any_of(&self, trace: TraceId) -> bool {
        let all = (trace, [0; 8])..=(trace, [u8::MAX; 8]);
        self.known.range(all).next().is_some()
    }
}
