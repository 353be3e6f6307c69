//! Does the candidate fail more on the calls that were routed to it? No pairs here: only how many
//! calls each arm answered and failed, at each weight.

use super::capital::Capital;
use super::special::times_ln;

/// How many times as often the candidate may fail, as alternatives to "not more often".
const RATIOS: [f64; 8] = [1.25, 1.5, 2.0, 4.0, 8.0, 16.0, 64.0, 1024.0];
/// Smallest margin that is told from none.
const MIN_MARGIN: f64 = 1e-9;

/// Primary calls at one weight.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Step {
    /// Share of calls that the candidate answers, between 0 and 1.
    pub share: f64,
    /// Calls answered by the candidate.
    pub candidate_calls: f64,
    /// Calls failed by the candidate.
    pub candidate_failures: f64,
    /// Calls answered by the legacy.
    pub legacy_calls: f64,
    /// Calls failed by the legacy.
    pub legacy_failures: f64,
}

impl Step {
    /// The share to test with: a caller with many calls and a sticky key can make the candidate's
    /// real share larger than the weight, and its failures with it. The larger one errs towards
    /// keeping the candidate.
    fn larger_share(&self) -> f64 {
        let calls = self.candidate_calls + self.legacy_calls;
        let observed = if calls > 0.0 {
            self.candidate_calls / calls
        } else {
            0.0
        };
        self.share.max(observed)
    }
}

/// ln e-value against "the candidate fails at most `ratio` times as often". Looks only at
/// failures: which share of them came from the candidate?
#[must_use]
pub fn ln_e_fails_more(steps: &[Step], ratio: f64) -> f64 {
    let bets = RATIOS.iter().map(|factor| {
        let of_step = |step: &Step| {
            let share = step.larger_share();
            if share <= 0.0 || share >= 1.0 {
                return 0.0;
            }
            let theta = |r: f64| share * r / (share * r + 1.0 - share);
            let (null, alternative) = (theta(ratio), theta(ratio * factor));
            times_ln(step.candidate_failures, alternative / null)
                + times_ln(step.legacy_failures, (1.0 - alternative) / (1.0 - null))
        };
        steps.iter().map(of_step).sum()
    });
    Capital::new(bets).ln_e()
}

/// ln e-value against "the candidate's failure rate is higher by at least `margin`".
///
/// For each failure rate of a grid, the e-value of a call is the chance of what it did under that
/// rate in both arms, divided by its chance under the nearest pair of rates that the null
/// hypothesis allows (its reverse information projection; Turner and Grünwald, arXiv 2203.09785).
/// The null is convex, so this is an e-value for all of it.
#[must_use]
pub fn ln_e_fails_no_more(steps: &[Step], margin: f64) -> f64 {
    capital(steps, margin).ln_e()
}

/// The bets of [`ln_e_fails_no_more`].
pub(super) fn capital(steps: &[Step], margin: f64) -> Capital {
    if margin >= 1.0 {
        return Capital::new([f64::INFINITY]);
    }
    let margin = margin.max(MIN_MARGIN);
    let steps: Vec<&Step> = steps
        .iter()
        .filter(|s| s.share > 0.0 && s.share < 1.0)
        .collect();
    // From 1/64 of the margin upwards, doubling, to one half.
    let rates = (6.0 - margin.log2()).ceil() as i32;
    Capital::new((0..rates).map(|j| {
        let rate = (margin / 64.0 * f64::from(j).exp2()).min(0.5);
        let of_step = |step: &&Step| {
            let (candidate, legacy) = nearest_null(rate, step.share, margin);
            let grown = |calls: f64, failures: f64, null: f64| {
                times_ln(failures, rate / null)
                    + times_ln(calls - failures, (1.0 - rate) / (1.0 - null))
            };
            grown(step.candidate_calls, step.candidate_failures, candidate)
                + grown(step.legacy_calls, step.legacy_failures, legacy)
        };
        steps.iter().map(of_step).sum()
    }))
}

/// The pair (candidate's rate, legacy's rate) with a distance of `margin` that is nearest to
/// (`rate`, `rate`): least share * KL + (1 - share) * KL, by bisection of the derivative.
fn nearest_null(rate: f64, share: f64, margin: f64) -> (f64, f64) {
    let slope = |p: f64| (p - rate) / (p * (1.0 - p));
    let (mut low, mut high) = (0.0, rate.min(1.0 - margin));
    for _ in 0..80 {
        if high - low <= 1e-13 * high {
            break;
        }
        let legacy: f64 = f64::midpoint(low, high);
        if share * slope(legacy + margin) + (1.0 - share) * slope(legacy) > 0.0 {
            high = legacy;
        } else {
            low = legacy;
        }
    }
    let legacy = f64::midpoint(low, high);
    (legacy + margin, legacy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(share: f64, candidate: (f64, f64), legacy: (f64, f64)) -> Step {
        Step {
            share,
            candidate_calls: candidate.0,
            candidate_failures: candidate.1,
            legacy_calls: legacy.0,
            legacy_failures: legacy.1,
        }
    }

    #[test]
    fn a_handful_of_failures_at_a_small_weight_is_enough() {
        let bad = [step(0.01, (100.0, 4.0), (9900.0, 0.0))];
        assert!(ln_e_fails_more(&bad, 1.0) > 80f64.ln());
        let same = [step(0.1, (100.0, 10.0), (900.0, 90.0))];
        assert!(ln_e_fails_more(&same, 1.0) < 0.0);
    }

    #[test]
    fn steps_add_up() {
        let step = |share: f64| step(share, (500.0, 5.0), (500.0 / share, 5.0));
        let one = ln_e_fails_more(&[step(0.1)], 1.0);
        assert!(ln_e_fails_more(&[step(0.1), step(0.25)], 1.0) > one);
    }

    #[test]
    fn one_caller_with_many_calls_does_not_look_like_a_worse_candidate() {
        // A sticky caller makes half of the calls at a weight of 1 %, and fails in either arm.
        let sticky = [step(0.01, (5000.0, 500.0), (5000.0, 500.0))];
        assert!(ln_e_fails_more(&sticky, 1.0) < 0.0);
    }

    #[test]
    fn clean_calls_rule_out_the_margin() {
        let clean = |calls: f64| [step(0.5, (calls, 0.0), (calls, 0.0))];
        assert!(ln_e_fails_no_more(&clean(130.0), 0.05) > 20f64.ln());
        assert!(ln_e_fails_no_more(&clean(30.0), 0.05) < 20f64.ln());
        // A service that fails often by itself needs more calls, and gets there too.
        let busy = |calls: f64| [step(0.5, (calls, calls / 10.0), (calls, calls / 10.0))];
        assert!(ln_e_fails_no_more(&busy(4000.0), 0.05) > 20f64.ln());
    }

    #[test]
    fn a_candidate_at_the_margin_is_not_called_fine() {
        for calls in [1e2, 1e3, 1e4, 1e5] {
            let worse = [step(0.5, (calls, calls * 0.06), (calls, calls * 0.01))];
            assert!(ln_e_fails_no_more(&worse, 0.05) < 20f64.ln(), "{calls}");
        }
    }

    #[test]
    fn the_e_value_of_one_call_is_at_most_one_on_average_under_the_null() {
        let (share, margin) = (0.3, 0.1);
        for (candidate, legacy) in [(0.1, 0.0), (0.15, 0.05), (0.4, 0.3), (0.9, 0.2)] {
            let e = |candidate: (f64, f64), legacy: (f64, f64)| {
                ln_e_fails_no_more(&[step(share, candidate, legacy)], margin).exp()
            };
            let none = (0.0, 0.0);
            let of_candidate =
                candidate * e((1.0, 1.0), none) + (1.0 - candidate) * e((1.0, 0.0), none);
            let of_legacy = legacy * e(none, (1.0, 1.0)) + (1.0 - legacy) * e(none, (1.0, 0.0));
            let expected = share * of_candidate + (1.0 - share) * of_legacy;
            assert!(expected <= 1.0 + 1e-9, "{candidate} {legacy}: {expected}");
        }
    }
}
