//! Time of the spans of one subtree: self time, time on the critical path, concurrency.

use super::subtree::Node;

/// Self time of a node, ns: its duration minus what its children cover of it.
pub(super) fn self_ns(nodes: &[Node<'_>], index: usize) -> u64 {
    let (start, end) = (nodes[index].start_ns, nodes[index].end_ns);
    let clip = |child: &usize| {
        let child = &nodes[*child];
        (
            child.start_ns.clamp(start, end),
            child.end_ns.clamp(start, end),
        )
    };
    let mut covered = 0;
    let mut reached = start;
    // Children are in order of start.
    for (from, to) in nodes[index].children.iter().map(clip) {
        let from = from.max(reached);
        if to > from {
            covered += to - from;
            reached = to;
        }
    }
    (end - start).saturating_sub(covered)
}

/// Time that each node spends on the critical path, ns: going back from the root's end, always
/// through the child that ended last.
pub(super) fn critical_ns(nodes: &[Node<'_>]) -> Vec<u64> {
    let mut times = vec![0; nodes.len()];
    let Some(root) = nodes.first() else {
        return times;
    };
    // (node, from, until): the part of the path that this node answers for.
    let mut rest = vec![(0, root.start_ns, root.end_ns)];
    while let Some((index, from, until)) = rest.pop() {
        let mut children: Vec<usize> = nodes[index].children.clone();
        children.sort_by_key(|child| std::cmp::Reverse(nodes[*child].end_ns));
        let mut now = until;
        for child in children {
            let span = &nodes[child];
            let (start, end) = (span.start_ns.max(from), span.end_ns.min(until));
            // A child that ran beside one that ended later is not on the path.
            if end > now || start >= end {
                continue;
            }
            times[index] += now - end;
            rest.push((child, start, end));
            now = start;
        }
        times[index] += now.saturating_sub(from);
    }
    times
}

/// The most of these nodes that ran at the same time.
pub(super) fn concurrency(nodes: &[Node<'_>], indices: &[usize]) -> u32 {
    let mut events: Vec<(u64, i32)> = Vec::with_capacity(indices.len() * 2);
    for index in indices {
        let span = &nodes[*index];
        events.push((span.start_ns, 1));
        // A span of no duration still ran.
        events.push((span.end_ns.max(span.start_ns.saturating_add(1)), -1));
    }
    events.sort_unstable();
    let (mut now, mut most) = (0, 0);
    for (_, change) in events {
        now += change;
        most = most.max(now);
    }
    most.unsigned_abs()
}
