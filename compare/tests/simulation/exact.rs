//! The chance of a false alarm, added up over all that can happen: no run, no chance.

use cutover_compare::PairCell;
use cutover_compare::evidence::{ln_e_no_worse, ln_e_rate_below};

use super::questions::ALPHA;

/// Chances below this are left out.
const NEGLIGIBLE: f64 = 1e-20;

/// Of the questions that use all they may: name, setting, rate, and the chance of an alarm.
pub(crate) fn all() -> Vec<(&'static str, &'static str, f64, f64)> {
    let threshold = -ALPHA.ln();
    let below = |rate: f64| {
        let alarms = |n, ones| ln_e_rate_below(n, ones, rate) >= threshold;
        let chance = ever((300.0 / rate) as u64, rate, alarms);
        (
            "rate below a bound, exactly",
            "about 300 ones",
            rate,
            chance,
        )
    };
    let margin = 0.01;
    let no_worse = ever(4_000, margin, |compared, only_candidate_failed| {
        let pairs = PairCell {
            compared,
            only_candidate_failed,
            ..PairCell::default()
        };
        ln_e_no_worse(&pairs, margin) >= threshold
    });
    let pairs = (
        "no worse by 1 %, pairs, exactly",
        "4,000 pairs",
        0.0,
        no_worse,
    );
    [0.001, 0.01, 0.1]
        .map(below)
        .into_iter()
        .chain([pairs])
        .collect()
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
