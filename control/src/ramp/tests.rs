use cutover_manifest::{Gates, RampScope};

use super::*;

fn plan(on_failure: OnFailure) -> Ramp {
    let step = |percent: f64, hold_s| Step {
        weight: Weight::from_percent(percent).unwrap(),
        hold: Duration::from_secs(hold_s),
    };
    Ramp {
        scope: RampScope::Method,
        interval: Duration::from_secs(1),
        steps: vec![step(1.0, 10), step(50.0, 0), step(100.0, 0)],
        gates: Gates::default(),
        on_failure,
    }
}

fn tick(state: &mut RampState, ramp: &Ramp, verdict: VerdictKind) -> Option<Transition> {
    state.tick(ramp, verdict, "because", false, 42)
}

#[test]
fn climbs_step_by_step_to_the_last_and_stays_watched() {
    let ramp = plan(OnFailure::Rollback);
    let mut state = RampState::new(0, "");
    assert_eq!(tick(&mut state, &ramp, VerdictKind::Wait), None);
    let mut weights = vec![];
    while state.phase == Phase::Progressing {
        state.held += Duration::from_secs(10);
        let transition = tick(&mut state, &ramp, VerdictKind::Advance).unwrap();
        assert_eq!(transition.action, "advance");
        weights.push(transition.to.percent());
    }
    assert_eq!(weights, [1.0, 50.0, 100.0]);
    assert_eq!(state.phase, Phase::Healthy);
    assert_eq!(tick(&mut state, &ramp, VerdictKind::Advance), None);
    let transition = tick(&mut state, &ramp, VerdictKind::Rollback).unwrap();
    assert_eq!(
        (transition.from, transition.to),
        (Weight::FULL, Weight::ZERO)
    );
}

#[test]
fn holds_a_step_for_its_time_but_rolls_back_at_once() {
    let ramp = plan(OnFailure::Rollback);
    let mut state = RampState::new(0, "");
    tick(&mut state, &ramp, VerdictKind::Advance).unwrap();
    state.held = Duration::from_millis(9_999);
    assert_eq!(tick(&mut state, &ramp, VerdictKind::Advance), None);
    assert_eq!(
        tick(&mut state, &ramp, VerdictKind::Rollback).unwrap().to,
        Weight::ZERO
    );
}

#[test]
fn is_held_back_only_from_advancing() {
    let ramp = plan(OnFailure::Rollback);
    let mut state = RampState::new(0, "");
    state.apply(&ramp, Move::Promote, "", 0).unwrap();
    state.held = Duration::from_secs(99);
    assert_eq!(state.tick(&ramp, VerdictKind::Advance, "", true, 0), None);
    assert!(
        state
            .tick(&ramp, VerdictKind::Rollback, "", true, 0)
            .is_some()
    );
}

#[test]
fn a_rollback_is_latched_until_a_person_resumes_it_with_fresh_evidence() {
    let ramp = plan(OnFailure::Rollback);
    let mut state = RampState::new(0, "");
    tick(&mut state, &ramp, VerdictKind::Advance).unwrap();
    tick(&mut state, &ramp, VerdictKind::Rollback).unwrap();
    assert_eq!(
        (state.phase, state.step, state.reason.as_str()),
        (Phase::Degraded, None, "because")
    );
    for verdict in [
        VerdictKind::Advance,
        VerdictKind::Rollback,
        VerdictKind::Wait,
    ] {
        assert_eq!(tick(&mut state, &ramp, verdict), None);
    }
    assert!(state.apply(&ramp, Move::Promote, "", 0).is_err());
    let resumed = state.apply(&ramp, Move::Resume, "fixed", 0).unwrap();
    assert_eq!(
        (resumed.evidence, resumed.to),
        (Evidence::Restart, Weight::ZERO)
    );
    assert_eq!(
        (state.phase, state.reason.as_str()),
        (Phase::Progressing, "")
    );
}

#[test]
fn at_weight_0_bad_evidence_holds_the_ramp_without_a_latch_until_it_begins_anew() {
    for on_failure in [OnFailure::Rollback, OnFailure::Hold] {
        let ramp = plan(on_failure);
        let mut state = RampState::new(0, "");
        let hold = tick(&mut state, &ramp, VerdictKind::Rollback).unwrap();
        assert_eq!(
            (hold.action, hold.from, hold.to, hold.why.as_str()),
            ("hold", Weight::ZERO, Weight::ZERO, "because")
        );
        assert!(state.is_held());
        assert_eq!((state.phase, state.windows), (Phase::Progressing, 2));
        for verdict in [
            VerdictKind::Rollback,
            VerdictKind::Advance,
            VerdictKind::Wait,
        ] {
            assert_eq!(
                tick(&mut state, &ramp, verdict),
                None,
                "said once, and held"
            );
        }
        assert_eq!(
            RampState::from_row(&state.row("*", &ramp.steps), &ramp),
            state,
            "after a restart too"
        );
        state.release(&ramp);
        assert!(!state.is_held());
        let advance = tick(&mut state, &ramp, VerdictKind::Advance).unwrap();
        assert_eq!((advance.action, advance.to.percent()), ("advance", 1.0));
    }
}

#[test]
fn a_person_may_resume_or_promote_what_is_held_at_weight_0() {
    let ramp = plan(OnFailure::Rollback);
    let mut held = RampState::new(0, "");
    tick(&mut held, &ramp, VerdictKind::Rollback).unwrap();
    let mut resumed = held.clone();
    let transition = resumed.apply(&ramp, Move::Resume, "fixed", 0).unwrap();
    assert_eq!(transition.evidence, Evidence::Restart);
    assert!(!resumed.is_held());
    let mut promoted = held.clone();
    let transition = promoted.apply(&ramp, Move::Promote, "known", 0).unwrap();
    assert_eq!(transition.to.percent(), 1.0);
    assert!(!promoted.is_held());
    let mut paused = held;
    paused.apply(&ramp, Move::Pause, "lunch", 0).unwrap();
    assert_eq!(tick(&mut paused, &ramp, VerdictKind::Rollback), None);
    assert_eq!(
        (paused.phase, paused.reason.as_str()),
        (Phase::Paused, "lunch")
    );
}

#[test]
fn a_last_step_of_weight_0_is_held_and_released_too() {
    let mut ramp = plan(OnFailure::Rollback);
    ramp.steps.truncate(1);
    ramp.steps[0].weight = Weight::ZERO;
    let mut state = RampState::new(0, "");
    tick(&mut state, &ramp, VerdictKind::Advance).unwrap();
    assert_eq!(state.phase, Phase::Healthy);
    tick(&mut state, &ramp, VerdictKind::Rollback).unwrap();
    assert!(state.is_held());
    state.refit(Weight::ZERO, &ramp);
    assert!(state.is_held());
    state.release(&ramp);
    assert_eq!(state.phase, Phase::Healthy);
}

#[test]
fn hold_on_failure_keeps_the_weight_and_latches() {
    let ramp = plan(OnFailure::Hold);
    let mut state = RampState::new(0, "");
    tick(&mut state, &ramp, VerdictKind::Advance).unwrap();
    let transition = tick(&mut state, &ramp, VerdictKind::Rollback).unwrap();
    assert_eq!(transition.to.percent(), 1.0);
    assert_eq!((state.phase, state.step), (Phase::Degraded, Some(0)));
}

#[test]
fn a_paused_ramp_keeps_its_weight_and_still_rolls_back() {
    let ramp = plan(OnFailure::Rollback);
    let mut state = RampState::new(0, "");
    tick(&mut state, &ramp, VerdictKind::Advance).unwrap();
    state.held = Duration::from_secs(99);
    state.apply(&ramp, Move::Pause, "lunch", 0).unwrap();
    assert_eq!(tick(&mut state, &ramp, VerdictKind::Advance), None);
    assert_eq!(state.weight(&ramp.steps).percent(), 1.0);
    assert!(state.apply(&ramp, Move::Pause, "", 0).is_err());
    assert_eq!(
        tick(&mut state, &ramp, VerdictKind::Rollback).unwrap().to,
        Weight::ZERO
    );
}

#[test]
fn promotes_by_one_step_or_to_the_last_and_no_further() {
    let ramp = plan(OnFailure::Rollback);
    let mut state = RampState::new(0, "");
    assert_eq!(
        state
            .apply(&ramp, Move::Promote, "", 0)
            .unwrap()
            .to
            .percent(),
        1.0
    );
    assert_eq!(
        state.apply(&ramp, Move::PromoteFull, "", 0).unwrap().to,
        Weight::FULL
    );
    assert_eq!(state.phase, Phase::Healthy);
    assert!(state.apply(&ramp, Move::Promote, "", 0).is_err());
    assert!(state.apply(&ramp, Move::Resume, "", 0).is_err());
    assert_eq!(
        state.apply(&ramp, Move::Abort, "no", 0).unwrap().to,
        Weight::ZERO
    );
    assert_eq!(state.phase, Phase::Degraded);
}

#[test]
fn finds_its_place_in_changed_steps_without_rising() {
    let old = plan(OnFailure::Rollback);
    let mut state = RampState::new(0, "");
    state.apply(&old, Move::Promote, "", 0).unwrap();
    state.apply(&old, Move::Promote, "", 0).unwrap();
    let mut new = plan(OnFailure::Rollback);
    new.steps.insert(
        1,
        Step {
            weight: Weight::from_percent(20.0).unwrap(),
            hold: Duration::ZERO,
        },
    );
    state.refit(state.weight(&old.steps), &new);
    assert_eq!(state.weight(&new.steps).percent(), 50.0);
    let mut higher = plan(OnFailure::Rollback);
    higher.steps.remove(0);
    higher.steps[0].weight = Weight::from_percent(60.0).unwrap();
    state.refit(state.weight(&new.steps), &higher);
    assert_eq!(
        (state.step, state.weight(&higher.steps)),
        (None, Weight::ZERO)
    );
}

#[test]
fn is_the_same_after_a_restart() {
    let ramp = plan(OnFailure::Rollback);
    let mut state = RampState::new(0, "");
    tick(&mut state, &ramp, VerdictKind::Advance).unwrap();
    state.held = Duration::from_millis(1_500);
    state.apply(&ramp, Move::Pause, "lunch", 0).unwrap();
    assert_eq!(
        RampState::from_row(&state.row("*", &ramp.steps), &ramp),
        state
    );
}
