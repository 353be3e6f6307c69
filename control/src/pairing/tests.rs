use cutover_compare::trace::{Label, SpanKind};
use proptest::prelude::*;

use super::*;

const TRACE: TraceId = [7; 16];
const SERVER: SpanId = [1; 8];

fn at(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn bounds() -> Bounds {
    Bounds::from(&cutover_manifest::Tracing::default())
}

fn pairing(bounds: Bounds) -> Pairing {
    Pairing::new(bounds, 0)
}

fn span(id: u8, parent: Option<SpanId>, kind: SpanKind) -> Span {
    Span {
        trace_id: TRACE,
        span_id: [id; 8],
        parent_id: parent,
        start_ns: u64::from(id) * 1_000,
        end_ns: u64::from(id) * 1_000 + 500,
        error: false,
        label: Arc::new(Label::new(kind, &format!("span {id}"), &[])),
    }
}

fn root(id: u8, server: SpanId, arm: Arm, role: Role) -> Received {
    Received {
        span: span(id, Some(server), SpanKind::Client),
        sender: None,
        root: Some(Arc::new(Root {
            arm,
            role,
            method: MethodPath::parse("/a.B/C").unwrap(),
        })),
        answer_bytes: None,
    }
}

fn inner(id: u8, parent: u8, arm: Arm) -> Received {
    Received {
        span: span(id, Some([parent; 8]), SpanKind::Server),
        sender: Some(arm),
        root: None,
        answer_bytes: None,
    }
}

/// A mirrored call: two roots, a server span below each, a database span below that.
fn call() -> Vec<Received> {
    vec![
        Received {
            span: span(1, None, SpanKind::Server),
            sender: None,
            root: None,
            answer_bytes: None,
        },
        root(2, SERVER, Arm::Legacy, Role::Primary),
        root(3, SERVER, Arm::Candidate, Role::Shadow),
        inner(20, 2, Arm::Legacy),
        inner(21, 20, Arm::Legacy),
        inner(30, 3, Arm::Candidate),
        inner(31, 30, Arm::Candidate),
    ]
}

fn pairs(outcomes: &[Outcome]) -> Vec<&Pair> {
    fn pair(outcome: &Outcome) -> Option<&Pair> {
        match outcome {
            Outcome::Pair(pair) => Some(&**pair),
            Outcome::Incomplete { .. } => None,
        }
    }
    outcomes.iter().filter_map(pair).collect()
}

fn missing(outcomes: &[Outcome]) -> Vec<&'static str> {
    let what = |outcome: &Outcome| match outcome {
        Outcome::Incomplete { missing, .. } => Some(*missing),
        Outcome::Pair(_) => None,
    };
    outcomes.iter().filter_map(what).collect()
}

fn fill(spans: impl IntoIterator<Item = Received>) -> Pairing {
    let mut pairing = super::tests::pairing(bounds());
    for span in spans {
        assert!(pairing.add(span, at(0.0)).is_empty());
    }
    pairing
}

fn without(ids: &[u8]) -> Vec<Received> {
    let mut spans = call();
    spans.retain(|received| !ids.contains(&received.span.span_id[0]));
    spans
}

#[test]
fn pairs_both_arms_after_two_quiet_seconds_in_any_order_and_once() {
    for turn in 0..call().len() {
        let mut spans = call();
        spans.rotate_left(turn);
        let repeated: Vec<Received> = spans.iter().chain(&spans).cloned().collect();
        let mut pairing = fill(repeated.clone());
        assert!(pairing.sweep(at(1.9)).is_empty());
        let outcomes = pairing.sweep(at(2.0));
        let [pair] = pairs(&outcomes)[..] else {
            panic!("{outcomes:?}")
        };
        assert_eq!(
            (pair.method.as_str(), pair.primary),
            ("/a.B/C", Arm::Legacy)
        );
        let ids = |tree: &Subtree| tree.spans.iter().map(|s| s.span_id[0]).collect::<Vec<_>>();
        assert_eq!(
            (ids(&pair.legacy), ids(&pair.candidate)),
            (vec![20, 21], vec![30, 31])
        );
        for span in repeated {
            pairing.add(span, at(3.0));
        }
        assert!(
            pairing.sweep(at(60.0)).is_empty(),
            "an export that comes again counts once"
        );
        assert_eq!((pairing.held(), pairing.traces.len()), ((0, 0), 0));
    }
}

#[test]
fn the_legacys_answer_says_its_length_else_the_candidates() {
    let check = |of: [Option<u32>; 2], expected| {
        let mut spans = call();
        (spans[1].answer_bytes, spans[2].answer_bytes) = (of[0], of[1]);
        let outcomes = fill(spans).sweep(at(2.0));
        assert_eq!(pairs(&outcomes)[0].answer_bytes, expected);
    };
    check([Some(7), Some(9)], Some(7));
    check([None, Some(9)], Some(9));
    check([None, None], None);
}

#[test]
fn a_new_span_makes_it_wait_again() {
    let mut pairing = fill(without(&[31]));
    pairing.add(inner(31, 30, Arm::Candidate), at(1.5));
    assert!(pairing.sweep(at(2.5)).is_empty());
    assert_eq!(pairs(&pairing.sweep(at(3.5))).len(), 1);
}

#[test]
fn waits_for_what_is_missing_and_then_says_what_it_was() {
    let check = |absent: &[u8], expected: &str| {
        let mut pairing = fill(without(absent));
        assert!(pairing.sweep(at(29.9)).is_empty(), "{expected}");
        assert_eq!(missing(&pairing.sweep(at(30.0))), [expected]);
        assert!(pairing.traces.is_empty());
    };
    check(&[2], "primary_root");
    check(&[20, 21], "legacy_spans");
    check(&[30, 31], "candidate_spans");
    check(&[20, 21, 30, 31], "both_spans");
    check(&[20], "legacy_spans");
    check(&[30], "candidate_spans");
}

#[test]
fn a_trace_without_a_shadow_call_is_dropped_and_not_counted() {
    let mut pairing = fill(without(&[3]));
    assert!(pairing.sweep(at(31.0)).is_empty());
    assert_eq!(pairing.dropped().unpaired, 6);
    assert!(pairing.traces.is_empty());
}

#[test]
fn two_calls_in_one_trace_are_two_pairs() {
    let second = [
        root(102, [101; 8], Arm::Candidate, Role::Primary),
        root(103, [101; 8], Arm::Legacy, Role::Shadow),
        root(104, [101; 8], Arm::Candidate, Role::Noise),
        inner(120, 102, Arm::Candidate),
        inner(130, 103, Arm::Legacy),
        inner(140, 104, Arm::Candidate),
    ];
    let mut pairing = fill(call().into_iter().chain(second));
    let outcomes = pairing.sweep(at(2.0));
    let mut primaries: Vec<Arm> = pairs(&outcomes).iter().map(|pair| pair.primary).collect();
    primaries.sort();
    assert_eq!(primaries, Arm::BOTH);
}

#[test]
fn memory_is_bounded_and_what_is_evicted_is_counted() {
    let bounds = Bounds {
        max_spans: 10,
        ..bounds()
    };
    let mut pairing = super::tests::pairing(bounds);
    for mut received in call() {
        pairing.add(received.clone(), at(0.0));
        received.span.trace_id = [8; 16];
        let outcomes = pairing.add(received, at(0.0));
        assert!(pairing.spans <= 10);
        if !outcomes.is_empty() {
            assert_eq!(missing(&outcomes), ["evicted"]);
        }
    }
    assert!(pairing.dropped().evicted > 0);
}

#[test]
fn a_trace_of_too_many_spans_is_given_up() {
    let mut pairing = super::tests::pairing(Bounds {
        max_spans_per_trace: 5,
        ..bounds()
    });
    for received in call() {
        pairing.add(received, at(0.0));
    }
    assert_eq!(pairing.dropped().over_trace_bound, 2);
    assert_eq!(missing(&pairing.sweep(at(30.0))), ["too_many_spans"]);
}

#[test]
fn a_loop_of_parents_ends() {
    let mut spans = call();
    spans.push(inner(40, 41, Arm::Candidate));
    spans.push(inner(41, 40, Arm::Candidate));
    spans.push(inner(3, 3, Arm::Candidate));
    let mut pairing = fill(spans);
    assert_eq!(pairs(&pairing.sweep(at(2.0))).len(), 1);
}

#[test]
fn what_comes_after_its_call_was_finished_is_late_and_never_a_call_of_its_own() {
    let mut pairing = fill(call());
    assert_eq!(pairs(&pairing.sweep(at(2.0))).len(), 1);
    for late in [inner(22, 20, Arm::Legacy), inner(31, 30, Arm::Candidate)] {
        assert!(pairing.add(late, at(5.0)).is_empty());
    }
    for seconds in [7.0, 20.0, 35.0] {
        assert!(pairing.sweep(at(seconds)).is_empty());
    }
    let dropped = pairing.dropped();
    assert_eq!(
        (dropped.late, dropped.unpaired, dropped.repeated),
        (2, 0, 0)
    );
    // All of it again, roots too: an export that was tried again after an answer got lost.
    for received in call() {
        pairing.add(received, at(40.0));
    }
    assert!(pairing.sweep(at(42.0)).is_empty());
    assert_eq!(pairing.dropped().late, 2 + 7);
    assert_eq!(pairing.held(), (0, 0));
}

#[test]
fn a_call_that_began_before_pairing_did_is_not_compared_for_a_minute() {
    // The call's spans begin at 2,000 ns and later.
    let check = |began_unix_ns, came: f64, expected: Option<&str>| {
        let mut pairing = Pairing::new(bounds(), began_unix_ns);
        for received in call() {
            pairing.add(received, at(came));
        }
        let outcomes = pairing.sweep(at(came + 2.0));
        assert_eq!(missing(&outcomes).first().copied(), expected);
        assert_eq!(outcomes.len(), 1);
    };
    check(1_000, 0.5, None);
    check(1_000_000, 0.5, Some("before_start"));
    check(1_000_000, 59.0, Some("before_start"));
    // The proxy's clock is off: that costs a minute, not its evidence for good.
    check(1_000_000, 61.0, None);
}

/// The outcome, as far as it decides anything: what is missing, or each arm's spans.
fn verdict(outcomes: &[Outcome]) -> Vec<String> {
    let ids = |tree: &Subtree| {
        let ids = tree
            .spans
            .iter()
            .map(|span| (span.span_id[0], span.parent_id.unwrap()[0]));
        let mut ids: Vec<_> = ids.collect();
        ids.sort_unstable();
        format!("{} {ids:?}", tree.root.span_id[0])
    };
    let of = |outcome: &Outcome| match outcome {
        Outcome::Incomplete { missing, .. } => (*missing).to_owned(),
        Outcome::Pair(pair) => format!("{} / {}", ids(&pair.legacy), ids(&pair.candidate)),
    };
    outcomes.iter().map(of).collect()
}

/// Some spans of a call, and which of them (by place) come in which order, each at least once.
fn arrivals() -> impl Strategy<Value = (Vec<usize>, Vec<usize>)> {
    proptest::sample::subsequence((0..7_usize).collect::<Vec<_>>(), 1..=7).prop_flat_map(|kept| {
        let again = proptest::collection::vec(proptest::sample::select(kept.clone()), 0..8);
        let all = again.prop_map({
            let kept = kept.clone();
            move |again| [kept.clone(), again].concat()
        });
        (Just(kept), all.prop_shuffle())
    })
}

proptest! {
    /// The verdict depends on which spans came, and on nothing else: not on their order, on how
    /// often they came, nor on the clocks of the processes.
    #[test]
    fn order_repetition_and_clocks_never_change_the_outcome(
        (kept, all) in arrivals(),
        skew in proptest::array::uniform3(0..3_600_000_000_000_u64),
    ) {
        let straight = {
            let mut pairing = fill(kept.iter().map(|place| call().swap_remove(*place)));
            let mut outcomes = pairing.sweep(at(2.0));
            outcomes.extend(pairing.sweep(at(30.0)));
            verdict(&outcomes)
        };
        let mut pairing = super::tests::pairing(bounds());
        let mut outcomes = Vec::new();
        for place in &all {
            let mut received = call().swap_remove(*place);
            let skew = match received.sender {
                None => skew[0],
                Some(Arm::Legacy) => skew[1],
                Some(Arm::Candidate) => skew[2],
            };
            received.span.start_ns += skew;
            received.span.end_ns += skew;
            outcomes.extend(pairing.add(received, at(0.0)));
        }
        outcomes.extend(pairing.sweep(at(2.0)));
        outcomes.extend(pairing.sweep(at(30.0)));
        prop_assert_eq!(verdict(&outcomes), straight);
        prop_assert_eq!(pairing.dropped().repeated as usize, all.len() - kept.len());
        prop_assert_eq!(pairing.held(), (0, 0));
    }

    /// Lost spans make a call incomplete, never a difference: all but the loss of what hangs at the
    /// very end of a tree, of which nothing can be known.
    #[test]
    fn lost_spans_are_missed((kept, _) in arrivals()) {
        let mut pairing = fill(kept.iter().map(|place| call().swap_remove(*place)));
        let mut outcomes = pairing.sweep(at(2.0));
        outcomes.extend(pairing.sweep(at(30.0)));
        let has = |place| kept.contains(&place);
        let arm = |server, leaf| match (has(server), has(leaf)) {
            (true, _) => "there",
            (false, true) => "orphaned",
            (false, false) => "absent",
        };
        let expected = match (has(2), has(1), arm(3, 4), arm(5, 6)) {
            (false, ..) => None,
            (true, false, ..) => Some("primary_root"),
            (true, true, "there", "there") => Some("a pair"),
            (true, true, "there", _) => Some("candidate_spans"),
            (true, true, _, "there") => Some("legacy_spans"),
            (true, true, ..) => Some("both_spans"),
        };
        let found = outcomes.first().map(|outcome| match outcome {
            Outcome::Incomplete { missing, .. } => *missing,
            Outcome::Pair(_) => "a pair",
        });
        prop_assert_eq!(found, expected);
    }

    /// Whatever comes, in whatever order, how often and how late: at most one outcome for one call,
    /// every span is accounted for, and nothing is left behind.
    #[test]
    fn any_order_loss_and_repetition_gives_one_outcome_and_leaves_nothing(
        arrivals in proptest::collection::vec((0..7usize, 0u64..3_000), 0..40),
    ) {
        let mut pairing = super::tests::pairing(bounds());
        let mut now = at(0.0);
        let mut outcomes = Vec::new();
        for (index, pause_ms) in &arrivals {
            now += Duration::from_millis(*pause_ms);
            outcomes.extend(pairing.sweep(now));
            outcomes.extend(pairing.add(call().swap_remove(*index), now));
        }
        outcomes.extend(pairing.sweep(now + at(60.0)));
        let has_shadow_root = arrivals.iter().any(|(index, _)| *index == 2);
        prop_assert_eq!(outcomes.len(), usize::from(has_shadow_root));
        prop_assert_eq!((pairing.held(), pairing.traces.len()), ((0, 0), 0));
        prop_assert!(pairing.due.iter().all(|entry| !pairing.traces.contains_key(&entry.0.1)));
    }

    /// The bounds hold at every moment, and what is dropped for them is counted.
    #[test]
    fn bounds_hold_at_every_moment(
        spans in proptest::collection::vec((0..20u8, 0..30u8, 0..200_usize), 1..200),
        max_spans in 1..40_usize,
        room in 0..20_000_usize,
    ) {
        let bounds = Bounds { max_spans, max_bytes: finished::MAX_BYTES + room, ..bounds() };
        let mut pairing = super::tests::pairing(bounds);
        for (trace, id, name) in &spans {
            let mut received = inner(*id + 1, 1, Arm::Legacy);
            received.span.trace_id = [*trace + 1; 16];
            let label = Label::new(SpanKind::Server, &"n".repeat(*name), &[]);
            received.span.label = Arc::new(label);
            pairing.add(received, at(0.0));
            let (held, bytes) = pairing.held();
            prop_assert!(held <= max_spans && bytes <= room, "{held} {bytes}");
        }
        let dropped = pairing.dropped();
        let known = dropped.evicted + dropped.repeated + pairing.held().0 as u64;
        prop_assert_eq!(known, spans.len() as u64);
    }
}
