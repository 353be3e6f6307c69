//! Is the candidate no worse by more than a margin? Bets on pairs.
//!
//! For a pair, D = (candidate failed - legacy failed + 1) / 2 is 0, 1/2 or 1. The null hypothesis
//! is `E[D] >= (1 + margin) / 2`. A gambler who stakes a fixed share against it can't expect to win
//! while it holds (Waudby-Smith and Ramdas, arXiv 2010.09686). The mean capital over a fixed grid
//! of stakes is an e-process that depends on the counts of the three outcomes only, so it merges.

use super::capital::Capital;
use super::counters::PairCell;
use super::special::times_ln;

/// How many stakes: 1 - 2^-j of all that can be staked, for j from 1.
const STAKES: i32 = 7;

/// ln e-value against "the candidate's failure rate is higher by at least `margin`".
#[must_use]
pub fn ln_e_no_worse(pairs: &PairCell, margin: f64) -> f64 {
    capital(pairs, margin).ln_e()
}

/// The bets against "the candidate's failure rate is higher by at least `margin`".
pub(super) fn capital(pairs: &PairCell, margin: f64) -> Capital {
    if margin >= 1.0 {
        return Capital::new([f64::INFINITY]);
    }
    let (worse, better) = (pairs.only_candidate_failed, pairs.only_legacy_failed);
    let alike = pairs.compared.saturating_sub(worse + better);
    let null_mean = f64::midpoint(1.0, margin);
    let largest = 1.0 / (1.0 - null_mean);
    Capital::new((1..=STAKES).map(|j| {
        let stake = largest * (1.0 - f64::from(-j).exp2());
        let grown =
            |count: u64, outcome: f64| times_ln(count as f64, 1.0 + stake * (null_mean - outcome));
        grown(alike, 0.5) + grown(worse, 1.0) + grown(better, 0.0)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(compared: u64, only_candidate_failed: u64, only_legacy_failed: u64) -> PairCell {
        PairCell {
            compared,
            only_candidate_failed,
            only_legacy_failed,
            ..PairCell::default()
        }
    }

    #[test]
    fn a_few_dozen_clean_pairs_rule_out_five_percent() {
        let ln_20 = 20f64.ln();
        assert!(ln_e_no_worse(&pairs(66, 0, 0), 0.05) >= ln_20);
        assert!(ln_e_no_worse(&pairs(60, 0, 0), 0.05) < ln_20);
        assert!(ln_e_no_worse(&pairs(200, 1, 0), 0.05) >= ln_20);
    }

    #[test]
    fn a_candidate_at_the_margin_is_not_called_fine() {
        // 5 of 100, 50 of 1,000, …: just as bad as the null hypothesis allows.
        for scale in [1, 10, 100, 1000] {
            assert!(
                ln_e_no_worse(&pairs(100 * scale, 5 * scale, 0), 0.05) < 20f64.ln(),
                "{scale}"
            );
        }
    }

    #[test]
    fn the_legacys_own_failures_speak_for_the_candidate() {
        assert!(ln_e_no_worse(&pairs(50, 0, 10), 0.05) > ln_e_no_worse(&pairs(50, 0, 0), 0.05));
    }

    #[test]
    fn the_capital_is_fair_at_the_null() {
        // E over D of exp(ln_e) for one pair, at a mean of exactly (1 + margin) / 2.
        let margin = 0.2;
        let e = |alike: u64, worse: u64, better: u64| {
            ln_e_no_worse(&pairs(alike + worse + better, worse, better), margin).exp()
        };
        let expected = 0.7 * e(1, 0, 0) + 0.25 * e(0, 1, 0) + 0.05 * e(0, 0, 1);
        assert!((expected - 1.0).abs() < 1e-12, "{expected}");
    }
}
