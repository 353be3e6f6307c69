//! What one arm did: the spans below the proxy's CLIENT span, and the operations among them.

use std::collections::{HashMap, HashSet};

use super::key::{Operation, operation};
use super::{ANSWER_BYTES, Span, SpanKind};

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
    /// Depth below the root, which has 0.
    pub(super) depth: u32,
    /// Index of the node above; the root's is its own.
    pub(super) parent: usize,
    /// Indices of the nodes below, in order of start.
    pub(super) children: Vec<usize>,
    /// The operation, if the span is one of this arm's.
    pub(super) operation: Option<Operation>,
    /// Index of the nearest operation above, or of the root.
    pub(super) above: usize,
}

impl Subtree {
    /// Picks the spans below `root` out of those of a trace.
    #[must_use]
    pub fn collect(root: &Span, all: &[Span]) -> Subtree {
        let everything = Subtree {
            root: root.clone(),
            spans: all.to_vec(),
        };
        let below = everything
            .nodes()
            .iter()
            .skip(1)
            .map(|node| node.span.clone())
            .collect();
        Subtree {
            root: everything.root,
            spans: below,
        }
    }

    /// Bytes of the answer, where the proxy's span says them.
    #[must_use]
    pub fn answer_bytes(&self) -> Option<u64> {
        self.root.attribute(&[ANSWER_BYTES])?.parse().ok()
    }

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
        let mut below: HashMap<[u8; 8], Vec<&Span>> = HashMap::new();
        // A span that was exported twice counts once.
        let mut seen = HashSet::from([self.root.span_id]);
        for span in &self.spans {
            if let Some(parent) = span.parent_id
                && seen.insert(span.span_id)
            {
                below.entry(parent).or_default().push(span);
            }
        }
        for siblings in below.values_mut() {
            siblings.sort_by_key(|span| (span.start_ns, span.end_ns, span.span_id));
        }
        let root = Node {
            span: &self.root,
            depth: 0,
            parent: 0,
            children: vec![],
            operation: None,
            above: 0,
        };
        let mut nodes: Vec<Node<'_>> = Vec::with_capacity(self.spans.len() + 1);
        // (node, whether it belongs to another service), last in first out.
        let mut rest = vec![(root, Ours::Yes)];
        while let Some((node, ours)) = rest.pop() {
            let index = nodes.len();
            let (depth, parent) = (node.depth + 1, index);
            let above = if node.operation.is_some() {
                index
            } else {
                node.above
            };
            if index > 0 {
                nodes[node.parent].children.push(index);
            }
            let siblings = below.remove(&node.span.span_id).unwrap_or_default();
            let inside_operation = above != 0;
            nodes.push(node);
            if depth > MAX_DEPTH {
                continue;
            }
            for span in siblings.into_iter().rev() {
                // Below an operation's SERVER span another service is at work: what it does is
                // its own affair.
                let entered =
                    inside_operation && matches!(span.kind, SpanKind::Server | SpanKind::Consumer);
                let ours = if entered { Ours::No } else { ours };
                let operation = if ours == Ours::Yes {
                    operation(span)
                } else {
                    None
                };
                let children = Vec::new();
                rest.push((
                    Node {
                        span,
                        depth,
                        parent,
                        children,
                        operation,
                        above,
                    },
                    ours,
                ));
            }
        }
        nodes
    }
}

/// Whether a span is the arm's own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ours {
    Yes,
    No,
}
