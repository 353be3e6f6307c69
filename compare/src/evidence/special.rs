//! Logarithms of the gamma, beta and regularised incomplete beta functions, exact enough at counts
//! of billions, where the functions themselves underflow.

/// Steps of the continued fraction after which it is taken as it is. It needs about the square
/// root of its larger argument.
const MAX_STEPS: u32 = 100_000;

/// ln Γ(x) for x > 0: recurrence up to 10, then Stirling's series. Relative error below 1e-13.
pub(super) fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut shift) = (x, 1.0);
    while x < 10.0 {
        shift *= x;
        x += 1.0;
    }
    let r = 1.0 / (x * x);
    let series =
        (1.0 / 12.0 - r * (1.0 / 360.0 - r * (1.0 / 1260.0 - r * (1.0 / 1680.0 - r / 1188.0)))) / x;
    let half_ln_two_pi = 0.5 * std::f64::consts::TAU.ln();
    (x - 0.5) * x.ln() - x + half_ln_two_pi + series - f64::ln(shift)
}

/// ln B(a, b).
pub(super) fn ln_beta(a: f64, b: f64) -> f64 {
    ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b)
}

/// ln of the *upper* regularised incomplete beta function: of the chance that a Beta(a, b)
/// variable exceeds `x`.
pub(super) fn ln_beta_upper(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return f64::NEG_INFINITY;
    }
    if x < (a + 1.0) / (a + b + 2.0) {
        // Far below the mean: the lower part is the small one.
        ln_one_minus_exp(ln_fraction(x, a, b))
    } else {
        ln_fraction(1.0 - x, b, a)
    }
}

/// ln of the *lower* regularised incomplete beta function.
pub(super) fn ln_beta_lower(x: f64, a: f64, b: f64) -> f64 {
    ln_beta_upper(1.0 - x, b, a)
}

/// ln(exp(a) + exp(b) + …) - ln(how many), without overflow; minus infinity for none.
pub(super) fn ln_mean_exp(terms: &[f64]) -> f64 {
    let largest = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !largest.is_finite() {
        return largest;
    }
    let sum: f64 = terms.iter().map(|term| (term - largest).exp()).sum();
    largest + (sum / terms.len() as f64).ln()
}

/// `count * ln(ratio)`, where nothing counted adds nothing even if the ratio is zero.
pub(super) fn times_ln(count: f64, ratio: f64) -> f64 {
    if count == 0.0 {
        0.0
    } else {
        count * ratio.ln()
    }
}

/// ln(1 - exp(y)) for y <= 0.
fn ln_one_minus_exp(y: f64) -> f64 {
    if y > -std::f64::consts::LN_2 {
        (-y.exp_m1()).ln()
    } else {
        (-y.exp()).ln_1p()
    }
}

/// ln I_x(a, b) by its continued fraction (Lentz), which converges fast for x below the mean.
fn ln_fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let keep = |value: f64| if value.abs() < TINY { TINY } else { value };
    let front = a * x.ln() + b * (-x).ln_1p() - ln_beta(a, b) - a.ln();
    let mut c = 1.0;
    let mut d = 1.0 / keep(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for step in 1..=MAX_STEPS {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut change = 1.0;
        for numerator in [even, odd] {
            d = 1.0 / keep(1.0 + numerator * d);
            c = keep(1.0 + numerator / c);
            change = d * c;
            fraction *= change;
        }
        if (change - 1.0).abs() < 1e-14 {
            break;
        }
    }
    front + fraction.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(got: f64, expected: f64) {
        let error = (got - expected).abs() / expected.abs().max(1.0);
        assert!(error < 1e-10, "{got} against {expected}");
    }

    #[test]
    fn gamma_and_beta_at_known_points() {
        check(ln_gamma(1.0), 0.0);
        check(ln_gamma(0.5), std::f64::consts::PI.sqrt().ln());
        check(ln_gamma(11.0), 3_628_800f64.ln());
        check(ln_beta(2.0, 3.0), (1f64 / 12.0).ln());
    }

    #[test]
    fn incomplete_beta_at_known_points() {
        // Beta(1, n): the chance to exceed x is (1 - x)^n.
        check(ln_beta_upper(0.25, 1.0, 7.0), 7.0 * 0.75f64.ln());
        // Beta(n, 1): the chance to stay below x is x^n.
        check(ln_beta_lower(0.25, 9.0, 1.0), 9.0 * 0.25f64.ln());
        check(ln_beta_upper(0.5, 40.0, 40.0), 0.5f64.ln());
        // Beta(2, 3) at 0.4: 1 - 0.5248.
        check(ln_beta_upper(0.4, 2.0, 3.0), 0.4752f64.ln());
        // Exact sums of binomial chances.
        check(ln_beta_upper(0.5, 11.0, 4.0), -0.029_106_023_901_754_194);
        check(ln_beta_upper(0.01, 6.0, 396.0), -0.242_902_130_851_765);
        check(ln_beta_upper(0.3, 500.0, 1500.0), -14.927_780_151_933_751);
        check(ln_beta_upper(0.9, 20.0, 30.0), -40.441_680_863_685_67);
    }

    #[test]
    fn far_tails_do_not_underflow() {
        let tail = ln_beta_upper(0.9, 1.0, 1e6);
        check(tail, 1e6 * 0.1f64.ln());
        assert!(ln_beta_upper(0.6, 5e8, 5e8).is_finite());
        assert_eq!(ln_beta_upper(0.0, 2.0, 2.0), 0.0);
        assert_eq!(ln_beta_upper(1.0, 2.0, 2.0), f64::NEG_INFINITY);
    }
}
