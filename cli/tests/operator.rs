//! The operator commands against a control plane's API: what they ask for, and what they show.

#![allow(clippy::unwrap_used, reason = "a test may end at once")]

#[path = "support/binary.rs"]
#[allow(dead_code, reason = "this file needs no manifest")]
mod binary;
#[path = "support/operator.rs"]
mod operator;

use std::sync::atomic::Ordering;

use binary::{Ended, cutover};
use cutover_proto::cutover::v1::{
    Arm, ArmStatus, Gate, MethodStatus, MoveRampRequest, PairCounters, Phase, ProcessStatus,
    Quantiles, RampMove, RampStatus, SetWeightRequest, Status, Verdict, VerdictKind,
};
use operator::{Asked, Operator};

const TOKEN: &str = "0123456789abcdef";
const SEARCH: &str = "/gazetteer.v1.GazetteerService/SearchPlaces";

/// A state with one method that its ramp moves.
fn state(phase: Phase) -> Status {
    let arm = |arm: Arm, calls, p50_us| ArmStatus {
        arm: arm.into(),
        calls,
        failures: 2,
        latency: Some(Quantiles {
            count: 500,
            p50_us,
            p90_us: p50_us * 2.0,
            p99_us: p50_us * 3.0,
        }),
        ..ArmStatus::default()
    };
    let process = |arm: Arm, cpu_seconds, memory_bytes| ProcessStatus {
        arm: arm.into(),
        cpu_seconds,
        memory_bytes,
        ..ProcessStatus::default()
    };
    let gate = Gate {
        name: "mismatch".to_owned(),
        verdict: VerdictKind::Wait.into(),
        reason: "1 of 400 pairs differed".to_owned(),
        n: 400,
        s: 1,
        log_e: Some(1.5),
        log_threshold: Some(3.0),
        more_calls: Some(600),
    };
    Status {
        name: "gazetteer".to_owned(),
        generation: 7,
        at_unix_ms: 1_795_358_449_000,
        ramps: vec![RampStatus {
            scope: SEARCH.to_owned(),
            phase: phase.into(),
            step: 1,
            weight_bp: 1000,
            entered_unix_ms: 1_795_358_389_000,
            verdict: Some(Verdict {
                kind: VerdictKind::Wait.into(),
                gates: vec![gate],
            }),
            ..RampStatus::default()
        }],
        methods: vec![MethodStatus {
            method: SEARCH.to_owned(),
            weight_bp: 1000,
            weight_owner: "ramp".to_owned(),
            arms: vec![
                arm(Arm::Legacy, 900, 1000.0),
                arm(Arm::Candidate, 100, 200.0),
            ],
            pairs: Some(PairCounters {
                compared: 400,
                mismatched: 1,
                ..Default::default()
            }),
            ..MethodStatus::default()
        }],
        processes: vec![
            process(Arm::Legacy, 9.0, 200 << 20),
            process(Arm::Candidate, 0.25, 50 << 20),
        ],
        steps_bp: vec![100, 1000, 10_000],
        ..Status::default()
    }
}

/// Runs a command against a fake that tells `states`.
fn ask(operator: &Operator, line: &str) -> Ended {
    let address = operator.address.to_string();
    let words = line.split_whitespace();
    cutover(words.chain(["--operator", &address, "--token", TOKEN]))
}

#[test]
fn status_shows_the_gates_and_both_arms() {
    let operator = Operator::start(TOKEN, vec![state(Phase::Progressing)]);
    let output = ask(&operator, "status");
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    for expected in [
        "gazetteer  Progressing",
        "steps: 1 % → 10 % → 100 %",
        "Progressing, 10 %, step 2 of 3 for 1m",
        "wait     mismatch: 1 of 400 pairs differed [ln e 1.50 of 3.00; 1 in 400]",
        "(about 600 more calls)",
        "2 (0.22 %)",
        "2 (2.00 %)",
        "1.00 ms",
        "200 µs",
        "compared 400 pairs, 1 differed (0.25 %)",
    ] {
        assert!(
            output.stdout.contains(expected),
            "{expected:?} is not in\n{}",
            output.stdout
        );
    }
}

#[test]
fn json_is_the_contracts_own() {
    let operator = Operator::start(TOKEN, vec![state(Phase::Healthy)]);
    let output = ask(&operator, "status --output json --scope SearchPlaces");
    let value: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(value["status"]["ramps"][0]["phase"], "PHASE_HEALTHY");
    assert_eq!(value["status"]["methods"][0]["weightBp"], 1000);
    assert_eq!(value["status"]["methods"][0]["arms"][0]["calls"], "900");
}

#[test]
fn status_with_a_timeout_tells_a_pipeline_whether_all_is_well() {
    let states = vec![state(Phase::Progressing), state(Phase::Healthy)];
    let healthy = ask(&Operator::start(TOKEN, states), "status --timeout 60s");
    assert_eq!(healthy.code, Some(0), "{}", healthy.stderr);
    assert!(
        healthy.stdout.starts_with("gazetteer  Healthy"),
        "{}",
        healthy.stdout
    );

    let states = vec![state(Phase::Progressing), state(Phase::Degraded)];
    let degraded = ask(&Operator::start(TOKEN, states), "status --timeout 60s");
    assert_eq!(degraded.code, Some(1), "{}", degraded.stdout);
    assert!(
        degraded.stderr.contains("the ramp is Degraded"),
        "{}",
        degraded.stderr
    );

    let waiting = Operator::start(TOKEN, vec![state(Phase::Progressing)]);
    let late = ask(&waiting, "status --timeout 50ms");
    assert_eq!(late.code, Some(1), "{}", late.stdout);
    assert!(
        late.stderr.contains("not Healthy within"),
        "{}",
        late.stderr
    );
}

#[test]
fn a_weight_goes_out_with_who_and_why() {
    let operator = Operator::start(TOKEN, vec![state(Phase::Progressing)]);
    let output = ask(&operator, "weight SearchPlaces 25.5 --who ada --why trial");
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let reset = ask(&operator, "weight --all --reset --who ada --why done");
    assert_eq!(reset.code, Some(0), "{}", reset.stderr);
    let request = |scope: &str, weight_bp, why: &str| {
        let (scope, who, why) = (scope.to_owned(), "ada".to_owned(), why.to_owned());
        Asked::Weight(SetWeightRequest {
            scope,
            weight_bp,
            who,
            why,
            revision: Some(7),
        })
    };
    let expected = [
        request(SEARCH, Some(2550), "trial"),
        request("*", None, "done"),
    ];
    assert_eq!(operator.asked(), expected);
}

#[test]
fn each_move_is_the_move_that_was_asked_for() {
    let operator = Operator::start(TOKEN, vec![state(Phase::Progressing)]);
    let moves = [
        ("pause", RampMove::Pause),
        ("resume", RampMove::Resume),
        ("promote", RampMove::Promote),
        ("promote --full", RampMove::PromoteFull),
        ("abort", RampMove::Abort),
    ];
    for (line, _) in moves {
        let output = ask(
            &operator,
            &format!("{line} --scope SearchPlaces --who ada --why x"),
        );
        assert_eq!(output.code, Some(0), "{line}: {}", output.stderr);
    }
    let expected: Vec<Asked> = moves
        .iter()
        .map(|(_, wanted)| {
            let (scope, who, why) = (SEARCH.to_owned(), "ada".to_owned(), "x".to_owned());
            Asked::Move(MoveRampRequest {
                scope,
                r#move: (*wanted).into(),
                who,
                why,
                revision: Some(7),
            })
        })
        .collect();
    assert_eq!(operator.asked(), expected);
}

#[test]
fn a_change_is_made_on_the_state_that_was_seen_or_not_at_all() {
    let operator = Operator::start(TOKEN, vec![state(Phase::Progressing)]);
    let stale = ask(&operator, "promote --why seen --revision 6");
    assert_eq!(stale.code, Some(1), "{}", stale.stdout);
    assert!(
        stale.stderr.contains("another revision"),
        "{}",
        stale.stderr
    );
    assert_eq!(
        operator.asked().len(),
        1,
        "asked once, for 6 is what was seen"
    );
    // Not told which state was seen, it looks again where somebody else was faster.
    operator.overtaken.store(2, Ordering::Relaxed);
    let again = ask(&operator, "abort --why pager");
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert_eq!(operator.asked().len(), 1 + 3);
    operator.overtaken.store(100, Ordering::Relaxed);
    let never = ask(&operator, "weight --all 5 --why trial");
    assert_eq!(never.code, Some(1), "{}", never.stdout);
    assert_eq!(operator.asked().len(), 1 + 3 + 5);
}

#[test]
fn a_mistyped_method_changes_nothing() {
    let operator = Operator::start(TOKEN, vec![state(Phase::Progressing)]);
    let output = ask(&operator, "weight SerchPlaces 25 --why trial");
    assert_eq!(output.code, Some(2), "{}", output.stdout);
    assert!(
        output.stderr.contains("did you mean SearchPlaces?"),
        "{}",
        output.stderr
    );
    assert_eq!(operator.asked(), []);
}

#[test]
fn a_wrong_token_is_the_users_to_mend() {
    let operator = Operator::start("another token", vec![state(Phase::Healthy)]);
    let output = ask(&operator, "status");
    assert_eq!(output.code, Some(2), "{}", output.stdout);
    assert!(
        output.stderr.contains("--token or CUTOVER_OPERATOR_TOKEN"),
        "{}",
        output.stderr
    );
    assert!(!output.stderr.contains(TOKEN), "{}", output.stderr);
}

#[test]
fn report_holds_both_arms_against_what_was_promised() {
    let operator = Operator::start(TOKEN, vec![state(Phase::Healthy)]);
    let output = ask(&operator, "report");
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    for (name, change, promised) in [
        ("latency p50", "80 % less", "50–90 % less"),
        ("CPU per call", "4.0× less", "2–10× less"),
        ("calls per CPU second", "4.0× more", "2–5× more"),
        ("memory", "75 % less", "30–70 % less"),
    ] {
        let line = output
            .stdout
            .lines()
            .find(|line| line.trim().starts_with(name))
            .unwrap();
        assert!(line.contains(change) && line.contains(promised), "{line}");
    }
    let finding = "field results[].score, value, in 3 of 1000 pairs, such as 0.5 → 0.25";
    assert!(output.stdout.contains(finding), "{}", output.stdout);
}

#[test]
fn explain_shows_a_decision_and_knows_which_there_are() {
    let operator = Operator::start(TOKEN, Vec::new());
    let output = ask(&operator, "explain 1");
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let first = "decision 1: override all methods, 0 % → 25 %";
    assert!(output.stdout.starts_with(first), "{}", output.stdout);
    assert!(
        output.stdout.contains("nothing was judged for it"),
        "{}",
        output.stdout
    );
    let output = ask(&operator, "explain 1 --output json");
    let value: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(value["decision"]["who"], "ada");
    assert!(value["reproduced"].is_null());

    let unknown = ask(&operator, "explain 9");
    assert_eq!(unknown.code, Some(2), "{}", unknown.stdout);
    assert!(unknown.stderr.contains("1 to 1"), "{}", unknown.stderr);
    assert_eq!(ask(&operator, "explain 0").code, Some(2));
    assert_eq!(ask(&operator, "explain one").code, Some(2));
}
