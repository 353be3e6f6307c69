//! The spans of one trace, and the mirrored calls among them.

use std::time::Duration;

use cutover_compare::trace::{Span, Subtree};
use cutover_manifest::{Arm, Role};

use super::{Outcome, Pair, Received, Root, SpanId};

/// The spans of a trace that have come so far.
#[derive(Debug)]
pub(super) struct Trace {
    /// When its first and its newest span came.
    pub(super) first: Duration,
    pub(super) last: Duration,
    /// More spans came than are held.
    pub(super) overflow: bool,
    /// Nothing came since it was last found incomplete.
    pub(super) checked: bool,
    spans: Vec<Received>,
    /// Bytes of what the spans share with others.
    shared_bytes: usize,
}

/// One mirrored call within a trace: where its roots are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    pub(super) shadow: usize,
    primary: Option<usize>,
}

/// Where the spans of a trace hang.
pub(super) struct Forest {
    /// (parent, start, span, place), in this order.
    children: Vec<(SpanId, u64, SpanId, usize)>,
    /// Whether an arm's span lacks its parent: the rest is still on its way, or lost.
    orphans: bool,
}

impl Trace {
    /// Without any span.
    pub(super) fn new(now: Duration) -> Trace {
        Trace {
            first: now,
            last: now,
            overflow: false,
            checked: false,
            spans: Vec::new(),
            shared_bytes: 0,
        }
    }

    /// How many spans it has.
    pub(super) fn spans(&self) -> usize {
        self.spans.len()
    }

    /// Bytes that its spans take.
    pub(super) fn bytes(&self) -> usize {
        self.spans.capacity() * size_of::<Received>() + self.shared_bytes
    }

    /// Whether the span is there.
    pub(super) fn holds(&self, id: SpanId) -> bool {
        self.spans
            .iter()
            .any(|received| received.span.span_id == id)
    }

    /// Adds a span that is not there; returns how many bytes more the trace takes.
    pub(super) fn add(&mut self, received: Received, now: Duration) -> usize {
        let before = self.bytes();
        self.last = now;
        self.shared_bytes += received.bytes() - size_of::<Received>();
        if self.spans.len() == self.spans.capacity() {
            // By half, not to double: most of what is held is this.
            self.spans.reserve_exact(4 + self.spans.len() / 2);
        }
        self.spans.push(received);
        self.bytes() - before
    }

    /// The id of the span at a place.
    pub(super) fn id(&self, place: usize) -> SpanId {
        self.spans[place].span.span_id
    }

    /// When the span at a place began by its own clock.
    pub(super) fn start_ns(&self, place: usize) -> u64 {
        self.spans[place].span.start_ns
    }

    /// The mirrored calls: what has a shadow root, by the parent of the roots.
    pub(super) fn groups(&self) -> Vec<Group> {
        let roots = self.spans.iter().enumerate();
        let roots = roots.filter_map(|(place, of)| Some((of.root.as_ref()?.role, place)));
        // A copy that was tried again has two spans: the later one, which got the answer, is last.
        let mut roots: Vec<(Option<SpanId>, u64, SpanId, Role, usize)> = roots
            .map(|(role, place)| {
                let span = &self.spans[place].span;
                (span.parent_id, span.start_ns, span.span_id, role, place)
            })
            .collect();
        roots.sort_unstable_by_key(|root| (root.0, root.1, root.2));
        let calls = roots.chunk_by(|one, other| one.0 == other.0);
        let group = |call: &[(Option<SpanId>, u64, SpanId, Role, usize)]| {
            let of = |role| call.iter().rfind(|root| root.3 == role).map(|root| root.4);
            Some(Group {
                shadow: of(Role::Shadow)?,
                primary: of(Role::Primary),
            })
        };
        calls.filter_map(group).collect()
    }

    /// Whether all that can be expected is there.
    pub(super) fn is_complete(&self) -> bool {
        let groups = self.groups();
        if groups.is_empty() || self.overflow {
            return false;
        }
        let forest = self.forest();
        let has_spans = |root: usize| !forest.below(self.id(root)).is_empty();
        let complete =
            |group: &Group| group.primary.is_some_and(has_spans) && has_spans(group.shadow);
        !forest.orphans && groups.iter().all(complete)
    }

    /// Where the spans hang.
    pub(super) fn forest(&self) -> Forest {
        let mut ids: Vec<SpanId> = self.spans.iter().map(|of| of.span.span_id).collect();
        ids.sort_unstable();
        let is_orphan = |of: &Received| {
            let parent = of.sender.and(of.span.parent_id);
            parent.is_some_and(|parent| ids.binary_search(&parent).is_err())
        };
        let child = |(place, of): (usize, &Received)| {
            let span = &of.span;
            Some((span.parent_id?, span.start_ns, span.span_id, place))
        };
        let mut children: Vec<_> = self.spans.iter().enumerate().filter_map(child).collect();
        children.sort_unstable();
        Forest {
            children,
            orphans: self.spans.iter().any(is_orphan),
        }
    }

    /// A group that is given up.
    pub(super) fn incomplete(&self, group: &Group, missing: &'static str) -> Outcome {
        Outcome::Incomplete {
            method: self.root(group.shadow).method.clone(),
            missing,
        }
    }

    /// What a group has come to.
    pub(super) fn outcome(&self, group: &Group, forest: &Forest) -> Outcome {
        let Some(primary) = group.primary else {
            return self.incomplete(group, "primary_root");
        };
        let tree = |root: usize| Subtree {
            root: self.spans[root].span.clone(),
            spans: self.descend(root, forest),
        };
        let arm = self.root(primary).arm;
        let (of_legacy, of_candidate) = match arm {
            Arm::Legacy => (primary, group.shadow),
            Arm::Candidate => (group.shadow, primary),
        };
        let (legacy, candidate) = (tree(of_legacy), tree(of_candidate));
        let answer_bytes = |place: usize| self.spans[place].answer_bytes;
        let missing = match (legacy.spans.is_empty(), candidate.spans.is_empty()) {
            (true, true) => Some("both_spans"),
            (true, false) => Some("legacy_spans"),
            (false, true) => Some("candidate_spans"),
            (false, false) => forest.orphans.then_some("parent_spans"),
        };
        if let Some(missing) = missing {
            return self.incomplete(group, missing);
        }
        Outcome::Pair(Box::new(Pair {
            method: self.root(group.shadow).method.clone(),
            primary: arm,
            legacy,
            candidate,
            answer_bytes: answer_bytes(of_legacy).or(answer_bytes(of_candidate)),
        }))
    }

    fn root(&self, place: usize) -> &Root {
        let root = self.spans[place].root.as_ref();
        root.expect("groups are made of roots only")
    }

    /// All spans below a root, parents first, siblings in order of start. Each has one parent, so
    /// none comes twice; a loop of parents never hangs below the root, unless the root is in it.
    fn descend(&self, root: usize, forest: &Forest) -> Vec<Span> {
        let mut below = Vec::new();
        let places = |id: SpanId| forest.below(id).iter().map(|child| child.3).rev();
        let mut waiting: Vec<usize> = places(self.id(root)).collect();
        while let Some(place) = waiting.pop() {
            if place != root {
                below.push(self.spans[place].span.clone());
                waiting.extend(places(self.id(place)));
            }
        }
        below
    }
}

impl Forest {
    /// The children of a span, in order of start.
    fn below(&self, id: SpanId) -> &[(SpanId, u64, SpanId, usize)] {
        let from = self.children.partition_point(|child| child.0 < id);
        let len = self.children[from..].partition_point(|child| child.0 == id);
        &self.children[from..from + len]
    }
}
