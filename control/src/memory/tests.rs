//! Counting by hand, and thousands of runs with fixed seeds: what is no leak raises an alarm more
//! seldom than is allowed however often one looks, and leaks are found.

use cutover_compare::evidence::ln_e_grows;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

const MIB: u64 = 1 << 20;
/// What a guard may err by default: a seventh of half of 5 %.
const ALPHA: f64 = 0.05 / 2.0 / 7.0;
const RUNS: u64 = 2_000;

fn footprint(bytes: u64, heard: Duration) -> Footprint {
    Footprint {
        bytes,
        processes: BTreeSet::from(["one".to_owned()]),
        heard: Some(heard),
    }
}

/// The shortest spells, and those that grew, after 30 in which both arms had so much memory.
fn counted(bytes: impl Fn(u64) -> (u64, u64)) -> (u64, u64) {
    let mut memory = Memory::default();
    for spell in 0..=30 {
        let (legacy, candidate) = bytes(spell);
        let now = Duration::from_secs(5 * spell);
        let arms = [legacy, candidate].map(|bytes| footprint(bytes, now));
        memory.look(arms, 1_000 * spell, now);
    }
    let count = memory.cell().spells[0];
    (count.spells, count.grew)
}

#[test]
fn a_leak_grows_in_every_spell() {
    assert_eq!(counted(|n| (50 * MIB, 20 * MIB + n * 2 * MIB)), (28, 28));
}

#[test]
fn what_is_no_leak_grows_in_few() {
    let filling_up = |n: u64| (50 * MIB, 100 * MIB - ((80 * MIB) >> n));
    let saw = |n: u64| (50 * MIB, 50 * MIB + n % 7 * MIB);
    let still = |_| (50 * MIB, 20 * MIB);
    let both = |n: u64| (50 * MIB + n * 2 * MIB, 50 * MIB + n * 2 * MIB);
    for (_, grew) in [
        counted(filling_up),
        counted(saw),
        counted(still),
        counted(both),
    ] {
        assert!(grew <= 6, "{grew}");
    }
}

#[test]
fn a_spell_of_more_calls_may_rise_by_more_before_others_seem_slow() {
    let mut memory = Memory::default();
    let (mut calls, mut now) = (0, Duration::ZERO);
    for spell in 0..=12 {
        // Every third spell is four times as long, as where readings come late.
        calls += if spell % 3 == 0 { 4_000 } else { 1_000 };
        now += Duration::from_secs(5);
        let candidate = 20 * MIB + calls * 2_048;
        memory.look(
            [0, candidate].map(|bytes| footprint(bytes, now)),
            calls,
            now,
        );
    }
    assert_eq!(memory.cell().spells[0].grew, 10);
}

#[test]
fn waits_for_calls_and_for_news_of_both_arms_and_begins_anew_with_other_processes() {
    let mut memory = Memory::default();
    let mut look = |process: &str, mib: u64, calls, at_s: u64, heard_s: [u64; 2]| {
        let arms = [0, 1].map(|arm: usize| Footprint {
            bytes: [50, mib][arm] * MIB,
            processes: BTreeSet::from([process.to_owned()]),
            heard: Some(Duration::from_secs(heard_s[arm])),
        });
        memory.look(arms, calls, Duration::from_secs(at_s));
        memory.cell().spells[0].spells
    };
    for spell in 0..=2 {
        look("a", 10 + spell, 1_000 * spell, 5 * spell, [5 * spell; 2]);
    }
    assert_eq!(look("a", 13, 3_000, 15, [15, 9]), 0, "no news");
    assert_eq!(look("a", 13, 3_000, 15, [9, 15]), 0, "nor of the legacy");
    assert_eq!(look("a", 13, 2_100, 15, [15; 2]), 0, "few calls");
    assert_eq!(look("a", 13, 3_000, 15, [15; 2]), 1);
    assert_eq!(look("b", 90, 9_000, 20, [20; 2]), 1, "another process");
    assert_eq!(look("b", 95, 19_000, 25, [25; 2]), 1, "warms up again");
}

#[test]
fn what_was_saved_goes_on_where_it_stood() {
    let mut memory = Memory::default();
    let mut at = 0;
    let mut spells = |memory: &mut Memory, more: u64| {
        for _ in 0..more {
            at += 1;
            let now = Duration::from_secs(5 * at);
            let arms = [50 * MIB, 20 * MIB + at * MIB].map(|bytes| footprint(bytes, now));
            memory.look(arms, 1_000 * at, now);
        }
        memory.cell().spells[0]
    };
    let before = spells(&mut memory, 9);
    let saved = memory.take_unsaved().unwrap();
    assert_eq!(memory.take_unsaved(), None, "once");
    assert_eq!((before.spells, before.grew), (6, 6));
    let mut memory = Memory::new(Some(&saved));
    assert_eq!(memory.cell().spells[0], before);
    assert_eq!(memory.cell().candidate_bytes, 29 * MIB);
    // One begins, two warm up.
    assert_eq!(spells(&mut memory, 4).spells, 7);
}

/// The memory of both arms in MiB, call by call.
type Shape = fn(&mut StdRng) -> Box<dyn FnMut(&mut StdRng, f64) -> [f64; 2]>;

/// After how many calls growth is said in a run, looked at every `every` calls.
fn found(shape: Shape, seed: u64, every: u64, calls: u64) -> Option<u64> {
    let rng = &mut StdRng::seed_from_u64(seed);
    let mut at = shape(rng);
    let mut memory = Memory::default();
    let (mut now, mut counted) = (Duration::ZERO, 0);
    (0..=calls / every).map(|look| look * every).find(|calls| {
        now += SHORTEST_TIME;
        let mib = at(rng, *calls as f64);
        let arms = mib.map(|mib| footprint((mib.max(1.0) * MIB as f64) as u64, now));
        memory.look(arms, *calls, now);
        let spells = memory.cell().spells;
        let news = spells.iter().map(|count| count.spells).sum();
        let may_say = spells.iter().any(|count| count.grew * 2 > count.spells);
        std::mem::replace(&mut counted, news) != news
            && may_say
            && ln_e_grows(&spells) >= -ALPHA.ln()
    })
}

/// Looks for alarms after every shortest spell.
fn alarms_are_rare(what: &str, shape: Shape) {
    let alarms = (0..RUNS).filter(|seed| found(shape, *seed, SHORTEST_SPELL, 30_000).is_some());
    let share = alarms.count() as f64 / RUNS as f64;
    assert!(share <= ALPHA, "{what}: {share}");
}

/// In between two values.
fn any(rng: &mut StdRng, from: f64, to: f64) -> f64 {
    rng.random_range(from..to)
}

#[test]
fn memory_that_stands_still_with_noise_or_as_a_saw_is_no_leak() {
    alarms_are_rare("still", |rng| {
        let noise = any(rng, 0.01, 20.0);
        Box::new(move |rng, _| [100.0 + any(rng, 0.0, noise), 50.0 + any(rng, 0.0, noise)])
    });
    // A collector gives back what has piled up; how much differs from time to time.
    alarms_are_rare("saw", |rng| {
        let (high, period) = (any(rng, 1.0, 60.0), any(rng, 300.0, 20_000.0));
        let phase = any(rng, 0.0, period);
        Box::new(move |rng, calls| {
            let saw = (calls + phase) % period / period * high;
            [100.0, 50.0 + saw + any(rng, 0.0, high / 10.0)]
        })
    });
}

#[test]
fn memory_that_fills_up_or_wanders_is_no_leak() {
    alarms_are_rare("fills up", |rng| {
        let (size, pace) = (any(rng, 1.0, 300.0), any(rng, 100.0, 4_000.0));
        let noise = any(rng, 0.01, 1.0);
        Box::new(move |rng, calls| {
            let full = size * (1.0 - (-calls / pace).exp());
            [100.0, 30.0 + full + any(rng, 0.0, noise)]
        })
    });
    alarms_are_rare("ever slower", |rng| {
        let (size, noise) = (any(rng, 1.0, 30.0), any(rng, 0.01, 1.0));
        Box::new(move |rng, calls| {
            let fragments = size * (1.0 + calls / 500.0).ln();
            [100.0, 30.0 + fragments + any(rng, 0.0, noise)]
        })
    });
    // The edge of what may be: every step goes up as readily as down.
    alarms_are_rare("wanders", |rng| {
        let (step, mut mib) = (any(rng, 0.1, 3.0), 1_000.0);
        Box::new(move |rng, _| {
            mib += if rng.random() { step } else { -step };
            [100.0, mib]
        })
    });
}

#[test]
fn memory_that_grows_in_both_arms_alike_is_no_leak() {
    // For instance with the data that both hold.
    alarms_are_rare("both", |rng| {
        let (each, noise) = (any(rng, 1e-4, 1e-2), any(rng, 0.1, 3.0));
        Box::new(move |rng, calls| [0; 2].map(|_| 100.0 + calls * each + any(rng, 0.0, noise)))
    });
    alarms_are_rare("the legacy more", |rng| {
        let each = any(rng, 1e-4, 1e-2);
        Box::new(move |rng, calls| {
            let faster = 100.0 + calls * each * 1.5 + any(rng, 0.0, 0.2);
            [faster, 100.0 + calls * each + any(rng, 0.0, 0.2)]
        })
    });
}

/// The most calls until growth is said in 50 runs.
fn worst(shape: Shape, every: u64, calls: u64) -> u64 {
    let runs = (0..50).map(|seed| found(shape, seed, every, calls));
    runs.map(|found| found.unwrap_or(u64::MAX)).max().unwrap()
}

#[test]
fn leaks_are_found_quick_ones_soon_and_slow_ones_in_the_end() {
    // 3.5 KiB per call, in noise of half a spell's rise.
    let quick: Shape =
        |_| Box::new(|rng, calls| [200.0, 60.0 + calls * 3.5 / 1024.0 + any(rng, 0.0, 0.8)]);
    assert!(worst(quick, 500, 20_000) <= 15_000);
    // 200 bytes per call: nothing within a short spell.
    let slow: Shape = |_| Box::new(|rng, calls| [200.0, 60.0 + calls * 2e-4 + any(rng, 0.0, 0.3)]);
    assert!(worst(slow, 500, 100_000) <= 100_000);
    // Under a saw ten times as high as a short spell's rise.
    let hidden: Shape = |_| {
        Box::new(|rng, calls| {
            let saw = calls % 1_700.0 / 1_700.0 * 20.0;
            [200.0, 60.0 + calls * 4e-3 + saw + any(rng, 0.0, 0.5)]
        })
    };
    assert!(worst(hidden, 500, 200_000) <= 200_000);
}
