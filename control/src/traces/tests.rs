use std::sync::Arc;

use cutover_compare::trace::{Label, SpanKind, diff_pair};
use cutover_manifest::Arm;

use super::*;

const METHOD: &str = "/a.B/C";

/// A pair of traces: the candidate reads the database so many times, the legacy once.
fn examined(answer_bytes: u32, reads: u8) -> Examined {
    let span = |id: u8, parent: u8, label: Label| Span {
        trace_id: [7; 16],
        span_id: [id; 8],
        parent_id: Some([parent; 8]),
        start_ns: u64::from(id) * 1_000,
        end_ns: u64::from(id) * 1_000 + 500,
        error: false,
        label: Arc::new(label),
    };
    let root = |id| span(id, 1, Label::new(SpanKind::Client, "root", &[]));
    let read = |id, parent, key| {
        let attributes = [
            ("db.system.name", "sqlite"),
            ("db.operation.name", "SELECT"),
            ("db.collection.name", key),
        ];
        span(
            id,
            parent,
            Label::new(SpanKind::Client, "read", &attributes),
        )
    };
    // Others in between, so that no pair alone has a run of them.
    let reads =
        (0..reads).flat_map(|n| [read(40 + 2 * n, 3, "places"), read(41 + 2 * n, 3, "names")]);
    let pair = Box::new(Pair {
        method: MethodPath::parse(METHOD).unwrap(),
        primary: Arm::Legacy,
        legacy: Subtree {
            root: root(2),
            spans: vec![read(20, 2, "places")],
        },
        candidate: Subtree {
            root: root(3),
            spans: reads.collect(),
        },
        answer_bytes: Some(answer_bytes),
    });
    Examined::new(Outcome::Pair(pair), diff_pair)
}

/// Counts 30 pairs of which the candidate's reads grow with the answer: too few by themselves.
fn count_some(traces: &mut Traces) {
    for n in 0..30_u8 {
        let items = n % 2 + 1;
        traces.count(&examined(100 * u32::from(items), items), Duration::ZERO);
    }
}

/// What the store holds once these are saved.
fn saved(traces: &mut Traces, slot: u32) -> Vec<TraceRow> {
    let mut snapshot = Snapshot::default();
    traces.take_unsaved(&mut snapshot);
    let row = |(method, status)| TraceRow {
        slot,
        method,
        status,
    };
    snapshot.traces.into_iter().map(row).collect()
}

fn looks_like_n_plus_one(traces: &Traces) -> bool {
    let status = traces.status(METHOD).unwrap();
    status
        .operations
        .iter()
        .any(|operation| operation.n_plus_one)
}

#[test]
fn calls_that_grow_with_the_answer_are_counted_on_after_a_restart() {
    let mut before = Traces::alone(&[]);
    count_some(&mut before);
    assert!(!looks_like_n_plus_one(&before));
    let rows = saved(&mut before, 0);
    let mut after = Traces::alone(&rows);
    assert!(!looks_like_n_plus_one(&after));
    count_some(&mut after);
    assert!(looks_like_n_plus_one(&after));
}

#[test]
fn calls_that_grow_with_the_answer_add_up_over_control_planes() {
    let mut one = Traces::alone(&[]);
    let mut other = Traces::alone(&[]);
    count_some(&mut one);
    count_some(&mut other);
    assert!(!looks_like_n_plus_one(&one));
    one.take_others(&saved(&mut other, 1), Some(0));
    assert!(looks_like_n_plus_one(&one));
    // Looked at again, the same counts once.
    one.take_others(&[], Some(0));
    assert!(!looks_like_n_plus_one(&one));
}
