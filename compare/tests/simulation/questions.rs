//! Each test by itself, with its null hypothesis just true: how often does it ever alarm, when it
//! is looked at after every observation at which its e-value can rise?

use cutover_compare::evidence::{
    FieldNoise, Step, Stratum, ln_e_above, ln_e_fails_more, ln_e_fails_no_more, ln_e_longer,
    ln_e_no_worse, ln_e_rate_below, ln_e_slower, ln_e_two_sided, p_quantile_bounds, real, shift,
};
use cutover_compare::{Histogram, PairCell};

use super::random::Random;
use super::runs;

/// The allowed share of runs with a false alarm.
pub(crate) const ALPHA: f64 = 0.05;
/// Base rates of failures or differences.
const RATES: [f64; 4] = [0.0, 0.001, 0.01, 0.1];
/// Shares of triples in which a field differs by itself.
const NOISES: [f64; 4] = [0.01, 0.1, 0.5, 1.0];
/// Shares of the candidate on its way up, one after another.
const SHARES: [f64; 4] = [0.01, 0.1, 0.25, 0.5];

/// A question with its null hypothesis just true.
pub(crate) struct Question {
    pub(crate) name: &'static str,
    pub(crate) setting: &'static str,
    /// How often either arm fails, or whatever it is that is asked about.
    pub(crate) rate: Option<f64>,
    run: Box<dyn Fn(&mut Random) -> bool + Sync>,
}

impl Question {
    /// The share of so many runs in which it ever alarmed.
    pub(crate) fn alarms(&self, runs: u32) -> f64 {
        let alarms = runs::each(runs, |seed| (self.run)(&mut Random::new(seed)));
        alarms.iter().filter(|alarmed| **alarmed).count() as f64 / f64::from(runs)
    }
}

/// The contrast: the share of runs in which a z-test at the same level, made for one look, ever
/// rejects a fair coin that is looked at after each of 2,000 tosses.
pub(crate) fn naive(runs: u32) -> f64 {
    let run = |random: &mut Random| {
        let mut ones = 0.0;
        (1..=2000u32).map(f64::from).any(|n| {
            ones += f64::from(u8::from(random.one(0.5)));
            n >= 10.0 && ((ones - n / 2.0) / (n / 4.0).sqrt()).abs() >= 1.959_964
        })
    };
    let rejects = runs::each(runs, |seed| run(&mut Random::new(seed)));
    rejects.iter().filter(|rejected| **rejected).count() as f64 / f64::from(runs)
}

/// Every question, those of a name one after another.
pub(crate) fn all() -> Vec<Question> {
    let (margin, threshold) = (0.01, -ALPHA.ln());
    let above = move |random: &mut Random, rate| {
        let mut n = 0;
        (1..=300).any(|ones| {
            n += random.wait(rate);
            ln_e_above(n, ones, rate) >= threshold
        })
    };
    let below = move |random: &mut Random, rate| {
        let mut n = 0;
        (0..300).any(|ones| {
            n += random.wait(rate);
            // Highest just before the next one.
            ln_e_rate_below(n - 1, ones, rate) >= threshold
        })
    };
    let paired = move |random: &mut Random, rate| pairs(random, rate, margin, threshold);
    let by_margin = move |random: &mut Random, rate| {
        // It can be higher only after calls that did not fail.
        let grows = |steps: &[Step], failed: bool| {
            !failed && ln_e_fails_no_more(steps, margin) >= threshold
        };
        routed(random, rate, rate + margin, 1_000, &grows)
    };
    let more = move |random: &mut Random, rate| {
        let grows = |steps: &[Step], _| ln_e_fails_more(steps, 1.0) >= threshold;
        routed(random, rate, rate, 5_000, &grows)
    };
    let some = &RATES[1..];
    let all = [
        once("fair coin, two-sided", "2,000 tosses", coin),
        once(
            "which arm failed",
            "1,000 pairs in which one did",
            only_one_failed,
        ),
        at("rate above a bound", "300 ones", some, above),
        at("rate below a bound", "300 ones", some, below),
        at("no worse by 1 %, pairs", "4,000 pairs", &RATES, paired),
        at(
            "no worse by 1 %, clients' calls",
            "4 weights of 1,000",
            &RATES,
            by_margin,
        ),
        at(
            "fails more, clients' calls",
            "4 weights of 5,000",
            &RATES,
            more,
        ),
        at(
            "differs by more than noise",
            "10 fields, 300 triples",
            &NOISES,
            noise,
        ),
        once("slower in a pair", "2,000 pairs", slower),
        once("longer than a duration", "2 weights of 5,000 calls", longer),
        once("bounds of the 99th percentile", "4,000 calls", percentile),
        once(
            "whole distributions",
            "4,000 calls of each arm",
            distributions,
        ),
    ];
    all.into_iter().flatten().collect()
}

fn once(
    name: &'static str,
    setting: &'static str,
    run: impl Fn(&mut Random) -> bool + Sync + 'static,
) -> Vec<Question> {
    let (run, rate) = (Box::new(run), None);
    vec![Question {
        name,
        setting,
        rate,
        run,
    }]
}

/// One question for each rate.
fn at(
    name: &'static str,
    setting: &'static str,
    rates: &[f64],
    run: impl Fn(&mut Random, f64) -> bool + Copy + Sync + 'static,
) -> Vec<Question> {
    let of_rate = |rate: &f64| {
        let rate = *rate;
        Question {
            name,
            setting,
            rate: Some(rate),
            run: Box::new(move |random: &mut Random| run(random, rate)),
        }
    };
    rates.iter().map(of_rate).collect()
}

/// Tosses of a fair coin, looked at after each.
fn coin(random: &mut Random) -> bool {
    let mut ones = 0;
    (1..=2000).any(|n| {
        ones += u64::from(random.one(0.5));
        ln_e_two_sided(n, ones, 0.5) >= -ALPHA.ln()
    })
}

fn only_one_failed(random: &mut Random) -> bool {
    let mut ones = 0;
    (1..=1000).any(|n| {
        let one = random.one(0.5);
        ones += u64::from(one);
        one && ln_e_above(n, ones, 0.5) >= -ALPHA.ln()
    })
}

fn slower(random: &mut Random) -> bool {
    let mut pairs = PairCell::default();
    (0..2000).any(|_| {
        let slower = random.one(0.5);
        pairs.candidate_slower += u64::from(slower);
        pairs.legacy_slower += u64::from(!slower);
        slower && ln_e_slower(&pairs) >= -ALPHA.ln()
    })
}

/// Pairs in which the arms fail independently, the candidate by `margin` more often.
fn pairs(random: &mut Random, rate: f64, margin: f64, threshold: f64) -> bool {
    let (worse, better) = ((rate + margin) * (1.0 - rate), rate * (1.0 - rate - margin));
    let mut pairs = PairCell::default();
    loop {
        let wait = random.wait(worse + better);
        if pairs.compared + wait > 4_000 {
            pairs.compared = 4_000;
            return ln_e_no_worse(&pairs, margin) >= threshold;
        }
        pairs.compared += wait - 1;
        if ln_e_no_worse(&pairs, margin) >= threshold {
            return true;
        }
        pairs.compared += 1;
        if random.one(worse / (worse + better)) {
            pairs.only_candidate_failed += 1;
        } else {
            pairs.only_legacy_failed += 1;
            if ln_e_no_worse(&pairs, margin) >= threshold {
                return true;
            }
        }
    }
}

/// What to look at, and whether a call has just failed.
type Look<'a> = &'a dyn Fn(&[Step], bool) -> bool;

/// Calls at rising weights; `alarms` is asked before and after failures.
fn routed(random: &mut Random, legacy: f64, candidate: f64, calls: u64, alarms: Look<'_>) -> bool {
    let mut steps: Vec<Step> = Vec::new();
    for share in SHARES {
        steps.push(Step {
            share,
            ..Step::default()
        });
        let last = steps.len() - 1;
        let failing = share * candidate + (1.0 - share) * legacy;
        let (mut left, mut failures) = (calls, 0u32);
        loop {
            let wait = random.wait(failing);
            let clean = wait.min(left + 1) - 1;
            let of_candidate = random.successes(clean, share) as f64;
            steps[last].candidate_calls += of_candidate;
            steps[last].legacy_calls += clean as f64 - of_candidate;
            // Of many failures each tells little: then every eighth is looked at.
            let looks = failures < 16 || failures.is_multiple_of(8) || wait > left;
            failures += 1;
            if looks && alarms(&steps, false) {
                return true;
            }
            if wait > left {
                break;
            }
            left -= wait;
            let step = &mut steps[last];
            if random.one(share * candidate / failing) {
                step.candidate_calls += 1.0;
                step.candidate_failures += 1.0;
            } else {
                step.legacy_calls += 1.0;
                step.legacy_failures += 1.0;
            }
            if looks && alarms(&steps, true) {
                return true;
            }
        }
    }
    false
}

/// Fields that differ by themselves, each in the other arm as readily as in a repeat.
fn noise(random: &mut Random, rate: f64) -> bool {
    let mut fields = [FieldNoise::default(); 10];
    (0..300).any(|_| {
        let mut grown = false;
        for field in &mut fields {
            match (random.one(rate), random.one(rate)) {
                (true, true) => field.both += 1,
                (true, false) => {
                    field.only_other += 1;
                    grown = true;
                }
                (false, true) => field.only_repeat += 1,
                (false, false) => {}
            }
        }
        grown && real(&fields, ALPHA).contains(&true)
    })
}

/// Durations of both arms alike; looked at after every 50 calls.
fn longer(random: &mut Random) -> bool {
    let mut strata: Vec<Stratum> = Vec::new();
    // The 99th percentile of a median of 10 ms is 32 ms.
    let bucket = Histogram::bucket_of(std::time::Duration::from_millis(32)) - 1;
    [0.1, 0.5].into_iter().any(|share| {
        strata.push(Stratum {
            share,
            legacy: Histogram::default(),
            candidate: Histogram::default(),
        });
        let last = strata.len() - 1;
        (0..50).any(|_| {
            for _ in 0..100 {
                let to_candidate = random.one(share);
                let stratum = &mut strata[last];
                let histogram = match to_candidate {
                    true => &mut stratum.candidate,
                    false => &mut stratum.legacy,
                };
                histogram.record(duration(random, 0.01));
            }
            ln_e_longer(&strata, bucket, 0) >= -ALPHA.ln()
        })
    })
}

/// Whether either bound is ever on the wrong side; each may be in a share of `ALPHA`, half each.
fn percentile(random: &mut Random) -> bool {
    let truth = 10_000.0 * (0.5f64 * 2.326_347_874).exp();
    let mut histogram = Histogram::default();
    (0..20).any(|_| {
        for _ in 0..200 {
            histogram.record(duration(random, 0.01));
        }
        let (low, high) = p_quantile_bounds(&histogram, 0.99, ALPHA / 2.0);
        low > truth || high.is_some_and(|high| high < truth)
    })
}

fn distributions(random: &mut Random) -> bool {
    let mut arms = [(); 2].map(|()| Histogram::default());
    (0..20).any(|_| {
        for arm in &mut arms {
            for _ in 0..200 {
                arm.record(duration(random, 0.01));
            }
        }
        let [legacy, candidate] = &arms;
        shift(legacy, candidate, ALPHA, 200).is_some_and(|shift| shift.proven())
    })
}

fn duration(random: &mut Random, median: f64) -> std::time::Duration {
    std::time::Duration::from_secs_f64(random.seconds(median))
}
