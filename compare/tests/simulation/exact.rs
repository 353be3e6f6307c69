//! The chance of a false alarm, added up over all that can happen: no run, no chance.

use cutover_compare::PairCell;
use cutover_compare::evidence::{ln_e_no_worse, ln_e_rate_below};

use super::questions::ALPHA;

/// Chances below this are left out.
const NEGLIGIBLE: f64 = 1e-20;

/// Question, setting, and the chance that it ever alarms: of those that use all they may.
pub(crate) fn all() -> Vec<(&'static str, String, f64)> {
    let threshold = -ALPHA.ln();
    let below = [0.001, 0.01, 0.1].map(|rate| {
        let trials = (300.0 / rate) as u64;
        let ever = ever(trials, rate, |n, ones| {
            ln_e_rate_below(n, ones, rate) >= threshold
        });
        let setting = format!("at {} %, {trials} trials", 100.0 * rate);
        ("rate below a bound", setting, ever)
    });
    let margin = 0.01;
    let no_worse = ever(4_000, margin, |compared, only_candidate_failed| {
        let pairs = PairCell {
            compared,
            only_candidate_failed,
            ..PairCell::default()
        };
        ln_e_no_worse(&pairs, margin) >= threshold
    });
    let setting = "0 % and 1 % more, 4000 pairs".to_owned();
    let pairs = ("no worse by a margin (pairs)", setting, no_worse);
    below.into_iter().chain([pairs]).collect()
}

/// The chance that `alarms` holds after any of `trials` trials, each a one with chance `rate`.
/// What alarms with some number of ones has to alarm with fewer too.
fn ever(trials: u64, rate: f64, alarms: impl Fn(u64, u64) -> bool) -> f64 {
    // The chance of each number of ones without an alarm so far.
    let (mut quiet, mut alarmed, mut fewest) = (vec![1.0], 0.0, 0);
    for n in 1..=trials {
        let mut fewer = 0.0;
        for chance in &mut quiet[fewest..] {
            let one = *chance * rate;
            *chance = *chance - one + fewer;
            fewer = one;
        }
        if fewer > NEGLIGIBLE {
            quiet.push(fewer);
        }
        while fewest < quiet.len() && alarms(n, fewest as u64) {
            alarmed += std::mem::take(&mut quiet[fewest]);
            fewest += 1;
        }
    }
    alarmed
}
