//! N+1: one database operation again and again in sequence, where the other arm asks once.

use std::collections::HashMap;

use super::subtree::Node;

/// From how many in sequence on it is taken for a loop.
const MIN_RUN: u32 = 3;

/// The longest run of each database operation under one operation (or the root), in order of
/// start. Spans between them that are no operations do not end a run.
pub(super) fn longest<'a>(nodes: &'a [Node<'_>]) -> HashMap<&'a str, u32> {
    let mut by_parent: HashMap<usize, Vec<&Node<'_>>> = HashMap::new();
    for node in nodes.iter().filter(|node| node.operation.is_some()) {
        by_parent.entry(node.above).or_default().push(node);
    }
    let mut longest: HashMap<&str, u32> = HashMap::new();
    for siblings in by_parent.values_mut() {
        siblings.sort_by_key(|node| (node.start_ns, node.span.span_id));
        let mut run = 0;
        let mut last = "";
        for node in siblings {
            let Some(operation) = node.operation else {
                continue;
            };
            run = if node.key == last { run + 1 } else { 1 };
            last = node.key;
            if operation.database {
                let known = longest.entry(last).or_default();
                *known = run.max(*known);
            }
        }
    }
    longest
}

/// Whether one arm loops where the other doesn't.
pub(super) fn loops(mine: u32, theirs: u32) -> bool {
    mine >= MIN_RUN && theirs < MIN_RUN && mine >= theirs * 2
}
