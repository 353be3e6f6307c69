//! The one primitive: is a coin that shows `s` ones in `n` tosses as fair as claimed?
//!
//! A Beta-binomial e-process with a uniform prior, restricted to one side of the claim where the
//! question has a side (Howard, Ramdas et al., arXiv 1810.08240; Lindon and Malek, arXiv
//! 2011.03567).

use super::special::{ln_beta, ln_beta_lower, ln_beta_upper, times_ln};

/// ln e-value against "ones come with chance at most `theta0`".
#[must_use]
pub fn ln_e_above(n: u64, s: u64, theta0: f64) -> f64 {
    let (s, rest) = split(n, s);
    let inside = |a: f64, b: f64| ln_beta(a, b) + ln_beta_upper(theta0, a, b);
    inside(1.0 + s, 1.0 + rest) - inside(1.0, 1.0) - ln_null(s, rest, theta0)
}

/// ln e-value against "ones come with chance at least `theta0`".
#[must_use]
pub fn ln_e_below(n: u64, s: u64, theta0: f64) -> f64 {
    let (s, rest) = split(n, s);
    let inside = |a: f64, b: f64| ln_beta(a, b) + ln_beta_lower(theta0, a, b);
    inside(1.0 + s, 1.0 + rest) - inside(1.0, 1.0) - ln_null(s, rest, theta0)
}

/// ln e-value against "ones come with chance exactly `theta0`".
#[must_use]
pub fn ln_e_two_sided(n: u64, s: u64, theta0: f64) -> f64 {
    let (s, rest) = split(n, s);
    ln_beta(1.0 + s, 1.0 + rest) - ln_beta(1.0, 1.0) - ln_null(s, rest, theta0)
}

/// The confidence sequence: every chance that the tosses so far do not reject, as its two ends.
/// Covers the true chance at all times together with a chance of at least 1 - `alpha`.
#[must_use]
pub fn interval(n: u64, s: u64, alpha: f64) -> (f64, f64) {
    if n == 0 {
        return (0.0, 1.0);
    }
    let inside = |theta: f64| ln_e_two_sided(n, s, theta) < -alpha.ln();
    let middle = s as f64 / n as f64;
    (edge(middle, 0.0, inside), edge(middle, 1.0, inside))
}

/// Where `inside` ends between a point in it and a bound.
fn edge(from: f64, to: f64, inside: impl Fn(f64) -> bool) -> f64 {
    let (mut near, mut far) = (from, to);
    for _ in 0..60 {
        let middle = near.midpoint(far);
        if inside(middle) {
            near = middle
        } else {
            far = middle
        }
    }
    far
}

fn split(n: u64, s: u64) -> (f64, f64) {
    (s.min(n) as f64, n.saturating_sub(s) as f64)
}

/// ln of the chance of just these tosses under `theta0`.
fn ln_null(s: f64, rest: f64, theta0: f64) -> f64 {
    times_ln(s, theta0) + times_ln(rest, 1.0 - theta0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LN_20: f64 = 2.995_732_273_553_991;

    #[test]
    fn seven_of_seven_reject_at_five_percent_and_six_do_not() {
        assert!(ln_e_above(7, 7, 0.5) >= LN_20);
        assert!(ln_e_above(6, 6, 0.5) < LN_20);
        assert!(ln_e_above(7, 0, 0.5) < 0.0);
        assert_eq!(ln_e_below(7, 0, 0.5), ln_e_above(7, 7, 0.5));
    }

    #[test]
    fn the_interval_covers_the_truth_and_narrows() {
        let (low, high) = interval(1000, 100, 0.05);
        assert!(low < 0.1 && high > 0.1 && high - low < 0.08, "{low} {high}");
        assert_eq!(interval(0, 0, 0.05), (0.0, 1.0));
        let (low, high) = interval(50, 0, 0.05);
        assert!(low < 1e-9 && (0.05..0.2).contains(&high), "{low} {high}");
    }

    #[test]
    fn stays_finite_at_a_billion() {
        assert!(ln_e_above(1_000_000_000, 500_100_000, 0.5).is_finite());
        assert!(ln_e_above(1_000_000_000, 0, 0.5).is_finite());
        assert!(ln_e_above(1_000_000_000, 1_000_000_000, 0.01) > 1e9);
    }
}
