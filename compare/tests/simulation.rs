//! Are verdicts right as often as they claim, however often one looks? Everything is tried with
//! fixed seeds. `make simulate` does the same with 2,000 runs of each, and prints a table.

#[path = "simulation/questions.rs"]
mod questions;
#[path = "simulation/ramp.rs"]
mod ramp;
#[path = "simulation/random.rs"]
mod random;

use ramp::{World, until_advance, until_rollback};

const RUNS: u32 = 200;
/// A ramp on its way: percent, and calls.
const WAY: [(f64, u64); 5] = [
    (0.0, 2_000),
    (1.0, 2_000),
    (10.0, 2_000),
    (50.0, 2_000),
    (100.0, 2_000),
];

#[test]
fn no_test_alarms_more_often_than_it_may() {
    for question in questions::all(RUNS) {
        let (name, setting) = (question.question, &question.setting);
        let share = question.share();
        assert!(share <= questions::ALPHA, "{name}, {setting}: {share}");
    }
}

#[test]
fn a_whole_ramp_of_equal_arms_is_seldom_rolled_back() {
    for failing in [0.0, 0.001, 0.01, 0.1] {
        for noise in [0.0, 0.3] {
            let world = World {
                noise,
                ..World::alike(failing)
            };
            let rolled_back = |seed: &u32| until_rollback(&world, &WAY, (*seed).into()).is_some();
            let alarms = (0..RUNS).filter(rolled_back).count();
            let share = alarms as f64 / f64::from(RUNS);
            assert!(share <= 0.05, "failing {failing}, noise {noise}: {share}");
        }
    }
}

/// The median and the longest of 50 runs.
fn calls(world: &World, steps: &ramp::Steps) -> (u64, u64) {
    let mut calls: Vec<u64> = (0..50)
        .map(|seed| until_rollback(world, steps, seed).expect("it is detected"))
        .collect();
    calls.sort_unstable();
    (calls[25], calls[49])
}

#[test]
fn what_is_worse_is_rolled_back_within_the_calls_that_the_docs_name() {
    let half = [(50.0, 40_000)];
    let world = World::alike(0.001);
    let errors = World {
        failing: [0.001, 0.006],
        ..world
    };
    let (median, longest) = calls(&errors, &half);
    assert!(median < 4_000 && longest < 15_000, "{median} {longest}");
    let wrong = World {
        wrong: 0.2,
        ..World::alike(0.0)
    };
    let (median, longest) = calls(&wrong, &half);
    assert!(median < 1_500 && longest < 4_000, "{median} {longest}");
}

#[test]
fn an_equal_candidate_with_noise_still_advances() {
    let world = World {
        noise: 0.3,
        times: Some(([10.0, 10.0], 1.0)),
        ..World::alike(0.0)
    };
    for weight in [0.0, 50.0] {
        let calls = until_advance(&world, &[(weight, 40_000)], 1);
        assert!(
            calls.is_some_and(|calls| calls < 12_000),
            "{weight}: {calls:?}"
        );
    }
}
