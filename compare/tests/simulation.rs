//! Are verdicts right as often as they claim, however often one looks? Everything is tried with
//! fixed seeds. `make simulate` tries it more often, and prints tables.

#[path = "simulation/exact.rs"]
mod exact;
#[path = "simulation/questions.rs"]
mod questions;
#[path = "simulation/ramp.rs"]
mod ramp;
#[path = "simulation/random.rs"]
mod random;
#[path = "simulation/runs.rs"]
mod runs;

use questions::ALPHA;
use ramp::{WAY, World, until_advance, until_rollback};

const RUNS: u32 = 2_000;
/// Of each whole ramp, and of each fault: `make simulate` does more.
const RAMPS: u32 = 200;
const FAULT_RUNS: u32 = 50;

#[test]
fn no_test_alarms_more_often_than_it_may() {
    // Three standard deviations more than allowed: chance shows so many once in 700 times.
    let bound = ALPHA + 3.0 * (ALPHA * (1.0 - ALPHA) / f64::from(RUNS)).sqrt();
    for question in questions::all() {
        let (name, setting, rate) = (question.name, question.setting, question.rate);
        let share = question.alarms(RUNS);
        assert!(share <= bound, "{name}, {setting}, {rate:?}: {share}");
    }
}

#[test]
fn what_comes_closest_to_what_it_may_stays_below_exactly() {
    for (name, _, rate, chance) in exact::all() {
        assert!(chance <= ALPHA, "{name}, {rate}: {chance}");
        assert!(
            chance > 0.9 * ALPHA,
            "it comes close: {name}, {rate}: {chance}"
        );
    }
}

#[test]
fn a_fair_coin_looked_at_always_is_rejected_seldom_and_by_a_naive_test_in_about_half_of_the_runs() {
    let fair = questions::all().swap_remove(0);
    assert_eq!(fair.name, "fair coin, two-sided");
    let (share, naive) = (fair.alarms(RUNS), questions::naive(RUNS));
    // A test without power would prove nothing.
    assert!((0.03..0.05).contains(&share), "{share}");
    assert!((0.4..0.6).contains(&naive), "{naive}");
}

#[test]
fn a_whole_ramp_of_equal_arms_is_seldom_rolled_back() {
    for failing in [0.0, 0.001, 0.01, 0.1] {
        for noise in [0.0, 0.3] {
            let world = World {
                noise,
                ..World::alike(failing)
            };
            let ends = runs::each(RAMPS, |seed| until_rollback(&world, &WAY, seed));
            let share = ends.iter().flatten().count() as f64 / f64::from(RAMPS);
            assert!(share <= ALPHA, "failing {failing}, noise {noise}: {share}");
        }
    }
}

/// The median and the longest of the runs.
fn calls(world: &World, steps: &ramp::Steps) -> (u64, u64) {
    let until = |seed| until_rollback(world, steps, seed).expect("it is detected");
    let mut calls = runs::each(FAULT_RUNS, until);
    calls.sort_unstable();
    (calls[calls.len() / 2], calls[calls.len() - 1])
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
