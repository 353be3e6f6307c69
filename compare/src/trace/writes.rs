//! Writes are compared as ordered lists: what one arm writes and the other doesn't, and in which
//! order.

use super::key::Effect;
use super::subtree::Node;

/// Most writes that are aligned; of longer lists only the counts are compared.
const MAX_WRITES: usize = 512;
/// Most writes that a sentence names.
const MAX_NAMED: usize = 8;

/// The keys of all writes in order of start.
pub(super) fn in_order<'a>(nodes: &'a [Node<'_>]) -> Vec<&'a str> {
    let write = |node: &&Node<'_>| {
        node.operation
            .as_ref()
            .is_some_and(|operation| operation.effect == Effect::Write)
    };
    let mut writes: Vec<&Node<'_>> = nodes.iter().filter(write).collect();
    writes.sort_by_key(|node| (node.start_ns, node.span.span_id));
    writes.iter().map(|node| node.key).collect()
}

/// One sentence if the same writes come in another order; missing and extra ones are counted
/// elsewhere.
pub(super) fn order_sentence(legacy: &[&str], candidate: &[&str]) -> Option<String> {
    if legacy == candidate || legacy.len() > MAX_WRITES || candidate.len() > MAX_WRITES {
        return None;
    }
    let common = longest_common(legacy, candidate);
    let shared = {
        let (mut one, mut other) = (legacy.to_vec(), candidate.to_vec());
        one.sort_unstable();
        other.sort_unstable();
        common_of_sorted(&one, &other)
    };
    // In the same order, the common subsequence holds all that both have.
    let moved = shared - common.len();
    let list = |writes: &[&str]| match writes.get(..MAX_NAMED) {
        Some(first) if writes.len() > MAX_NAMED => {
            format!("{}, … ({} in all)", first.join(", "), writes.len())
        }
        _ => writes.join(", "),
    };
    (moved > 0).then(|| {
        format!(
            "writes in another order: the legacy {}; the candidate {}",
            list(legacy),
            list(candidate)
        )
    })
}

/// The longest common subsequence.
fn longest_common<'a>(one: &[&'a str], other: &[&str]) -> Vec<&'a str> {
    let width = other.len() + 1;
    let mut lengths = vec![0u16; (one.len() + 1) * width];
    for i in (0..one.len()).rev() {
        for j in (0..other.len()).rev() {
            let (down, right) = (lengths[(i + 1) * width + j], lengths[i * width + j + 1]);
            lengths[i * width + j] = if one[i] == other[j] {
                lengths[(i + 1) * width + j + 1] + 1
            } else {
                down.max(right)
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut common = Vec::new();
    while i < one.len() && j < other.len() {
        if one[i] == other[j] {
            common.push(one[i]);
            (i, j) = (i + 1, j + 1);
        } else if lengths[(i + 1) * width + j] >= lengths[i * width + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    common
}

fn common_of_sorted(one: &[&str], other: &[&str]) -> usize {
    let (mut i, mut j, mut common) = (0, 0, 0);
    while i < one.len() && j < other.len() {
        match one[i].cmp(other[j]) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => (i, j, common) = (i + 1, j + 1, common + 1),
        }
    }
    common
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_matters_only_for_what_both_write() {
        assert_eq!(order_sentence(&["a", "b"], &["a", "b"]), None);
        assert_eq!(order_sentence(&["a", "b"], &["a"]), None);
        assert_eq!(order_sentence(&["a", "b"], &["a", "x", "b"]), None);
        let sentence = order_sentence(&["a", "b"], &["b", "a"]).unwrap();
        assert_eq!(
            sentence,
            "writes in another order: the legacy a, b; the candidate b, a"
        );
        assert_eq!(
            longest_common(&["a", "b", "c", "d"], &["b", "x", "d"]),
            ["b", "d"]
        );
    }
}
