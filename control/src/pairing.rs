//! Spans in, pairs of subtrees out. One trace may hold several mirrored calls; each is a group: the
//! proxy's CLIENT spans below one SERVER span. Pure: the time is handed in. Memory is bounded in
//! spans and bytes; what is evicted is counted.
//!
//! A group is complete when its primary and shadow roots have ended, both arms' spans are there,
//! no arm's span lacks its parent, and the trace was quiet for a while. Spans come in any order,
//! more than once, in batches of several processes, and not all of them come. No span's own time
//! decides anything here but the order of siblings: clocks differ.

mod bounds;
mod finished;
mod trace;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use cutover_compare::trace::{Span, Subtree};
use cutover_manifest::{Arm, MethodPath, Role};

pub(crate) use bounds::Bounds;
use finished::Finished;
use trace::{Group, Trace};

/// Attribute of the proxy's CLIENT spans, and of the arms' resources.
pub(crate) const ARM: &str = "cutover.arm";
/// Attribute of the proxy's CLIENT spans.
pub(crate) const ROLE: &str = "cutover.role";
/// Bytes that a trace takes beside its spans, at most: its own fields and its places in the tables,
/// which grow by doubling and hold old and new places while they do.
const TRACE_BYTES: usize = 512;
/// For how long after the beginning spans of calls that are older may come: their other spans may
/// have gone to the process that ran before this one.
const INHERITED: Duration = Duration::from_secs(60);

/// A span, and which arm's process sent it (the proxy's have none).
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) span: Span,
    pub(crate) sender: Option<Arm>,
    /// Where it is a CLIENT span of the proxy.
    pub(crate) root: Option<Arc<Root>>,
    /// Bytes of the answer, where it says them; at most 4 GiB.
    pub(crate) answer_bytes: Option<u32>,
}

/// What a CLIENT span of the proxy says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Root {
    pub(crate) arm: Arm,
    pub(crate) role: Role,
    pub(crate) method: MethodPath,
}

/// Both arms' part of one mirrored call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) method: MethodPath,
    pub(crate) primary: Arm,
    pub(crate) legacy: Subtree,
    pub(crate) candidate: Subtree,
    /// Bytes of the legacy's answer, else of the candidate's, where the proxy's span says them.
    pub(crate) answer_bytes: Option<u32>,
}

/// What became of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Both arms' parts are there.
    Pair(Box<Pair>),
    /// Given up.
    Incomplete {
        method: MethodPath,
        /// `primary_root`, `legacy_spans`, `candidate_spans`, `both_spans`, `parent_spans`,
        /// `too_many_spans`, `before_start` or `evicted`; of a pair whose comparison failed,
        /// `comparer_failed`.
        missing: &'static str,
    },
}

/// What was left out, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    /// Spans evicted because memory was full.
    pub(crate) evicted: u64,
    /// Spans beyond the bound of one trace.
    pub(crate) over_trace_bound: u64,
    /// Spans of traces without a shadow call, dropped when old.
    pub(crate) unpaired: u64,
    /// Spans that came again while the first was still there.
    pub(crate) repeated: u64,
    /// Spans that came after their call was finished or given up.
    pub(crate) late: u64,
}

type TraceId = [u8; 16];
type SpanId = [u8; 8];

/// The spans that wait for their counterparts.
#[derive(Debug)]
pub(crate) struct Pairing {
    bounds: Bounds,
    /// When pairing began, ns since the Unix epoch.
    began_unix_ns: u64,
    traces: HashMap<TraceId, Box<Trace>>,
    /// By age; a trace that is gone is skipped.
    order: VecDeque<(Duration, TraceId)>,
    /// When to look at a trace again; each has at least one entry.
    due: BinaryHeap<Reverse<(Duration, TraceId)>>,
    finished: Finished,
    spans: usize,
    bytes: usize,
    dropped: Dropped,
}

impl Pairing {
    /// Nothing yet. The time that is handed in later counts from zero, which is `began_unix_ns`.
    pub(crate) fn new(bounds: Bounds, began_unix_ns: u64) -> Pairing {
        Pairing {
            bounds,
            began_unix_ns,
            traces: HashMap::new(),
            order: VecDeque::new(),
            due: BinaryHeap::new(),
            finished: Finished::default(),
            spans: 0,
            bytes: 0,
            dropped: Dropped::default(),
        }
    }

    /// What was left out so far.
    pub(crate) fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// How many spans are held, and how many bytes at most they take.
    pub(crate) fn held(&self) -> (usize, usize) {
        (self.spans, self.bytes)
    }

    /// Other bounds from now on.
    pub(crate) fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    /// Takes a span in. Returns groups that had to make room for it.
    pub(crate) fn add(&mut self, received: Received, now: Duration) -> Vec<Outcome> {
        let id = received.span.trace_id;
        let trace = self.traces.entry(id).or_insert_with(|| {
            self.order.push_back((now, id));
            self.due.push(Reverse((now + self.bounds.quiet, id)));
            self.bytes += TRACE_BYTES;
            Box::new(Trace::new(now))
        });
        if trace.holds(received.span.span_id) {
            self.dropped.repeated += 1;
            return Vec::new();
        }
        if trace.spans() >= self.bounds.max_spans_per_trace {
            trace.overflow = true;
            self.dropped.over_trace_bound += 1;
            return Vec::new();
        }
        if trace.checked {
            trace.checked = false;
            self.due.push(Reverse((now + self.bounds.quiet, id)));
        }
        self.bytes += trace.add(received, now);
        self.spans += 1;
        let mut outcomes = Vec::new();
        while self.spans > self.bounds.max_spans || self.bytes > self.bounds.room() {
            let Some((first, oldest)) = self.order.pop_front() else {
                break;
            };
            if let Some(trace) = self.take(&oldest, first) {
                self.dropped.evicted += trace.spans() as u64;
                outcomes.extend(self.give_up(oldest, &trace, "evicted"));
            }
        }
        outcomes
    }

    /// Finishes what is complete, and gives up what has waited too long.
    pub(crate) fn sweep(&mut self, now: Duration) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        while let Some(Reverse((at, id))) = self.due.peek().copied()
            && at <= now
        {
            self.due.pop();
            let Some(trace) = self.traces.get_mut(&id) else {
                continue;
            };
            let too_old = trace.first + self.bounds.longest;
            let quiet = trace.last + self.bounds.quiet;
            if now < too_old && (now < quiet || trace.checked) {
                let again = if trace.checked {
                    too_old
                } else {
                    quiet.min(too_old)
                };
                self.due.push(Reverse((again, id)));
                continue;
            }
            trace.checked = true;
            if now < too_old && !trace.is_complete() {
                self.due.push(Reverse((too_old, id)));
                continue;
            }
            let first = trace.first;
            if let Some(trace) = self.take(&id, first) {
                outcomes.extend(self.finish(id, *trace));
            }
        }
        // Names of traces that are gone must not pile up where none is ever evicted.
        if self.order.len() > 2 * self.traces.len() + 64 {
            let traces = &self.traces;
            self.order
                .retain(|(first, id)| traces.get(id).is_some_and(|t| t.first == *first));
        }
        outcomes
    }

    fn take(&mut self, id: &TraceId, first: Duration) -> Option<Box<Trace>> {
        // The same trace id may have come again after it was finished.
        if self.traces.get(id)?.first != first {
            return None;
        }
        let trace = self.traces.remove(id)?;
        self.spans -= trace.spans();
        self.bytes -= trace.bytes() + TRACE_BYTES;
        Some(trace)
    }

    fn finish(&mut self, id: TraceId, trace: Trace) -> Vec<Outcome> {
        if trace.overflow {
            return self.give_up(id, &trace, "too_many_spans");
        }
        let groups = trace.groups();
        if groups.is_empty() {
            let of_finished = self.finished.has_any_of(id);
            let dropped = &mut self.dropped;
            let count = if of_finished {
                &mut dropped.late
            } else {
                &mut dropped.unpaired
            };
            *count += trace.spans() as u64;
            return Vec::new();
        }
        let mut outcomes = Vec::new();
        let mut forest = None;
        for group in &groups {
            if !self.finished.insert(id, trace.id(group.shadow)) {
                continue;
            }
            outcomes.push(if self.is_inherited(&trace, group) {
                trace.incomplete(group, "before_start")
            } else {
                trace.outcome(group, forest.get_or_insert_with(|| trace.forest()))
            });
        }
        if outcomes.is_empty() {
            self.dropped.late += trace.spans() as u64;
        }
        outcomes
    }

    fn give_up(&mut self, id: TraceId, trace: &Trace, missing: &'static str) -> Vec<Outcome> {
        let groups = trace.groups();
        let new = groups
            .iter()
            .filter(|group| self.finished.insert(id, trace.id(group.shadow)));
        new.map(|group| trace.incomplete(group, missing)).collect()
    }

    /// Whether a call began before pairing did: then the process before this one may hold spans of
    /// it, and an arm would look as if it had done less. Soon after the beginning only, so that a
    /// clock that is off costs a minute at most.
    fn is_inherited(&self, trace: &Trace, group: &Group) -> bool {
        trace.first < INHERITED && trace.start_ns(group.shadow) < self.began_unix_ns
    }
}

impl Received {
    /// Bytes that it holds, its share of what it has in common with others included, as if it
    /// shared that with nobody.
    pub(crate) fn bytes(&self) -> usize {
        const ARC: usize = 4 * size_of::<usize>();
        let root = self.root.as_ref().map_or(0, |root| {
            size_of::<Root>() + root.method.as_str().len() + 2 * ARC
        });
        size_of::<Received>() + self.span.label.bytes() + ARC + root
    }
}

#[cfg(test)]
mod tests;
