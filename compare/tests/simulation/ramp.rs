//! A whole ramp: calls of both arms, mirrored, with repeats for noise, failures, differences and
//! durations, judged again and again as the control plane does.

use std::time::Duration;

use cutover_compare::evidence::{
    FieldCell, FieldCounts, FieldNoise, MemoryCell, MethodQuestion, Question, assess,
};
use cutover_compare::{MethodEvidence, VerdictKind};
use cutover_manifest::{Arm, Gates, Role, Weight};

use super::random::Random;

/// Calls between two looks; from twice 10,000 on, a hundredth of all so far.
const BATCH: u64 = 100;
/// Calls in a window of recent evidence.
const WINDOW: u64 = 2_000;
/// How the arms behave.
#[derive(Clone, Copy)]
pub(crate) struct World {
    /// Share of calls that the legacy and the candidate fail, independently.
    pub(crate) failing: [f64; 2],
    /// Share of calls in which a field differs from call to call, in either arm.
    pub(crate) noise: f64,
    /// Share of calls that are asked once more for noise; 0: every difference counts.
    pub(crate) repeats: f64,
    /// Share of calls in which the candidate's answer is wrong, always in the same way.
    pub(crate) wrong: f64,
    /// Durations of both arms, ms: their medians, and how many times as long the slowest 1 % of
    /// the candidate's take. `None`: times are not judged.
    pub(crate) times: Option<([f64; 2], f64)>,
}

impl World {
    /// Both arms alike, failing at this rate.
    pub(crate) fn alike(failing: f64) -> World {
        World {
            failing: [failing; 2],
            noise: 0.0,
            repeats: 0.05,
            wrong: 0.0,
            times: None,
        }
    }
}

/// Weights in percent, and for how many calls each is held.
pub(crate) type Steps = [(f64, u64)];

/// A ramp on its way.
pub(crate) const WAY: [(f64, u64); 5] = [
    (0.0, 2_000),
    (1.0, 2_000),
    (10.0, 2_000),
    (50.0, 2_000),
    (100.0, 2_000),
];

/// The calls until the first rollback, if there is one.
pub(crate) fn until_rollback(world: &World, steps: &Steps, seed: u64) -> Option<u64> {
    run(world, steps, seed, |kind| kind == VerdictKind::Rollback)
}

/// The calls until the first advance, if there is one.
pub(crate) fn until_advance(world: &World, steps: &Steps, seed: u64) -> Option<u64> {
    run(world, steps, seed, |kind| kind == VerdictKind::Advance)
}

fn run(world: &World, steps: &Steps, seed: u64, ends: impl Fn(VerdictKind) -> bool) -> Option<u64> {
    let gates = Gates {
        p99_ratio: world.times.map(|_| 1.0),
        ..Gates::default()
    };
    let random = &mut Random::new(seed);
    let mut whole = Counted::default();
    let (mut window, mut calls, mut look) = (1, 0, 0);
    for (percent, held) in steps {
        let weight = Weight::from_percent(*percent).expect("a weight of the simulation");
        let mut recent = Counted::default();
        window += 1;
        for _ in 0..held / BATCH {
            let batch = batch(world, weight, random);
            whole.add(&batch);
            recent.add(&batch);
            calls += BATCH;
            if calls >= look {
                // Of many calls a hundredth more tells little, whatever the pace of looking.
                look = calls + (calls / 100).max(BATCH);
                let question = Question {
                    gates,
                    weight,
                    window,
                    methods: vec![question(world, &whole, &recent)],
                    memory: MemoryCell::default(),
                };
                if ends(assess(&question).verdict.kind) {
                    return Some(calls);
                }
            }
            if calls % WINDOW == 0 {
                recent = Counted::default();
                window += 1;
            }
        }
    }
    None
}

/// What was counted: all, and of each field.
#[derive(Clone, Default)]
struct Counted {
    all: MethodEvidence,
    fields: [FieldCounts; 3],
}

const STATUS: usize = 0;
const NOISY: usize = 1;
const WRONG: usize = 2;

impl Counted {
    fn add(&mut self, other: &Counted) {
        self.all.merge(&other.all);
        for (mine, theirs) in self.fields.iter_mut().zip(&other.fields) {
            mine.pairs += theirs.pairs;
            mine.noise.only_other += theirs.noise.only_other;
            mine.noise.only_repeat += theirs.noise.only_repeat;
            mine.noise.both += theirs.noise.both;
        }
    }
}

fn question(world: &World, whole: &Counted, recent: &Counted) -> MethodQuestion<'static> {
    let fields = whole.fields.iter().zip(&recent.fields);
    MethodQuestion {
        whole: whole.all.clone(),
        recent: recent.all.clone(),
        noise_share: world.repeats,
        fields: fields
            .map(|(whole, recent)| FieldCell {
                path: "field",
                whole: *whole,
                recent: *recent,
            })
            .collect(),
    }
}

/// One batch of calls. A call at which nothing happens costs nothing but its duration.
fn batch(world: &World, weight: Weight, random: &mut Random) -> Counted {
    let mut counted = Counted::default();
    let share = weight.percent() / 100.0;
    let primaries = random.successes(BATCH, share);
    let answered = [BATCH - primaries, primaries];
    for arm in Arm::BOTH {
        let mine = answered[arm.index()];
        counted.all.cell(weight, arm, Role::Primary).calls = mine;
        counted.all.cell(weight, arm, Role::Shadow).calls = BATCH - mine;
    }
    let triples = random.successes(BATCH, world.repeats);
    counted.all.pairs.compared = BATCH;
    counted.all.pairs.triples = triples;
    for _ in 0..triples {
        triple(world, weight, random, &mut counted);
    }
    let [legacy, candidate] = world.failing;
    // Where neither arm fails and no field differs, nothing is to be counted.
    let quiet = (1.0 - legacy) * (1.0 - candidate) * (1.0 - world.noise) * (1.0 - world.wrong);
    let pairs = BATCH - triples;
    let mut at = random.wait(1.0 - quiet);
    while at <= pairs {
        eventful(world, weight, quiet, random, &mut counted);
        at += random.wait(1.0 - quiet);
    }
    if let Some((medians, tail)) = world.times {
        durations(weight, answered, medians, tail, random, &mut counted);
    }
    counted
}

/// A pair in which anything happens: drawn until something does.
fn eventful(world: &World, weight: Weight, quiet: f64, random: &mut Random, counted: &mut Counted) {
    // The first of four chances that comes true, and the others after it by themselves.
    let chances = [world.failing[0], world.failing[1], world.noise, world.wrong];
    let mut happens = [false; 4];
    let (mut rest, mut any) = (1.0 - quiet, false);
    for (happens, chance) in happens.iter_mut().zip(chances) {
        *happens = random.one(if any {
            chance
        } else {
            chance / rest.max(chance)
        });
        any |= *happens;
        rest = 1.0 - (1.0 - rest) / (1.0 - chance).max(1e-12);
    }
    let [legacy, candidate, noisy, wrong] = happens;
    count(weight, [legacy, candidate], [noisy, wrong], random, counted);
}

/// A pair that was asked once more.
fn triple(world: &World, weight: Weight, random: &mut Random, counted: &mut Counted) {
    let failed = world.failing.map(|rate| random.one(rate));
    let (noisy, wrong) = (random.one(world.noise), random.one(world.wrong));
    let primary = count(weight, failed, [noisy, wrong], random, counted);
    let repeat_failed = random.one(world.failing[primary.index()]);
    let repeat_noisy = random.one(world.noise);
    let differs = [
        (
            failed[0] != failed[1],
            repeat_failed != failed[primary.index()],
        ),
        (noisy, repeat_noisy),
        (wrong, false),
    ];
    for (field, (other, repeat)) in counted.fields.iter_mut().zip(differs) {
        let FieldNoise {
            only_other,
            only_repeat,
            both,
        } = &mut field.noise;
        match (other, repeat) {
            (true, true) => *both += 1,
            (true, false) => *only_other += 1,
            (false, true) => *only_repeat += 1,
            (false, false) => {}
        }
    }
}

/// Counts a pair; says who was its primary.
fn count(
    weight: Weight,
    failed: [bool; 2],
    [noisy, wrong]: [bool; 2],
    random: &mut Random,
    counted: &mut Counted,
) -> Arm {
    let primary = match random.one(weight.percent() / 100.0) {
        true => Arm::Candidate,
        false => Arm::Legacy,
    };
    for arm in Arm::BOTH {
        let role = match arm == primary {
            true => Role::Primary,
            false => Role::Shadow,
        };
        counted.all.cell(weight, arm, role).failures += u64::from(failed[arm.index()]);
    }
    let [legacy, candidate] = failed;
    let pairs = &mut counted.all.pairs;
    pairs.only_candidate_failed += u64::from(candidate && !legacy);
    pairs.only_legacy_failed += u64::from(legacy && !candidate);
    pairs.mismatched += u64::from(legacy != candidate || noisy || wrong);
    counted.fields[STATUS].pairs += u64::from(legacy != candidate);
    counted.fields[NOISY].pairs += u64::from(noisy);
    counted.fields[WRONG].pairs += u64::from(wrong);
    primary
}

fn durations(
    weight: Weight,
    answered: [u64; 2],
    medians: [f64; 2],
    tail: f64,
    random: &mut Random,
    counted: &mut Counted,
) {
    for arm in Arm::BOTH {
        let mine = answered[arm.index()];
        // A shadow waits: it takes up to twice as long.
        for (role, n) in [(Role::Primary, mine), (Role::Shadow, BATCH - mine)] {
            let cell = counted.all.cell(weight, arm, role);
            for _ in 0..n {
                let mut seconds = random.seconds(medians[arm.index()] / 1e3);
                if arm == Arm::Candidate && tail > 1.0 && random.one(0.01) {
                    seconds *= tail;
                }
                if role == Role::Shadow {
                    seconds *= 1.0 + random.uniform();
                }
                cell.latency.record(Duration::from_secs_f64(seconds));
            }
        }
    }
}
