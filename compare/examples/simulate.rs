//! Prints the tables of `docs/evidence.md`: `make simulate`. Words choose some of them:
//! `questions`, `ramps`, `faults`, `good`.

#[path = "../tests/simulation/questions.rs"]
mod questions;
#[path = "../tests/simulation/ramp.rs"]
mod ramp;
#[path = "../tests/simulation/random.rs"]
mod random;

use ramp::{Steps, World, until_advance, until_rollback};

/// Of each question, and of ramps whose times are not judged; those cost most.
const RUNS: u32 = 2_000;
const TIMED_RUNS: u32 = 200;
/// Of each fault.
const FAULT_RUNS: u64 = 100;
/// A ramp on its way: percent, and calls.
const WAY: [(f64, u64); 5] = [
    (0.0, 2_000),
    (1.0, 2_000),
    (10.0, 2_000),
    (50.0, 2_000),
    (100.0, 2_000),
];

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let tables: [(&str, fn()); 4] = [
        ("questions", questions),
        ("ramps", ramps),
        ("faults", faults),
        ("good", good),
    ];
    for (name, table) in tables {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            table();
            println!();
        }
    }
}

fn questions() {
    println!("| question | setting | runs | false alarms | allowed |");
    println!("| --- | --- | ---: | ---: | ---: |");
    for of in questions::all(RUNS) {
        let (name, setting, percent) = (of.question, &of.setting, 100.0 * of.share());
        println!("| {name} | {setting} | {RUNS} | {percent:.2} % | 5 % |");
    }
}

fn ramps() {
    println!("| 10,000 calls at 0, 1, 10, 50 and 100 % | runs | rolled back | allowed |");
    println!("| --- | ---: | ---: | ---: |");
    for failing in [0.0, 0.001, 0.01, 0.1] {
        for (noise, times) in [(0.0, None), (0.3, None), (0.3, Some(([10.0, 10.0], 1.0)))] {
            let world = World {
                noise,
                times,
                ..World::alike(failing)
            };
            let runs = times.map_or(RUNS, |_| TIMED_RUNS);
            let rolled_back = |seed: &u32| until_rollback(&world, &WAY, (*seed).into()).is_some();
            let alarms = (0..runs).filter(rolled_back).count();
            println!(
                "| {} % fail, {} % differ by noise{} | {runs} | {:.2} % | 5 % |",
                100.0 * failing,
                100.0 * noise,
                times.map_or("", |_| ", times are judged"),
                100.0 * alarms as f64 / f64::from(runs),
            );
        }
    }
}

fn faults() {
    println!("| what is wrong | weight | calls until rolled back: median | 95 of 100 runs |");
    println!("| --- | ---: | ---: | ---: |");
    let clean = World::alike(0.0);
    let times = |candidate, tail| World {
        times: Some(([10.0, candidate], tail)),
        ..clean
    };
    let wrong = |wrong, noise| World {
        wrong,
        noise,
        ..clean
    };
    let errors = World {
        failing: [0.001, 0.006],
        ..clean
    };
    let of = [
        ("errors 0.1 % → 0.6 %", errors),
        ("a wrong answer always", wrong(1.0, 0.0)),
        ("a wrong answer in 1 of 20", wrong(0.05, 0.0)),
        ("a wrong answer in 1 of 200", wrong(0.005, 0.0)),
        (
            "a wrong answer in 1 of 20, beside a noisy field",
            wrong(0.05, 0.3),
        ),
        ("20 % slower", times(12.0, 1.0)),
        ("50 % slower", times(15.0, 1.0)),
        ("1 call in 100 takes 20 times as long", times(10.0, 20.0)),
    ];
    for (name, world) in of {
        for weight in [10.0, 50.0] {
            let (median, most) = quantiles(&world, &[(weight, 100_000)], until_rollback);
            println!("| {name} | {weight} % | {median} | {most} |");
        }
    }
}

fn good() {
    println!("| a good candidate | weight | calls until it may advance: median | 95 of 100 |");
    println!("| --- | ---: | ---: | ---: |");
    let clean = World::alike(0.0);
    let fast = |candidate| World {
        times: Some(([10.0, candidate], 1.0)),
        ..clean
    };
    let noisy = World {
        noise: 0.3,
        ..clean
    };
    let of = [
        ("no failures", clean),
        ("0.01 % fail in both arms", World::alike(0.0001)),
        ("a field differs by itself in 30 %", noisy),
        ("times judged, equally fast", fast(10.0)),
        ("times judged, twice as fast", fast(5.0)),
    ];
    for (name, world) in of {
        for weight in [0.0, 10.0, 50.0] {
            let (median, most) = quantiles(&world, &[(weight, 100_000)], until_advance);
            println!("| {name} | {weight} % | {median} | {most} |");
        }
    }
}

fn quantiles(
    world: &World,
    steps: &Steps,
    until: fn(&World, &Steps, u64) -> Option<u64>,
) -> (String, String) {
    let mut calls: Vec<Option<u64>> = (0..FAULT_RUNS)
        .map(|seed| until(world, steps, seed))
        .collect();
    calls.sort_unstable_by_key(|calls| calls.unwrap_or(u64::MAX));
    let (_, last) = steps[steps.len() - 1];
    let text = |calls: Option<u64>| match calls {
        Some(calls) => calls.to_string(),
        None => format!("over {last}"),
    };
    (
        text(calls[calls.len() / 2]),
        text(calls[calls.len() * 95 / 100]),
    )
}
