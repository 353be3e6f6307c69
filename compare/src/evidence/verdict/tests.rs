//! How verdicts come about: what advances, what waits for how long, and what rolls back. One file,
//! because every case is the same evidence with one thing changed.

use std::time::Duration;

use cutover_manifest::{Arm, Gates, LeakGate, Role, TracesGate, Weight};

use super::{judge as judge_at, *};
use crate::evidence::{MemoryCell, OperationCell, SpellCount};

/// Gates as a demonstration has them: reachable in a few hundred calls.
const GATES: Gates = Gates {
    min_calls: 200,
    error_rate_margin: 0.05,
    mismatch_below: 0.01,
    p99_ratio: None,
    p99_tolerance: 0.5,
    traces: TracesGate::Rollback,
    leak: LeakGate::Hold,
    memory_ratio: None,
    confidence: 0.95,
};

fn judge(gates: &Gates, at: Weight, group: &[&MethodEvidence]) -> Verdict {
    let mut evidence = MethodEvidence::default();
    for method in group {
        evidence.merge(method);
        evidence.memory = method.memory;
    }
    judge_at(gates, at, Levels::of(gates), &evidence)
}

fn weight(percent: f64) -> Weight {
    Weight::from_percent(percent).unwrap()
}

fn pairs(compared: u64) -> MethodEvidence {
    let mut evidence = MethodEvidence::default();
    evidence.pairs.compared = compared;
    evidence
}

/// Primary calls at a weight, with failures: (calls, failures) of the legacy and the candidate.
fn route(evidence: &mut MethodEvidence, at: Weight, legacy: (u64, u64), candidate: (u64, u64)) {
    for (arm, (calls, failures)) in Arm::BOTH.into_iter().zip([legacy, candidate]) {
        let cell = evidence.cell(at, arm, Role::Primary);
        cell.calls += calls;
        cell.failures += failures;
    }
}

fn gate<'a>(verdict: &'a Verdict, name: &str) -> &'a GateAnswer {
    verdict.gates.iter().find(|gate| gate.name == name).unwrap()
}

#[test]
fn without_data_every_verdict_is_to_wait() {
    for at in [0.0, 0.01, 10.0, 50.0, 99.99, 100.0] {
        let verdict = judge(&GATES, weight(at), &[]);
        assert_eq!(verdict.kind, VerdictKind::Wait, "{at}: {verdict:?}");
        let verdict = judge(
            &Gates {
                min_calls: 0,
                ..GATES
            },
            weight(at),
            &[&pairs(0)],
        );
        assert_eq!(verdict.kind, VerdictKind::Wait, "{at}: {verdict:?}");
    }
}

#[test]
fn how_many_clean_pairs_until_the_first_step() {
    // min_calls, error margin, mismatch bound → pairs.
    let table = [
        (200, 0.05, 0.01, 334),
        (200, 0.05, 0.05, 200),
        (50, 0.05, 0.05, 66),
        (500, 0.001, 0.001, 3_351),
        (500, 0.001, 0.0001, 33_514),
        (1_000, 0.05, 0.01, 1_000),
    ];
    for (min_calls, error_rate_margin, mismatch_below, expected) in table {
        let gates = Gates {
            min_calls,
            error_rate_margin,
            mismatch_below,
            ..GATES
        };
        let advances =
            |n: u64| judge(&gates, Weight::ZERO, &[&pairs(n)]).kind == VerdictKind::Advance;
        let needed = super::super::gates::least(advances).unwrap();
        let near = (needed as f64 / f64::from(expected) - 1.0).abs() < 0.01;
        assert!(near, "{gates:?}: {needed}, not about {expected}");
    }
}

#[test]
fn how_many_clean_calls_until_the_next_step_where_all_are_mirrored() {
    // Weight → calls; each call is a pair, and the candidate is its primary or its shadow. What
    // holds a small weight up is that ten clients' calls must have been answered by the candidate.
    for (percent, expected) in [
        (1.0, 1000),
        (5.0, 334),
        (10.0, 334),
        (50.0, 334),
        (100.0, 334),
    ] {
        let at = weight(percent);
        let advances = |n: u64| {
            let mut evidence = pairs(n);
            let candidate = n * u64::from(at.bp()) / 10_000;
            route(&mut evidence, at, (n - candidate, 0), (candidate, 0));
            evidence.cell(at, Arm::Candidate, Role::Shadow).calls = n - candidate;
            evidence.cell(at, Arm::Legacy, Role::Shadow).calls = candidate;
            judge(&GATES, at, &[&evidence]).kind == VerdictKind::Advance
        };
        let needed = super::super::gates::least(advances).unwrap();
        assert_eq!(needed, expected, "{percent} %");
    }
}

#[test]
fn says_how_many_more_calls_it_waits_for() {
    let verdict = judge(&GATES, Weight::ZERO, &[&pairs(100)]);
    assert_eq!(verdict.kind, VerdictKind::Wait);
    assert_eq!(gate(&verdict, "min_calls").more_calls, Some(100));
    let mismatch = gate(&verdict, "mismatch");
    let more = mismatch.more_calls.unwrap();
    assert!((230..240).contains(&more), "{more}");
    let verdict = judge(&GATES, Weight::ZERO, &[&pairs(100 + more)]);
    assert_eq!(verdict.kind, VerdictKind::Advance, "{verdict:?}");
    let reason = &gate(&verdict, "mismatch").reason;
    assert_eq!(reason, "0 of 334 pairs differ; 334 rule out 1 % at 95 %");
}

#[test]
fn counts_calls_and_not_only_those_that_are_mirrored() {
    // One call in ten is mirrored.
    let mut evidence = pairs(100);
    route(&mut evidence, Weight::ZERO, (1_000, 0), (0, 0));
    let verdict = judge(&GATES, Weight::ZERO, &[&evidence]);
    assert_eq!(gate(&verdict, "min_calls").more_calls, Some(1_000));
    assert_eq!(gate(&verdict, "mismatch").more_calls, Some(2_340));
    // Nothing is mirrored, and one call in a hundred is the candidate's.
    let verdict = judge(&GATES, weight(1.0), &[&MethodEvidence::default()]);
    assert_eq!(gate(&verdict, "min_calls").more_calls, Some(20_000));
}

#[test]
fn a_mismatch_delays_and_many_roll_back() {
    let mut evidence = pairs(412);
    evidence.pairs.mismatched = 1;
    let verdict = judge(&GATES, Weight::ZERO, &[&evidence]);
    assert_eq!(gate(&verdict, "mismatch").verdict, VerdictKind::Wait);
    assert!(
        gate(&verdict, "mismatch")
            .more_calls
            .is_some_and(|more| more > 0),
        "{verdict:?}"
    );
    evidence.pairs.mismatched = 25;
    let verdict = judge(&GATES, Weight::ZERO, &[&evidence]);
    assert_eq!(verdict.kind, VerdictKind::Rollback);
    assert_eq!(verdict.gates[0].name, "mismatch");
    assert_eq!(
        verdict.gates[0].reason,
        "25 of 412 pairs differ: more than 1 %"
    );
}

#[test]
fn a_rate_too_close_to_the_bound_is_told_from_one_above_it() {
    let more = |mismatched: u64| {
        let mut evidence = pairs(120);
        evidence.pairs.mismatched = mismatched;
        gate(&judge(&GATES, Weight::ZERO, &[&evidence]), "mismatch").more_calls
    };
    assert!(
        more(1).is_some_and(|more| (400..600).contains(&more)),
        "{:?}",
        more(1)
    );
    assert_eq!(more(3), None);
}

#[test]
fn failures_of_the_candidate_alone_roll_back_and_of_both_do_not() {
    let mut evidence = pairs(500);
    evidence.pairs.only_candidate_failed = 10;
    let verdict = judge(&GATES, weight(10.0), &[&evidence]);
    assert_eq!(verdict.gates[0].name, "paired_errors");
    assert_eq!(verdict.kind, VerdictKind::Rollback);
    evidence.pairs.only_legacy_failed = 9;
    let verdict = judge(&GATES, weight(10.0), &[&evidence]);
    assert_eq!(
        gate(&verdict, "paired_errors").verdict,
        VerdictKind::Advance
    );
}

#[test]
fn routed_calls_alone_can_prove_the_error_rate() {
    let at = weight(50.0);
    let mut evidence = pairs(400);
    route(&mut evidence, at, (5, 0), (5, 0));
    let verdict = judge(&GATES, at, &[&evidence]);
    assert_eq!(
        gate(&verdict, "error_rate").verdict,
        VerdictKind::Wait,
        "{verdict:?}"
    );
    route(&mut evidence, at, (200, 0), (200, 0));
    let verdict = judge(&GATES, at, &[&evidence]);
    assert_eq!(verdict.kind, VerdictKind::Advance, "{verdict:?}");

    let mut unmirrored = MethodEvidence::default();
    route(&mut unmirrored, at, (300, 0), (300, 0));
    let verdict = judge(&GATES, at, &[&unmirrored]);
    assert_eq!(gate(&verdict, "error_rate").verdict, VerdictKind::Advance);
    assert!(
        verdict
            .gates
            .iter()
            .all(|gate| gate.name != "paired_errors")
    );
    assert_eq!(gate(&verdict, "mismatch").verdict, VerdictKind::Wait);
}

#[test]
fn a_candidate_that_fails_its_clients_is_rolled_back_within_a_few_calls() {
    let at = weight(1.0);
    let mut evidence = pairs(400);
    route(&mut evidence, at, (990, 0), (10, 3));
    let verdict = judge(&GATES, at, &[&evidence]);
    assert_eq!(
        (verdict.kind, verdict.gates[0].name),
        (VerdictKind::Rollback, "error_rate")
    );
    let mut evidence = pairs(400);
    route(&mut evidence, at, (990, 297), (10, 3));
    assert_ne!(judge(&GATES, at, &[&evidence]).kind, VerdictKind::Rollback);
}

#[test]
fn at_full_weight_the_legacys_past_is_the_yardstick() {
    let mut evidence = pairs(400);
    route(&mut evidence, weight(50.0), (1000, 2), (1000, 1));
    route(&mut evidence, Weight::FULL, (0, 0), (300, 1));
    let verdict = judge(&GATES, Weight::FULL, &[&evidence]);
    assert_eq!(verdict.kind, VerdictKind::Advance, "{verdict:?}");
    route(&mut evidence, Weight::FULL, (0, 0), (100, 100));
    let verdict = judge(&GATES, Weight::FULL, &[&evidence]);
    assert_eq!(
        (verdict.kind, verdict.gates[0].name),
        (VerdictKind::Rollback, "error_rate")
    );
}

#[test]
fn copies_without_times_do_not_hold_up_the_first_step_and_say_nothing_later() {
    let gates = Gates {
        p99_ratio: Some(1.0),
        ..GATES
    };
    let mut evidence = pairs(1_000);
    let latency = |evidence: &MethodEvidence, at| {
        gate(&judge(&gates, weight(at), &[evidence]), "latency").verdict
    };
    assert_eq!(latency(&evidence, 0.0), VerdictKind::Wait, "nothing sent");
    evidence
        .cell(Weight::ZERO, Arm::Candidate, Role::Shadow)
        .calls = 1_000;
    assert_eq!(latency(&evidence, 0.0), VerdictKind::Advance);
    assert_eq!(
        latency(&evidence, 1.0),
        VerdictKind::Wait,
        "callers' times are still to come"
    );
}

#[test]
fn what_may_be_noise_counts_against_advancing_and_not_for_rolling_back() {
    let mut evidence = pairs(412);
    (evidence.pairs.mismatched, evidence.pairs.undecided) = (25, 25);
    let verdict = judge(&GATES, Weight::ZERO, &[&evidence]);
    assert_eq!(verdict.kind, VerdictKind::Wait);
    let reason = &gate(&verdict, "mismatch").reason;
    assert!(reason.starts_with("25 of 412 pairs differ (25 of them perhaps by noise)"));
    evidence.pairs.undecided = 0;
    let verdict = judge(&GATES, Weight::ZERO, &[&evidence]);
    assert_eq!(verdict.kind, VerdictKind::Rollback);
}

/// Durations of both arms at a weight and in a role, spread over a tenth of the base.
fn times(evidence: &mut MethodEvidence, at: Weight, role: Role, us: (u64, u64), n: (u64, u64)) {
    for (arm, (us, n)) in Arm::BOTH.into_iter().zip([(us.0, n.0), (us.1, n.1)]) {
        let cell = evidence.cell(at, arm, role);
        cell.calls += n;
        (0..n).for_each(|i| {
            let spread = us * (i % 100) / 1000;
            cell.latency.record(Duration::from_micros(us + spread));
        });
    }
}

/// The latency gate's answer for (legacy, candidate) durations, µs, of so many calls each.
fn latency(at: Weight, role: Role, us: (u64, u64), n: (u64, u64)) -> GateAnswer {
    let gates = Gates {
        p99_ratio: Some(1.0),
        ..GATES
    };
    let mut evidence = pairs(400);
    times(&mut evidence, at, role, us, n);
    gate(&judge(&gates, at, &[&evidence]), "latency").clone()
}

#[test]
fn latency_is_asked_only_with_a_ratio() {
    let verdict = judge(&GATES, Weight::ZERO, &[&pairs(400)]);
    assert!(verdict.gates.iter().all(|gate| gate.name != "latency"));
}

#[test]
fn a_slower_candidate_is_rolled_back_and_an_equal_one_advances() {
    let half = weight(50.0);
    let at = |us, n| latency(half, Role::Primary, us, (n, n));
    assert_eq!(at((1000, 2000), 2000).verdict, VerdictKind::Rollback);
    assert_eq!(at((1000, 1200), 2000).verdict, VerdictKind::Rollback);
    assert_eq!(at((1000, 1000), 2000).verdict, VerdictKind::Advance);
    assert_eq!(at((1000, 500), 2000).verdict, VerdictKind::Advance);
    let early = at((1000, 500), 100);
    assert_eq!(early.verdict, VerdictKind::Wait);
    let more = early.more_calls.unwrap();
    let enough = 100 + more / 2 + 1;
    assert_eq!(
        at((1000, 500), enough).verdict,
        VerdictKind::Advance,
        "{more}"
    );
    // Between the ratio and the tolerance beyond it, neither is proven.
    assert_eq!(at((1000, 1050), 200).verdict, VerdictKind::Wait);
}

#[test]
fn one_call_in_a_hundred_that_is_twenty_times_slower_rolls_back() {
    let gates = Gates {
        p99_ratio: Some(1.0),
        ..GATES
    };
    let at = weight(50.0);
    let mut evidence = pairs(400);
    times(&mut evidence, at, Role::Primary, (1000, 200), (2000, 1980));
    times(&mut evidence, at, Role::Primary, (0, 20_000), (0, 20));
    let verdict = judge(&gates, at, &[&evidence]);
    let gate = gate(&verdict, "latency");
    assert_eq!(gate.verdict, VerdictKind::Rollback, "{gate:?}");
    assert!(
        gate.reason.contains("20 of the candidate's 2000 calls"),
        "{gate:?}"
    );
}

#[test]
fn shadows_that_waited_for_a_core_never_roll_back() {
    let shadows = |us: u64| {
        let gates = Gates {
            p99_ratio: Some(1.0),
            ..GATES
        };
        let mut evidence = pairs(2000);
        times(
            &mut evidence,
            Weight::ZERO,
            Role::Primary,
            (1000, 0),
            (2000, 0),
        );
        times(
            &mut evidence,
            Weight::ZERO,
            Role::Shadow,
            (0, us),
            (0, 2000),
        );
        gate(&judge(&gates, Weight::ZERO, &[&evidence]), "latency").verdict
    };
    assert_eq!(shadows(1500), VerdictKind::Advance);
    assert_eq!(shadows(9000), VerdictKind::Wait);
    // Where both arms answer clients, shadows are held against shadows only.
    let half = weight(50.0);
    let verdict = latency(half, Role::Shadow, (1000, 1000), (2000, 2000)).verdict;
    assert_eq!(verdict, VerdictKind::Wait);
}

/// The traces gate's answer about one operation: compared, more in the candidate, in the legacy.
fn traces(asked: TracesGate, key: &str, (n, one, other): (u64, u64, u64)) -> GateAnswer {
    let gates = Gates {
        traces: asked,
        ..GATES
    };
    let mut evidence = pairs(400);
    evidence.traces.compared = n;
    evidence.traces.operations.push(OperationCell {
        key: key.to_owned(),
        compared: n,
        more_in_candidate: one,
        more_in_legacy: other,
        n_plus_one: false,
    });
    gate(&judge(&gates, Weight::ZERO, &[&evidence]), "traces").clone()
}

#[test]
fn writes_that_differ_roll_back_and_other_operations_hold() {
    use TracesGate::{Hold, Required, Rollback};
    use VerdictKind::{Advance, Wait};
    let (write, read) = ("db sqlite INSERT visits", "db sqlite SELECT names");
    for (asked, key, counts, expected) in [
        (Rollback, write, (60, 60, 0), VerdictKind::Rollback),
        (Rollback, write, (60, 0, 60), VerdictKind::Rollback),
        (Hold, write, (60, 0, 60), Wait),
        (Rollback, read, (60, 60, 0), Wait),
        (Rollback, read, (60, 0, 60), Advance),
        (Rollback, "rpc grpc a.B/C", (60, 0, 60), Wait),
        // Both ways as often: it differs by itself.
        (Rollback, write, (60, 30, 30), Advance),
        // A few of many: spans that were lost.
        (Rollback, write, (20_000, 20, 0), Advance),
        (Rollback, write, (60, 2, 0), Advance),
        (Rollback, read, (20, 0, 0), Wait),
        (Rollback, read, (0, 0, 0), Advance),
        (Required, read, (0, 0, 0), Wait),
    ] {
        let answer = traces(asked, key, counts);
        assert_eq!(
            answer.verdict, expected,
            "{asked:?} {key} {counts:?}: {answer:?}"
        );
    }
    let answer = traces(Rollback, read, (60, 60, 0));
    let says = "the candidate calls db sqlite SELECT names more often in 60 of 60 pairs";
    assert_eq!(answer.reason, says);
}

#[test]
fn memory_that_only_grows_holds_or_rolls_back() {
    let memory = |leak, ratio, (spells, grew), bytes| {
        let gates = Gates {
            leak,
            memory_ratio: ratio,
            ..GATES
        };
        let mut evidence = pairs(400);
        evidence.memory = MemoryCell {
            legacy_bytes: 100 << 20,
            candidate_bytes: bytes,
            ..MemoryCell::default()
        };
        evidence.memory.spells[0] = SpellCount { spells, grew };
        let verdict = judge(&gates, Weight::ZERO, &[&evidence]);
        let found = verdict.gates.iter().find(|gate| gate.name == "memory");
        found.map(|gate| gate.verdict)
    };
    use LeakGate::{Hold, Report, Rollback};
    let small = 50 << 20;
    assert_eq!(memory(Hold, None, (12, 12), small), Some(VerdictKind::Wait));
    let rolled_back = memory(Rollback, None, (12, 12), small);
    assert_eq!(rolled_back, Some(VerdictKind::Rollback));
    assert_eq!(memory(Report, None, (12, 12), small), None);
    // It began like a leak, and then stood still.
    assert_eq!(
        memory(Rollback, None, (40, 14), small),
        Some(VerdictKind::Advance)
    );
    assert_eq!(
        memory(Hold, Some(1.5), (9, 0), 160 << 20),
        Some(VerdictKind::Wait)
    );
    assert_eq!(
        memory(Hold, Some(1.5), (9, 0), 140 << 20),
        Some(VerdictKind::Advance)
    );
    assert_eq!(
        memory(Rollback, Some(1.5), (0, 0), 0),
        Some(VerdictKind::Advance)
    );
}

#[test]
fn methods_of_a_group_add_up() {
    let half = pairs(200);
    assert_eq!(
        judge(&GATES, Weight::ZERO, &[&half]).kind,
        VerdictKind::Wait
    );
    assert_eq!(
        judge(&GATES, Weight::ZERO, &[&half, &half]).kind,
        VerdictKind::Advance
    );
}
