//! Spans in, pairs of subtrees out. One trace may hold several mirrored calls; each is a group: the
//! proxy's CLIENT spans below one SERVER span. Pure: the time is handed in. Memory is bounded in
//! spans and bytes; what is evicted is counted.
//!
//! A group is complete when its primary and shadow roots have ended, both arms' spans are there,
//! no arm's span lacks its parent, and the trace was quiet for a while. Spans come in any order,
//! more than once, in batches of several processes, and not all of them come.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use cutover_compare::trace::{Span, SpanKind};
use cutover_manifest::{Arm, MethodPath, Role};

/// Attribute of the proxy's CLIENT spans, and of the arms' resources.
pub(crate) const ARM: &str = "cutover.arm";
/// Attribute of the proxy's CLIENT spans.
const ROLE: &str = "cutover.role";
/// Groups that were finished a short while ago and are remembered, so that a repeated export is
/// not counted twice.
const MAX_FINISHED: usize = 65_536;

/// The named bounds of pairing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// How long a trace must have been quiet; 2 s.
    pub(crate) quiet: Duration,
    /// How long a trace may wait for what is missing; 30 s.
    pub(crate) longest: Duration,
    /// Most spans held; 200,000.
    pub(crate) max_spans: usize,
    /// Most bytes held, about; 64 MiB.
    pub(crate) max_bytes: usize,
    /// Most spans of one trace; 5,000.
    pub(crate) max_spans_per_trace: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            quiet: Duration::from_secs(2),
            longest: Duration::from_secs(30),
            max_spans: 200_000,
            max_bytes: 64 << 20,
            max_spans_per_trace: 5_000,
        }
    }
}

/// A span, and which arm's process sent it (the proxy's have none).
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) span: Span,
    pub(crate) sender: Option<Arm>,
}

/// The proxy's CLIENT span and all below it.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    pub(crate) root: Span,
    /// Parents before children, in order of start.
    pub(crate) below: Vec<Span>,
}

/// Both arms' part of one mirrored call.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) method: MethodPath,
    pub(crate) primary: Arm,
    pub(crate) legacy: Tree,
    pub(crate) candidate: Tree,
}

/// What became of a group.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// Both arms' parts are there.
    Pair(Box<Pair>),
    /// Given up.
    Incomplete {
        method: MethodPath,
        /// `primary_root`, `legacy_spans`, `candidate_spans`, `both_spans`, `parent_spans`,
        /// `too_many_spans` or `evicted`.
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
}

type TraceId = [u8; 16];
type SpanId = [u8; 8];

#[derive(Debug)]
struct Trace {
    first: Duration,
    last: Duration,
    spans: HashMap<SpanId, Received>,
    bytes: usize,
    overflow: bool,
    /// Nothing came since it was last found incomplete.
    checked: bool,
}

/// What a CLIENT span of the proxy says.
#[derive(Clone, Debug)]
struct Root {
    arm: Arm,
    role: Role,
    method: MethodPath,
}

/// One mirrored call within a trace: ids of its roots.
#[derive(Clone, Debug, Default)]
struct Group {
    primary: Option<SpanId>,
    shadow: Option<SpanId>,
}

/// The spans that wait for their counterparts.
#[derive(Debug)]
pub(crate) struct Pairing {
    bounds: Bounds,
    traces: HashMap<TraceId, Trace>,
    /// By age; a trace that is gone is skipped.
    order: VecDeque<(Duration, TraceId)>,
    finished: VecDeque<(TraceId, SpanId)>,
    finished_set: HashSet<(TraceId, SpanId)>,
    spans: usize,
    bytes: usize,
    dropped: Dropped,
}

impl Pairing {
    /// Nothing yet.
    pub(crate) fn new(bounds: Bounds) -> Pairing {
        Pairing {
            bounds,
            traces: HashMap::new(),
            order: VecDeque::new(),
            finished: VecDeque::new(),
            finished_set: HashSet::new(),
            spans: 0,
            bytes: 0,
            dropped: Dropped::default(),
        }
    }

    /// What was left out so far.
    pub(crate) fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// Takes a span in. Returns groups that had to make room for it.
    pub(crate) fn add(&mut self, received: Received, now: Duration) -> Vec<Outcome> {
        let id = received.span.trace_id;
        let trace = self.traces.entry(id).or_insert_with(|| {
            self.order.push_back((now, id));
            let spans = HashMap::new();
            Trace {
                first: now,
                last: now,
                spans,
                bytes: 0,
                overflow: false,
                checked: false,
            }
        });
        if trace.spans.contains_key(&received.span.span_id) {
            return Vec::new();
        }
        if trace.spans.len() >= self.bounds.max_spans_per_trace {
            trace.overflow = true;
            self.dropped.over_trace_bound += 1;
            return Vec::new();
        }
        let size = size_of_span(&received.span);
        trace.last = now;
        trace.checked = false;
        trace.bytes += size;
        trace.spans.insert(received.span.span_id, received);
        self.spans += 1;
        self.bytes += size;
        let mut outcomes = Vec::new();
        while self.spans > self.bounds.max_spans || self.bytes > self.bounds.max_bytes {
            let Some((first, oldest)) = self.order.pop_front() else {
                break;
            };
            if let Some(trace) = self.take(&oldest, first) {
                self.dropped.evicted += trace.spans.len() as u64;
                outcomes.extend(self.give_up(oldest, &trace, "evicted"));
            }
        }
        outcomes
    }

    /// Finishes what is complete, and gives up what has waited too long.
    pub(crate) fn sweep(&mut self, now: Duration) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        let mut due: Vec<(TraceId, Duration)> = Vec::new();
        for (id, trace) in &mut self.traces {
            let old = now.saturating_sub(trace.first) >= self.bounds.longest;
            let quiet = now.saturating_sub(trace.last) >= self.bounds.quiet;
            if old || (quiet && !trace.checked) {
                trace.checked = true;
                if old || trace.is_complete() {
                    due.push((*id, trace.first));
                }
            }
        }
        for (id, first) in due {
            if let Some(trace) = self.take(&id, first) {
                outcomes.extend(self.finish(id, trace));
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

    fn take(&mut self, id: &TraceId, first: Duration) -> Option<Trace> {
        // The same trace id may have come again after it was finished.
        if self.traces.get(id)?.first != first {
            return None;
        }
        let trace = self.traces.remove(id)?;
        self.spans -= trace.spans.len();
        self.bytes -= trace.bytes;
        Some(trace)
    }

    fn finish(&mut self, id: TraceId, trace: Trace) -> Vec<Outcome> {
        if trace.overflow {
            return self.give_up(id, &trace, "too_many_spans");
        }
        let groups = trace.groups();
        if groups.is_empty() {
            self.dropped.unpaired += trace.spans.len() as u64;
        }
        let children = trace.children();
        let orphans = trace.has_orphans();
        let mut outcomes = Vec::new();
        for group in groups.values() {
            if self.is_new(id, group) {
                outcomes.extend(trace.outcome(group, &children, orphans));
            }
        }
        outcomes
    }

    fn give_up(&mut self, id: TraceId, trace: &Trace, missing: &'static str) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for group in trace.groups().values() {
            let root = group.shadow.and_then(|shadow| trace.root(&shadow));
            if let (true, Some(root)) = (self.is_new(id, group), root) {
                outcomes.push(Outcome::Incomplete {
                    method: root.method,
                    missing,
                });
            }
        }
        outcomes
    }

    /// Whether a group was not finished before; remembers it.
    fn is_new(&mut self, id: TraceId, group: &Group) -> bool {
        let Some(shadow) = group.shadow else {
            return false;
        };
        if !self.finished_set.insert((id, shadow)) {
            return false;
        }
        self.finished.push_back((id, shadow));
        if self.finished.len() > MAX_FINISHED
            && let Some(oldest) = self.finished.pop_front()
        {
            self.finished_set.remove(&oldest);
        }
        true
    }
}

impl Trace {
    fn root(&self, id: &SpanId) -> Option<Root> {
        read_root(&self.spans.get(id)?.span)
    }

    /// The mirrored calls: groups that have a shadow root, by the parent of their roots.
    fn groups(&self) -> BTreeMap<Option<SpanId>, Group> {
        let mut groups: BTreeMap<Option<SpanId>, Group> = BTreeMap::new();
        for (id, received) in &self.spans {
            let Some(root) = read_root(&received.span) else {
                continue;
            };
            let group = groups.entry(received.span.parent_id).or_default();
            let place = match root.role {
                Role::Primary => &mut group.primary,
                Role::Shadow => &mut group.shadow,
                Role::Noise => continue,
            };
            // A copy that was tried again has two spans: the later one got the answer.
            let later = |other: &SpanId| {
                let start = self.spans.get(other).map_or(0, |other| other.span.start_ns);
                (received.span.start_ns, id) > (start, other)
            };
            if place.as_ref().is_none_or(later) {
                *place = Some(*id);
            }
        }
        groups.retain(|_, group| group.shadow.is_some());
        groups
    }

    fn is_complete(&self) -> bool {
        let groups = self.groups();
        if groups.is_empty() || self.overflow || self.has_orphans() {
            return false;
        }
        let parents: BTreeSet<SpanId> = self
            .spans
            .values()
            .filter_map(|received| received.span.parent_id)
            .collect();
        groups.values().all(|group| {
            let has_spans = |root: &Option<SpanId>| root.is_some_and(|id| parents.contains(&id));
            has_spans(&group.primary) && has_spans(&group.shadow)
        })
    }

    /// Whether an arm's span lacks its parent: the rest is still on its way, or lost.
    fn has_orphans(&self) -> bool {
        self.spans
            .values()
            .filter(|received| received.sender.is_some())
            .any(|received| {
                received
                    .span
                    .parent_id
                    .is_some_and(|parent| !self.spans.contains_key(&parent))
            })
    }

    fn children(&self) -> HashMap<SpanId, Vec<&Span>> {
        let mut children: HashMap<SpanId, Vec<&Span>> = HashMap::new();
        for received in self.spans.values() {
            if let Some(parent) = received.span.parent_id {
                children.entry(parent).or_default().push(&received.span);
            }
        }
        for siblings in children.values_mut() {
            siblings.sort_by_key(|span| (span.start_ns, span.span_id));
        }
        children
    }

    fn outcome(
        &self,
        group: &Group,
        children: &HashMap<SpanId, Vec<&Span>>,
        orphans: bool,
    ) -> Option<Outcome> {
        let shadow_id = group.shadow?;
        let shadow = self.root(&shadow_id)?;
        let method = shadow.method.clone();
        let Some(primary_id) = group.primary else {
            return Some(Outcome::Incomplete {
                method,
                missing: "primary_root",
            });
        };
        let primary = self.root(&primary_id)?;
        let tree = |id: SpanId| {
            let root = self.spans.get(&id)?.span.clone();
            Some(Tree {
                below: descend(&root, children),
                root,
            })
        };
        let (primary_tree, shadow_tree) = (tree(primary_id)?, tree(shadow_id)?);
        let (legacy, candidate) = match primary.arm {
            Arm::Legacy => (primary_tree, shadow_tree),
            Arm::Candidate => (shadow_tree, primary_tree),
        };
        let missing = match (legacy.below.is_empty(), candidate.below.is_empty()) {
            (true, true) => Some("both_spans"),
            (true, false) => Some("legacy_spans"),
            (false, true) => Some("candidate_spans"),
            (false, false) => orphans.then_some("parent_spans"),
        };
        Some(match missing {
            Some(missing) => Outcome::Incomplete { method, missing },
            None => {
                let pair = Pair {
                    method,
                    primary: primary.arm,
                    legacy,
                    candidate,
                };
                Outcome::Pair(Box::new(pair))
            }
        })
    }
}

/// The value of an attribute.
fn attribute<'a>(span: &'a Span, key: &str) -> Option<&'a str> {
    span.attributes
        .iter()
        .find(|(name, _)| name == key)
        .map(|(_, value)| value.as_str())
}

fn read_root(span: &Span) -> Option<Root> {
    if span.kind != SpanKind::Client {
        return None;
    }
    let arm = Arm::parse(attribute(span, ARM)?)?;
    let role = Role::parse(attribute(span, ROLE)?)?;
    let name = attribute(span, "rpc.method")?;
    let method = MethodPath::parse(name)
        .or_else(|_| MethodPath::new(attribute(span, "rpc.service").unwrap_or(""), name))
        .ok()?;
    Some(Root { arm, role, method })
}

/// All spans below `root`, parents first. A loop of parents is walked once.
fn descend(root: &Span, children: &HashMap<SpanId, Vec<&Span>>) -> Vec<Span> {
    let below_of = |id: &SpanId| children.get(id).into_iter().flatten().rev().copied();
    let mut seen: HashSet<SpanId> = HashSet::from([root.span_id]);
    let mut waiting: Vec<&Span> = below_of(&root.span_id).collect();
    let mut below = Vec::new();
    while let Some(span) = waiting.pop() {
        if seen.insert(span.span_id) {
            below.push(span.clone());
            waiting.extend(below_of(&span.span_id));
        }
    }
    below
}

fn size_of_span(span: &Span) -> usize {
    let attributes = span
        .attributes
        .iter()
        .map(|(key, value)| key.len() + value.len() + 48);
    size_of::<Received>() + span.name.len() + attributes.sum::<usize>() + 64
}

#[cfg(test)]
mod tests;
