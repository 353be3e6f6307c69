//! Prints the tables of `docs/evidence.md`: `make simulate`. Words choose some of them:
//! `questions`, `ramps`, `faults`, `good`. How far it is goes to standard error.

#[path = "../tests/simulation/exact.rs"]
mod exact;
#[path = "../tests/simulation/questions.rs"]
mod questions;
#[path = "../tests/simulation/ramp.rs"]
mod ramp;
#[path = "../tests/simulation/random.rs"]
mod random;
#[path = "../tests/simulation/runs.rs"]
mod runs;

use ramp::{Steps, WAY, World, until_advance, until_rollback};

/// Of each question: these tell 5 % to 0.15 %.
const RUNS: u32 = 20_000;
/// Of each whole ramp.
const RAMPS: u32 = 2_000;
/// Of each fault, and of each good candidate.
const FAULT_RUNS: u32 = 200;
/// After so many calls a fault counts as not found.
const MOST_CALLS: u64 = 200_000;

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
    println!("| question | setting | false alarms, 5 % allowed |");
    println!("| --- | --- | ---: |");
    let all = questions::all();
    for same in all.chunk_by(|one, other| one.name == other.name) {
        let alarms = same.iter().map(|question| {
            eprintln!("{}, {:?} …", question.name, question.rate);
            question.alarms(RUNS)
        });
        let alarms: Vec<f64> = alarms.collect();
        let rates: Vec<f64> = same.iter().filter_map(|question| question.rate).collect();
        row(same[0].name, same[0].setting, &rates, &alarms);
    }
    for same in exact::all().chunk_by(|one, other| one.0 == other.0) {
        let rates: Vec<f64> = same.iter().map(|(_, _, rate, _)| *rate).collect();
        let chances: Vec<f64> = same.iter().map(|(_, _, _, chance)| *chance).collect();
        row(same[0].0, same[0].1, &rates, &chances);
    }
    let naive = [questions::naive(RUNS)];
    row("fair coin, naive z-test", "2,000 tosses", &[], &naive);
}

/// A question at some rates, and how often each alarms.
fn row(name: &str, setting: &str, rates: &[f64], alarms: &[f64]) {
    let rates: Vec<String> = rates
        .iter()
        .map(|rate| format!("{} %", 100.0 * rate))
        .collect();
    let alarms: Vec<String> = alarms
        .iter()
        .map(|share| format!("{:.2} %", 100.0 * share))
        .collect();
    let at = if rates.is_empty() { "" } else { "; at " };
    println!(
        "| {name} | {setting}{at}{} | {} |",
        rates.join(", "),
        alarms.join(", ")
    );
}

fn ramps() {
    println!("| two equal arms | rolled back at 0 %, 0.1 %, 1 %, 10 % failing; 5 % allowed |");
    println!("| --- | ---: |");
    let fast = Some(([10.0, 10.0], 1.0));
    let of = [
        ("no field differs", 0.0, None),
        ("a field differs by itself in 30 %", 0.3, None),
        ("the same, and times are judged", 0.3, fast),
    ];
    for (name, noise, times) in of {
        let shares = [0.0, 0.001, 0.01, 0.1].map(|failing| {
            eprintln!("ramps: {name}, {} % fail …", 100.0 * failing);
            let world = World {
                noise,
                times,
                ..World::alike(failing)
            };
            let ends = runs::each(RAMPS, |seed| until_rollback(&world, &WAY, seed));
            let alarms = ends.iter().flatten().count() as f64;
            format!("{:.2} %", 100.0 * alarms / f64::from(RAMPS))
        });
        println!("| {name} | {} |", shares.join(", "));
    }
}

fn faults() {
    let heading = "calls until rolled back: median | 95 of 100 runs";
    println!("| what is wrong | weight | `noisePercent` | {heading} |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    let clean = World::alike(0.0);
    let times = |candidate, tail| World {
        times: Some(([10.0, candidate], tail)),
        ..clean
    };
    let wrong = |wrong, repeats| World {
        wrong,
        repeats,
        ..clean
    };
    let errors = World {
        failing: [0.001, 0.006],
        ..clean
    };
    let beside_noise = World {
        noise: 0.3,
        ..wrong(0.05, 0.05)
    };
    let of = [
        ("errors 0.1 % → 0.6 %", errors, [1.0, 10.0, 50.0].as_slice()),
        ("a wrong answer in 1 of 200", wrong(0.005, 0.0), &[10.0]),
        ("a wrong answer in 1 of 200", wrong(0.005, 0.05), &[10.0]),
        ("a wrong answer in 1 of 200", wrong(0.005, 0.2), &[10.0]),
        ("a wrong answer in 1 of 200", wrong(0.005, 1.0), &[10.0]),
        ("a wrong answer in 1 of 20", wrong(0.05, 0.05), &[10.0]),
        ("the same beside a noisy field", beside_noise, &[10.0]),
        ("a wrong answer always", wrong(1.0, 0.05), &[10.0]),
        ("all calls 20 % slower", times(12.0, 1.0), &[10.0, 50.0]),
        ("all calls 50 % slower", times(15.0, 1.0), &[10.0, 50.0]),
        (
            "1 in 100 takes 20 times as long",
            times(10.0, 20.0),
            &[10.0, 50.0],
        ),
    ];
    for (name, world, weights) in of {
        for weight in weights {
            let repeats = 100.0 * world.repeats;
            eprintln!("{name}, at {weight} % …");
            let [median, most] = quantiles(&world, &[(*weight, MOST_CALLS)], until_rollback);
            println!("| {name} | {weight} % | {repeats} % | {median} | {most} |");
        }
    }
}

fn good() {
    println!("| a good candidate | weight | calls until it may advance: median | 95 of 100 runs |");
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
            eprintln!("{name}, at {weight} % …");
            let [median, most] = quantiles(&world, &[(weight, MOST_CALLS)], until_advance);
            println!("| {name} | {weight} % | {median} | {most} |");
        }
    }
}

/// The median and the 95th of 100, in words.
fn quantiles(
    world: &World,
    steps: &Steps,
    until: fn(&World, &Steps, u64) -> Option<u64>,
) -> [String; 2] {
    let mut calls = runs::each(FAULT_RUNS, |seed| {
        until(world, steps, seed).unwrap_or(u64::MAX)
    });
    calls.sort_unstable();
    [50, 95].map(|percent| match calls[calls.len() * percent / 100] {
        u64::MAX => format!("over {MOST_CALLS}"),
        calls => calls.to_string(),
    })
}
