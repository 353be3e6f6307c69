use super::*;

const TRACE: TraceId = [7; 16];
const SERVER: SpanId = [1; 8];

fn at(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn span(id: u8, parent: Option<SpanId>, kind: SpanKind, attributes: &[(&str, &str)]) -> Span {
    Span {
        trace_id: TRACE,
        span_id: [id; 8],
        parent_id: parent,
        name: format!("span {id}"),
        kind,
        start_ns: u64::from(id) * 1_000,
        end_ns: u64::from(id) * 1_000 + 500,
        error: false,
        attributes: attributes
            .iter()
            .map(|(k, v)| ((*k).into(), (*v).into()))
            .collect(),
    }
}

fn root(id: u8, server: SpanId, arm: &str, role: &str) -> Received {
    let attributes = [(ARM, arm), (ROLE, role), ("rpc.method", "a.B/C")];
    Received {
        span: span(id, Some(server), SpanKind::Client, &attributes),
        sender: None,
    }
}

fn inner(id: u8, parent: u8, arm: Arm) -> Received {
    Received {
        span: span(id, Some([parent; 8]), SpanKind::Server, &[]),
        sender: Some(arm),
    }
}

/// A mirrored call: two roots, a server span below each, a database span below that.
fn call() -> Vec<Received> {
    vec![
        Received {
            span: span(1, None, SpanKind::Server, &[]),
            sender: None,
        },
        root(2, SERVER, "legacy", "primary"),
        root(3, SERVER, "candidate", "shadow"),
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
    let mut pairing = Pairing::new(Bounds::default());
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
        let ids = |tree: &Tree| tree.below.iter().map(|s| s.span_id[0]).collect::<Vec<_>>();
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
        assert_eq!(
            (pairing.spans, pairing.bytes, pairing.traces.len()),
            (0, 0, 0)
        );
    }
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
        root(102, [101; 8], "candidate", "primary"),
        root(103, [101; 8], "legacy", "shadow"),
        root(104, [101; 8], "candidate", "noise"),
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
        ..Bounds::default()
    };
    let mut pairing = Pairing::new(bounds);
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
    let mut pairing = Pairing::new(Bounds {
        max_spans_per_trace: 5,
        ..Bounds::default()
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

proptest::proptest! {
    /// Whatever comes, in whatever order, how often and how late: at most one outcome for one call,
    /// and nothing is left behind.
    #[test]
    fn any_order_loss_and_repetition_gives_one_outcome_and_leaves_nothing(
        arrivals in proptest::collection::vec((0..7usize, 0u64..3_000), 0..40),
    ) {
        let mut pairing = Pairing::new(Bounds::default());
        let mut now = at(0.0);
        let mut outcomes = Vec::new();
        for (index, pause_ms) in &arrivals {
            now += Duration::from_millis(*pause_ms);
            outcomes.extend(pairing.sweep(now));
            outcomes.extend(pairing.add(call().swap_remove(*index), now));
        }
        outcomes.extend(pairing.sweep(now + at(60.0)));
        let has_shadow_root = arrivals.iter().any(|(index, _)| *index == 2);
        proptest::prop_assert_eq!(outcomes.len(), usize::from(has_shadow_root));
        proptest::prop_assert_eq!((pairing.spans, pairing.bytes, pairing.traces.len()), (0, 0, 0));
    }
}
