//! Is a rate below a bound? With little or nothing seen, a prior that lies wholly below the bound
//! proves it a quarter sooner than a uniform one.

use super::capital::Capital;
use super::special::times_ln;

/// How many points the prior has: `p0 * 2^-j` for j from 1.
const GRID: i32 = 7;

/// ln e-value against "ones come with chance at least `p0`", for `s` ones among `n`.
#[must_use]
pub fn ln_e_rate_below(n: u64, s: u64, p0: f64) -> f64 {
    capital(n, s, p0).ln_e()
}

/// How many observations without a single one prove a rate below `p0` at level `alpha`; `None`
/// where no number does.
#[must_use]
pub fn clean_needed(p0: f64, alpha: f64) -> Option<u64> {
    if !(p0 > 0.0 && p0 < 1.0) {
        return None;
    }
    super::gates::least(|n| ln_e_rate_below(n, 0, p0) >= -alpha.ln())
}

/// The bets against "ones come with chance at least `p0`".
pub(super) fn capital(n: u64, s: u64, p0: f64) -> Capital {
    let (zeros, ones) = (n.saturating_sub(s) as f64, s.min(n) as f64);
    Capital::new((1..=GRID).map(|j| {
        let share = f64::from(-j).exp2();
        let zero = (-p0 * share).ln_1p() - (-p0).ln_1p();
        zeros * zero + times_ln(ones, share)
    }))
}

#[cfg(test)]
mod tests {
    use super::super::coin::ln_e_below;
    use super::*;

    #[test]
    fn proves_less_than_one_in_ten_thousand_in_about_33_500() {
        let needed = clean_needed(1e-4, 0.05).unwrap();
        assert!((33_300..33_700).contains(&needed), "{needed}");
    }

    #[test]
    fn a_uniform_prior_needs_about_45_100_and_a_single_look_29_956() {
        let ln_20 = 20f64.ln();
        let uniform = super::super::gates::least(|n| ln_e_below(n, 0, 1e-4) >= ln_20).unwrap();
        assert!((45_000..45_250).contains(&uniform), "{uniform}");
        let once = (0.05f64.ln() / (1.0 - 1e-4f64).ln()).ceil();
        assert!((29_950.0..29_965.0).contains(&once), "{once}");
    }

    #[test]
    fn one_in_a_hundred_takes_335() {
        let needed = clean_needed(0.01, 0.05).unwrap();
        assert!((330..340).contains(&needed), "{needed}");
        assert_eq!(clean_needed(0.0, 0.05), None);
    }

    #[test]
    fn ones_count_against_it() {
        assert!(ln_e_rate_below(400, 0, 0.01) > 20f64.ln());
        assert!(ln_e_rate_below(400, 1, 0.01) < 20f64.ln());
        assert!(ln_e_rate_below(400, 40, 0.01) < 0.0);
    }
}
