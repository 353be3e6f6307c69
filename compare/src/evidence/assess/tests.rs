//! How the evidence of several methods, of windows and of noise comes together.

use super::*;

fn method(compared: u64, mismatched: u64, noise_share: f64) -> MethodQuestion<'static> {
    let mut method = MethodQuestion {
        noise_share,
        ..MethodQuestion::default()
    };
    method.whole.pairs.compared = compared;
    method.whole.pairs.mismatched = mismatched;
    let field = FieldCell {
        path: "name",
        whole: FieldCounts {
            pairs: mismatched,
            ..FieldCounts::default()
        },
        ..FieldCell::default()
    };
    method.fields.push(field);
    method
}

fn question(methods: Vec<MethodQuestion<'_>>) -> Question<'_> {
    Question {
        gates: Gates {
            mismatch_below: 0.01,
            min_calls: 100,
            ..Gates::default()
        },
        weight: Weight::ZERO,
        window: 3,
        methods,
        memory: MemoryCell::default(),
    }
}

fn noise(only_other: u64, only_repeat: u64, both: u64) -> FieldNoise {
    FieldNoise {
        only_other,
        only_repeat,
        both,
    }
}

#[test]
fn nothing_seen_means_wait() {
    let nothing = question(vec![MethodQuestion::default()]);
    assert_eq!(assess(&nothing).verdict.kind, VerdictKind::Wait);
    assert_eq!(assess(&question(vec![])).verdict.kind, VerdictKind::Wait);
}

#[test]
fn what_a_verdict_was_drawn_from_gives_the_same_gates_again() {
    let mut noisy = method(1_000, 40, 0.05);
    noisy.fields[0].whole.noise = noise(0, 0, 50);
    let Assessed { verdict, basis } = assess(&question(vec![noisy, method(500, 3, 0.0)]));
    let pairs = &basis.evidence.pairs;
    let seen = (pairs.compared, pairs.mismatched, pairs.undecided);
    assert_eq!(seen, (1_500, 3, 0), "noise is left out");
    let again = judge(&basis.gates, basis.weight, basis.levels, &basis.evidence);
    assert_eq!(again.gates, verdict.gates);
}

#[test]
fn many_mismatches_roll_back_where_no_noise_is_asked_for() {
    let verdict = assess(&question(vec![method(1_000, 300, 0.0)])).verdict;
    assert_eq!(verdict.kind, VerdictKind::Rollback, "{verdict:?}");
}

#[test]
fn a_field_whose_noise_is_unknown_waits_and_says_for_what() {
    let mut early = method(200, 200, 0.05);
    early.whole.pairs.triples = 7;
    early.fields[0].whole.noise = noise(7, 0, 0);
    let verdict = assess(&question(vec![early.clone()])).verdict;
    assert_eq!(verdict.kind, VerdictKind::Wait, "{verdict:?}");
    let gate = verdict.gates.iter().find(|gate| gate.name == "mismatch");
    let gate = gate.unwrap();
    let says = "learning noise of name: 7 triples so far, about 4 more";
    assert!(gate.reason.ends_with(says), "{}", gate.reason);
    assert_eq!(gate.more_calls, Some(80), "4 of which each takes 20 calls");

    early.fields[0].whole.noise = noise(11, 0, 0);
    let verdict = assess(&question(vec![early.clone()])).verdict;
    assert_eq!(verdict.kind, VerdictKind::Rollback, "{verdict:?}");
    // A repeat that differs as readily makes it noise, which holds nothing up.
    early.fields[0].whole.noise = noise(4, 3, 0);
    let verdict = assess(&question(vec![early])).verdict;
    let mismatch = verdict.gates.iter().find(|gate| gate.name == "mismatch");
    assert_eq!(mismatch.unwrap().s, 0);
}

#[test]
fn a_bad_build_is_not_hidden_behind_a_long_clean_history() {
    let mut long = method(1_000_000, 100, 0.0);
    long.recent.pairs.compared = 200;
    assert_ne!(
        assess(&question(vec![long.clone()])).verdict.kind,
        VerdictKind::Rollback
    );
    long.recent.pairs.mismatched = 100;
    long.fields[0].recent.pairs = 100;
    let Assessed { verdict, basis } = assess(&question(vec![long.clone()]));
    assert_eq!(basis.window, 3, "the recent window decided");
    assert_eq!(verdict.kind, VerdictKind::Rollback, "{verdict:?}");
    // The same where noise is asked for: in the window, or before it, the field must stand out.
    long.noise_share = 0.5;
    let kind = |method: &MethodQuestion<'_>| assess(&question(vec![method.clone()])).verdict.kind;
    assert_ne!(kind(&long), VerdictKind::Rollback);
    long.fields[0].recent.noise = noise(50, 0, 0);
    assert_eq!(kind(&long), VerdictKind::Rollback);
    long.fields[0].recent.noise = noise(0, 0, 0);
    long.fields[0].whole.noise = noise(50, 0, 0);
    assert_eq!(kind(&long), VerdictKind::Rollback);
}

#[test]
fn pairs_that_differ_only_by_noise_do_not_count() {
    let bounds = |pairs, fields: &[(u64, Field)]| mismatched(pairs, fields.iter().copied());
    use Field::{Noisy, Real, Unknown};
    assert_eq!(bounds(1_000, &[(1_000, Noisy)]), (0, 0));
    assert_eq!(bounds(4, &[(4, Real)]), (4, 4));
    assert_eq!(bounds(4, &[(4, Unknown)]), (4, 0));
    assert_eq!(bounds(1_000, &[(1_000, Noisy), (7, Real)]), (7, 7));
    // 100 pairs, of which at most 60 differ by noise.
    assert_eq!(bounds(100, &[(60, Noisy), (70, Real)]), (70, 70));
    assert_eq!(
        bounds(100, &[(60, Noisy), (30, Real), (25, Real)]),
        (55, 40)
    );
    assert_eq!(
        bounds(100, &[(60, Unknown), (30, Real), (25, Real)]),
        (100, 40)
    );
    let unexplained = bounds(2_000, &[(1_000, Noisy)]);
    assert_eq!(
        unexplained,
        (2_000, 2_000),
        "differences beyond those that fields explain"
    );
}
