//! Trace pairs as both arms of the gazetteer write them, and what differs in them.

use super::*;

/// Builds a subtree: (id, parent, kind, name, statement, start, end); 0 is the proxy's span.
struct Tree {
    subtree: Subtree,
    next: u8,
}

impl Tree {
    fn new() -> Tree {
        let root = Span {
            label: Arc::new(Label::new(SpanKind::Client, "root", &[])),
            end_ns: 1000,
            ..Span::default()
        };
        let spans = Vec::new();
        Tree {
            subtree: Subtree { root, spans },
            next: 0,
        }
    }

    fn span(&mut self, parent: u8, kind: SpanKind, start_ns: u64, end_ns: u64) -> u8 {
        self.labelled(parent, Label::new(kind, "", &[]), start_ns, end_ns)
    }

    fn labelled(&mut self, parent: u8, label: Label, start_ns: u64, end_ns: u64) -> u8 {
        self.next += 1;
        self.subtree.spans.push(Span {
            span_id: [self.next; 8],
            parent_id: Some([parent; 8]),
            start_ns,
            end_ns,
            label: Arc::new(label),
            ..Span::default()
        });
        self.next
    }

    fn sql(&mut self, parent: u8, at: u64, statement: &str) -> u8 {
        let attributes = [("db.system", "sqlite"), ("db.statement", statement)];
        let label = Label::new(SpanKind::Client, "SELECT", &attributes);
        self.labelled(parent, label, at, at + 10)
    }
}

const PLACE: &str = "SELECT id FROM places WHERE id = ?";
const VISITS: &str = "SELECT count(*) FROM visits WHERE place_id = ?";
const INSERT: &str = "INSERT INTO visits (place_id) VALUES (?)";

/// The statements one after another below a SERVER span.
fn tree(statements: &[&str]) -> Subtree {
    let mut tree = Tree::new();
    let server = tree.span(0, SpanKind::Server, 10, 990);
    for (index, statement) in statements.iter().enumerate() {
        tree.sql(server, 100 + 20 * index as u64, statement);
    }
    tree.subtree
}

#[test]
fn looks_through_internal_spans_and_newer_conventions() {
    let mut other = Tree::new();
    let server = other.span(0, SpanKind::Server, 5, 900);
    let handler = other.span(server, SpanKind::Internal, 6, 890);
    let blocking = other.span(handler, SpanKind::Internal, 7, 800);
    for (parent, at, statement) in [(blocking, 20, PLACE), (handler, 40, VISITS)] {
        let attributes = [("db.system.name", "sqlite"), ("db.query.text", statement)];
        let label = Label::new(SpanKind::Client, "x", &attributes);
        other.labelled(parent, label, at, at + 10);
    }
    let diff = diff_pair(&tree(&[PLACE, VISITS]), &other.subtree);
    assert!(!diff.mismatched(), "{diff:?}");
    assert_eq!(diff.operations.len(), 2);
    assert_eq!(diff.operations[1].key, "db sqlite SELECT places");
    assert_eq!(diff.operations[1].alignment.by_path, 1);
}

#[test]
fn names_a_missing_an_extra_and_a_repeated_operation() {
    let diff = diff_pair(&tree(&[PLACE, VISITS]), &tree(&[PLACE, PLACE, INSERT]));
    assert_eq!(
        diff.sentences,
        [
            "only the candidate calls db sqlite INSERT visits, once",
            "only the legacy calls db sqlite SELECT count visits, once",
            "the legacy calls db sqlite SELECT places once, the candidate 2 times",
        ]
    );
    assert!(
        diff.operations
            .iter()
            .all(|operation| !operation.n_plus_one)
    );
}

#[test]
fn reading_rows_to_count_them_is_named_where_both_arms_export_statements() {
    let rows = tree(&["SELECT id FROM visits WHERE place_id = ?"]);
    let diff = diff_pair(&tree(&[VISITS]), &rows);
    assert_eq!(
        diff.sentences,
        [
            "only the legacy calls db sqlite SELECT count visits, once",
            "only the candidate calls db sqlite SELECT visits, once",
        ]
    );
    let mut untold = rows;
    let attributes = [
        ("db.system.name", "sqlite"),
        ("db.operation.name", "SELECT"),
        ("db.collection.name", "visits"),
    ];
    untold.spans[1].label = Arc::new(Label::new(SpanKind::Client, "x", &attributes));
    assert!(!diff_pair(&tree(&[VISITS]), &untold).mismatched());
    assert!(!diff_pair(&untold, &tree(&[VISITS])).mismatched());
}

#[test]
fn finds_n_plus_one_in_the_candidate_only() {
    let names = "SELECT name FROM names WHERE place_id = ? AND position = ?";
    let (once, often) = (
        tree(&[PLACE, names]),
        tree(&[PLACE, names, names, names, names]),
    );
    let looping = |diff: &TraceDiff| {
        diff.operations
            .iter()
            .filter(|o| o.n_plus_one)
            .map(|o| o.key.clone())
            .collect::<Vec<_>>()
    };
    let diff = diff_pair(&once, &often);
    assert_eq!(looping(&diff), ["db sqlite SELECT names"]);
    assert!(
        diff.sentences
            .iter()
            .any(|s| s.ends_with("4 times in a row: N+1?")),
        "{diff:?}"
    );
    assert!(looping(&diff_pair(&often, &once)).is_empty());
    assert!(looping(&diff_pair(&often, &often)).is_empty());
}

#[test]
fn a_doubled_and_a_missing_write_are_named() {
    let writes = |n: usize| tree(&[&[PLACE][..], &vec![INSERT; n]].concat());
    let sentence = |one: usize, other: usize| diff_pair(&writes(one), &writes(other)).sentences;
    assert_eq!(
        sentence(1, 2),
        ["the legacy calls db sqlite INSERT visits once, the candidate 2 times"]
    );
    assert_eq!(
        sentence(1, 0),
        ["only the legacy calls db sqlite INSERT visits, once"]
    );
    assert!(sentence(1, 1).is_empty());
}

#[test]
fn writes_in_another_order_are_a_difference_and_reads_are_not() {
    let update = "UPDATE places SET population = 1";
    let diff = diff_pair(&tree(&[INSERT, update]), &tree(&[update, INSERT]));
    assert!(diff.mismatched() && diff.sentences[0].starts_with("writes in another order"));
    assert!(!diff_pair(&tree(&[PLACE, VISITS]), &tree(&[VISITS, PLACE])).mismatched());
}

#[test]
fn another_services_own_work_is_not_the_arms() {
    let mut deep = Tree::new();
    let server = deep.span(0, SpanKind::Server, 10, 900);
    let call = deep.span(server, SpanKind::Client, 20, 500);
    let remote = deep.span(call, SpanKind::Server, 30, 490);
    deep.sql(remote, 40, PLACE);
    let diff = diff_pair(&deep.subtree, &deep.subtree);
    let keys: Vec<_> = diff
        .operations
        .iter()
        .map(|operation| operation.key.as_str())
        .collect();
    assert_eq!(keys, ["client"]);
    assert_eq!(diff.operations[0].legacy.self_ns, 480 - 460);
}

#[test]
fn errors_and_times_are_counted() {
    let mut bad = tree(&[PLACE]);
    bad.spans[1].error = true;
    let diff = diff_pair(&tree(&[PLACE]), &bad);
    assert_eq!(
        diff.sentences,
        ["db sqlite SELECT places fails 0 times in the legacy, once in the candidate"]
    );
    let stats = diff.operations[0].candidate;
    assert_eq!(
        (stats.self_ns, stats.critical_ns, stats.concurrency),
        (10, 10, 1)
    );
    let mut evidence = vec![OperationEvidence::default(); 2];
    for _ in 0..20 {
        evidence[0].record(&diff.operations[0]);
        evidence[1].record(&diff_pair(&tree(&[PLACE]), &tree(&[PLACE, PLACE])).operations[0]);
    }
    assert_eq!(evidence[0].candidate_errors, 20);
    assert_eq!(stands_out(&evidence, 0.05), [false, true]);
}

#[test]
fn parallel_children_share_the_critical_path() {
    let mut parallel = Tree::new();
    let server = parallel.span(0, SpanKind::Server, 0, 1000);
    parallel.sql(server, 100, PLACE);
    parallel.sql(server, 100, PLACE);
    for (span, end) in parallel.subtree.spans[1..].iter_mut().zip([300, 600]) {
        span.end_ns = end;
    }
    let stats = diff_pair(&parallel.subtree, &parallel.subtree).operations[0].legacy;
    assert_eq!((stats.count, stats.concurrency), (2, 2));
    assert_eq!((stats.self_ns, stats.critical_ns), (700, 500));
}

#[test]
fn hostile_spans_do_no_harm() {
    let mut hostile = tree(&[PLACE]);
    let mut own_parent = hostile.spans[1].clone();
    own_parent.span_id = [77; 8];
    own_parent.parent_id = Some([77; 8]);
    let mut ends_before = hostile.spans[1].clone();
    (
        ends_before.span_id,
        ends_before.start_ns,
        ends_before.end_ns,
    ) = ([78; 8], u64::MAX, 0);
    let twice = hostile.spans[1].clone();
    hostile.spans.extend([own_parent, ends_before, twice]);
    // A chain far deeper than anything sane.
    for depth in 0..20_000u32 {
        let id = |n: u32| {
            let mut id = [200; 8];
            id[..4].copy_from_slice(&n.to_be_bytes());
            id
        };
        let parent_id = Some(if depth == 0 { [1; 8] } else { id(depth - 1) });
        hostile.spans.push(Span {
            span_id: id(depth),
            parent_id,
            ..Span::default()
        });
    }
    let diff = diff_pair(&tree(&[PLACE]), &hostile);
    assert_eq!(diff.operations[0].candidate.count, 2);
    assert!(hostile.in_order().len() < 300);
    assert_eq!(hostile.in_order()[0].0, 0);
}

/// A tree of a call with a call to another service, both with statements.
fn nested() -> Subtree {
    let mut tree = Tree::new();
    let server = tree.span(0, SpanKind::Server, 10, 900);
    tree.sql(server, 20, PLACE);
    let label = Label::new(SpanKind::Client, "/a.B/C", &[("rpc.system", "grpc")]);
    let call = tree.labelled(server, label, 100, 600);
    let remote = tree.span(call, SpanKind::Server, 150, 550);
    tree.sql(remote, 200, VISITS);
    tree.sql(server, 700, INSERT);
    tree.subtree
}

proptest::proptest! {
    /// Neither the order in which spans came, nor how often, nor how far the clocks of the arm and
    /// of the service behind it are off changes anything that is counted.
    #[test]
    fn order_repetition_and_skewed_clocks_change_nothing(
        picks in proptest::collection::vec(proptest::prelude::any::<proptest::sample::Index>(), 12),
        arm in -5_000i64..5_000,
        remote in -5_000i64..5_000,
    ) {
        let base = 1_000_000_i64;
        let mut skewed = nested();
        for span in &mut skewed.spans {
            let skew = base + if span.span_id[0] == 4 || span.span_id[0] == 5 { remote } else { arm };
            span.start_ns = span.start_ns.saturating_add_signed(skew);
            span.end_ns = span.end_ns.saturating_add_signed(skew);
        }
        skewed.root.start_ns += base as u64;
        skewed.root.end_ns += base as u64;
        for pick in &picks {
            let again = pick.get(&skewed.spans).clone();
            skewed.spans.push(again);
            let last = skewed.spans.len() - 1;
            skewed.spans.swap(pick.index(last), last);
        }
        let (same, other) = (diff_pair(&nested(), &nested()), diff_pair(&nested(), &skewed));
        proptest::prop_assert_eq!(&same, &other);
        proptest::prop_assert!(!other.mismatched());
        let call = other.operations.iter().find(|of| of.key.starts_with("rpc")).unwrap();
        proptest::prop_assert_eq!(call.candidate.self_ns, 100);
        proptest::prop_assert_eq!(call.candidate.critical_ns, 100);
    }
}
