//! What one arm did: the spans below the proxy's CLIENT span, and the operations among them.

use super::key::Operation;
use super::{Span, SpanKind};

/// Deepest nesting that is looked at; what lies deeper is left out.
const MAX_DEPTH: u32 = 256;

/// The proxy's CLIENT span for one arm, and all spans below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subtree {
    /// The proxy's CLIENT span.
    pub root: Span,
    /// All below it, in any order; what does not hang below the root is left out of account.
    pub spans: Vec<Span>,
}

/// A span in its place in the tree.
#[derive(Clone, Debug)]
pub(super) struct Node<'a> {
    pub(super) span: &'a Span,
    /// Start and end by the clock of the arm's first process, ns: what comes from another process
    /// is moved into the request that it answers where the clocks differ.
    pub(super) start_ns: u64,
    pub(super) end_ns: u64,
    /// Depth below the root, which has 0.
    pub(super) depth: u32,
    /// Indices of the nodes below, in order of start.
    pub(super) children: Vec<usize>,
    /// The operation, if the span is one of this arm's.
    pub(super) operation: Option<&'a Operation>,
    /// The operation's key; empty where there is none.
    pub(super) key: &'a str,
    /// Index of the nearest operation above, or of the root.
    pub(super) above: usize,
}

impl Subtree {
    /// The spans with their depth, the root first with depth 0, parents before children, siblings
    /// in order of start.
    #[must_use]
    pub fn in_order(&self) -> Vec<(u32, &Span)> {
        self.nodes()
            .into_iter()
            .map(|node| (node.depth, node.span))
            .collect()
    }

    /// The tree, root first, parents before children, siblings in order of start.
    pub(super) fn nodes(&self) -> Vec<Node<'_>> {
        let below = self.below();
        let mut nodes: Vec<Node<'_>> = Vec::with_capacity(below.len() + 1);
        // Last in, first out.
        let mut rest = vec![Waiting {
            span: &self.root,
            ours: Ours::Yes,
            depth: 0,
            parent: 0,
            above: 0,
            skew: 0,
        }];
        while let Some(Waiting {
            span,
            ours,
            depth,
            parent,
            above,
            skew,
        }) = rest.pop()
        {
            let index = nodes.len();
            let operation = span.label.operation.as_ref();
            let operation = operation.filter(|_| ours == Ours::Yes && index > 0);
            if index > 0 {
                nodes[parent].children.push(index);
            }
            let start_ns = span.start_ns.saturating_add_signed(skew);
            let end_ns = span.end_ns.saturating_add_signed(skew).max(start_ns);
            nodes.push(Node {
                span,
                start_ns,
                end_ns,
                depth,
                children: Vec::new(),
                operation,
                key: operation.map_or("", |of| of.key.as_str()),
                above,
            });
            if depth >= MAX_DEPTH {
                continue;
            }
            let above = if operation.is_some() { index } else { above };
            for child in children(&below, span.span_id).iter().rev() {
                // Below an operation's SERVER span another service is at work: what it does is
                // its own affair.
                let serves = matches!(child.kind(), SpanKind::Server | SpanKind::Consumer);
                let ours = if serves && above != 0 { Ours::No } else { ours };
                rest.push(Waiting {
                    span: child,
                    ours,
                    depth: depth + 1,
                    parent: index,
                    above,
                    skew: skew_of(child, &nodes[index]).unwrap_or(skew),
                });
            }
        }
        nodes
    }

    /// The spans below the root by parent, then in order of start. A span that was exported twice
    /// counts once.
    fn below(&self) -> Vec<&Span> {
        let root = self.root.span_id;
        let others = self.spans.iter().filter(|span| span.span_id != root);
        let mut below: Vec<&Span> = others.filter(|span| span.parent_id.is_some()).collect();
        below.sort_by_key(|span| span.span_id);
        below.dedup_by_key(|span| span.span_id);
        below.sort_by_key(|span| (span.parent_id, span.start_ns, span.end_ns, span.span_id));
        below
    }
}

/// A span whose place in the tree is known.
struct Waiting<'a> {
    span: &'a Span,
    ours: Ours,
    depth: u32,
    parent: usize,
    above: usize,
    /// What is added to its times, ns.
    skew: i64,
}

/// Whether a span is the arm's own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ours {
    Yes,
    No,
}

fn children<'s, 'a>(below: &'s [&'a Span], parent: [u8; 8]) -> &'s [&'a Span] {
    let from = below.partition_point(|span| span.parent_id < Some(parent));
    let len = below[from..].partition_point(|span| span.parent_id == Some(parent));
    &below[from..from + len]
}

/// What must be added to the times of another process's SERVER span and all below it, so that it
/// lies in the middle of the request that it answers; nothing where it lies within it.
fn skew_of(child: &Span, request: &Node<'_>) -> Option<i64> {
    if child.kind() != SpanKind::Server || request.span.kind() != SpanKind::Client {
        return None;
    }
    let (start, end) = (child.start_ns, child.end_ns.max(child.start_ns));
    if start >= request.start_ns && end <= request.end_ns {
        return Some(0);
    }
    let spare = (request.end_ns - request.start_ns).saturating_sub(end - start);
    let wanted = request.start_ns.saturating_add(spare / 2);
    Some(wanted.wrapping_sub(start).cast_signed())
}
