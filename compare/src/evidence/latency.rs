//! Is the candidate slower? Bounds on quantiles and on whole distributions that hold at any time.
//! Bucket edges of a histogram are safe: both arms are counted at the same edges.

use super::coin::ln_e_above;
use super::counters::PairCell;
use super::rate::ln_e_rate_below;
use super::routed::{Step, ln_e_fails_more};
use crate::Histogram;

/// Factor of the radius of a distribution's confidence band (Howard and Ramdas, arXiv 1906.09712).
const A: f64 = 0.85;

/// Buckets whose upper edges say something: nothing lies above the last.
const EDGES: usize = Histogram::BUCKETS - 1;

/// Bounds on the quantile `q`, µs: below it, and above it (`None`: unbounded so far). Each is
/// wrong, at any time ever looked at, with a chance of at most `alpha`.
///
/// At the true quantile a value exceeds it with a chance of 1 - q, so the edges at which that
/// chance is rejected bound it; nothing has to be paid for looking at all edges.
#[must_use]
pub fn p_quantile_bounds(histogram: &Histogram, q: f64, alpha: f64) -> (f64, Option<f64>) {
    let high = quantile_above(histogram, q, alpha);
    (
        quantile_low(histogram, q, alpha),
        high.map(Histogram::upper_edge_us),
    )
}

/// The lower of these bounds, µs.
pub(super) fn quantile_low(histogram: &Histogram, q: f64, alpha: f64) -> f64 {
    match quantile_below(histogram, q, alpha) {
        0 => 0.0,
        below => Histogram::upper_edge_us(below - 1),
    }
}

/// How many buckets have upper edges that are certainly below the quantile.
pub(super) fn quantile_below(histogram: &Histogram, q: f64, alpha: f64) -> usize {
    let (n, tail, threshold) = (histogram.count(), 1.0 - q, -alpha.ln());
    first_edge(|bucket| ln_e_above(n, histogram.count_above(bucket), tail) < threshold)
}

/// The first bucket whose upper edge is certainly above the quantile; `None` where none is.
pub(super) fn quantile_above(histogram: &Histogram, q: f64, alpha: f64) -> Option<usize> {
    let (n, tail, threshold) = (histogram.count(), 1.0 - q, -alpha.ln());
    let first =
        first_edge(|bucket| ln_e_rate_below(n, histogram.count_above(bucket), tail) >= threshold);
    (first < EDGES).then_some(first)
}

/// The first bucket for whose upper edge `holds`, where it holds for all later ones; `EDGES` where
/// there is none.
fn first_edge(holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, EDGES);
    while low < high {
        let middle = usize::midpoint(low, high);
        if holds(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// Calls of both arms that are alike in all but the arm: the same role at the same weight.
#[derive(Clone, Debug)]
pub struct Stratum {
    /// The candidate's share of these calls, between 0 and 1.
    pub share: f64,
    /// How long the legacy took.
    pub legacy: Histogram,
    /// How long the candidate took.
    pub candidate: Histogram,
}

/// ln e-value against "in each stratum, the candidate exceeds the edge that is `shift` buckets
/// above `bucket` at most as often as the legacy exceeds `bucket`". A call that exceeds is treated
/// as a call that fails: which share of them came from the candidate?
#[must_use]
pub fn ln_e_longer(strata: &[Stratum], bucket: usize, shift: isize) -> f64 {
    let step = |stratum: &Stratum| {
        let above = |histogram: &Histogram, bucket: Option<usize>| match bucket {
            Some(bucket) => histogram.count_above(bucket) as f64,
            None => histogram.count() as f64,
        };
        Step {
            share: stratum.share,
            candidate_calls: stratum.candidate.count() as f64,
            candidate_failures: above(&stratum.candidate, bucket.checked_add_signed(shift)),
            legacy_calls: stratum.legacy.count() as f64,
            legacy_failures: above(&stratum.legacy, Some(bucket)),
        }
    };
    ln_e_fails_more(&strata.iter().map(step).collect::<Vec<_>>(), 1.0)
}

/// ln e-value against "in a pair, the candidate is the slower one at most every second time".
/// Whatever slows both arms down at the same time cancels out.
#[must_use]
pub fn ln_e_slower(pairs: &PairCell) -> f64 {
    ln_e_above(
        pairs.candidate_slower + pairs.legacy_slower,
        pairs.candidate_slower,
        0.5,
    )
}

/// Where the candidate's distribution lies furthest behind the legacy's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shift {
    /// At this duration, µs…
    pub at_us: f64,
    /// …this share more of the legacy's calls had ended than of the candidate's.
    pub distance: f64,
    /// What the distance has to exceed to be proven.
    pub radius: f64,
}

impl Shift {
    /// Whether the candidate is proven slower at some quantile.
    #[must_use]
    pub fn proven(&self) -> bool {
        self.distance > self.radius
    }
}

/// Compares whole distributions: is the candidate slower at *any* quantile? `None` where either
/// arm has fewer than `min_calls` values, from which on the bounds hold.
#[must_use]
pub fn shift(
    legacy: &Histogram,
    candidate: &Histogram,
    alpha: f64,
    min_calls: u64,
) -> Option<Shift> {
    let min_calls = min_calls.max(1);
    if legacy.count() < min_calls || candidate.count() < min_calls {
        return None;
    }
    let ended = |histogram: &Histogram, bucket: usize| {
        1.0 - histogram.count_above(bucket) as f64 / histogram.count() as f64
    };
    let distance = |bucket: &usize| ended(legacy, *bucket) - ended(candidate, *bucket);
    let worst = (0..Histogram::BUCKETS).max_by(|a, b| distance(a).total_cmp(&distance(b)))?;
    let c = constant(alpha / 2.0);
    Some(Shift {
        at_us: Histogram::upper_edge_us(worst),
        distance: distance(&worst),
        radius: band(legacy.count(), min_calls, c) + band(candidate.count(), min_calls, c),
    })
}

/// Radius of the band around the empirical distribution of `n` values that holds the true one for
/// all n >= `m` at once, with a chance of at least 1 - `alpha`.
#[must_use]
pub fn radius(n: u64, m: u64, alpha: f64) -> f64 {
    band(n, m, constant(alpha))
}

fn band(n: u64, m: u64, c: f64) -> f64 {
    let n = n.max(m) as f64;
    let age = (1.0 + (n / m as f64).ln()).ln();
    A * ((age + c) / n).sqrt()
}

/// The least C for which the band errs with a chance of at most `alpha`: 8.12 at 0.05.
fn constant(alpha: f64) -> f64 {
    let (mut low, mut high) = (1.0, 400.0);
    for _ in 0..40 {
        let middle = f64::midpoint(low, high);
        if error(middle) > alpha {
            low = middle
        } else {
            high = middle
        }
    }
    high
}

/// The chance that a band with this C ever errs: the theorem's bound, at its best eta.
fn error(c: f64) -> f64 {
    let of_eta = |eta: f64| {
        let gamma = (2.0 / eta).sqrt() * (A - (2.0 * (eta - 1.0) / c).sqrt());
        if gamma <= 1.0 {
            return f64::INFINITY;
        }
        let square = gamma * gamma;
        4.0 * (-square * c).exp() * (1.0 + 1.0 / ((square - 1.0) * eta.ln()))
    };
    // It falls and then rises, so the least is found by thirds.
    let (mut low, mut high) = (1.0, 1.2);
    for _ in 0..30 {
        let third = (high - low) / 3.0;
        if of_eta(low + third) <= of_eta(high - third) {
            high -= third;
        } else {
            low += third;
        }
    }
    of_eta(f64::midpoint(low, high))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn histogram(values: impl IntoIterator<Item = u64>) -> Histogram {
        let mut histogram = Histogram::default();
        for us in values {
            histogram.record(Duration::from_micros(us));
        }
        histogram
    }

    #[test]
    fn the_constants_are_those_of_the_theorem() {
        assert!((constant(0.05) - 8.12).abs() < 0.02, "{}", constant(0.05));
        assert!((constant(0.025) - 8.62).abs() < 0.1, "{}", constant(0.025));
    }

    #[test]
    fn bounds_close_in_on_the_quantile() {
        let few = histogram((1..=100).map(|i| i * 10));
        assert_eq!(p_quantile_bounds(&few, 0.99, 0.01).1, None);
        let many = histogram((0..20_000).map(|i| 100 + i % 1000));
        let (low, high) = p_quantile_bounds(&many, 0.99, 0.01);
        assert!(low > 800.0 && low < 1090.0, "{low}");
        assert!(
            high.is_some_and(|high| (1090.0..1300.0).contains(&high)),
            "{high:?}"
        );
    }

    #[test]
    fn one_slow_call_in_a_hundred_is_found() {
        let legacy = histogram((0..2_000).map(|i| 1000 + i % 300));
        let slow = |i: u64| (1000 + i % 300) * if i % 100 == 7 { 20 } else { 1 };
        let tail = histogram((0..2_000).map(slow));
        let strata = |legacy: &Histogram, candidate: &Histogram| {
            [Stratum {
                share: 0.5,
                legacy: legacy.clone(),
                candidate: candidate.clone(),
            }]
        };
        let bucket = Histogram::bucket_of(Duration::from_millis(3));
        assert!(ln_e_longer(&strata(&legacy, &tail), bucket, 8) > 9.0);
        assert!(ln_e_longer(&strata(&tail, &legacy), bucket, 8) < 0.0);
        assert!(ln_e_longer(&strata(&tail, &tail), bucket, 0) < 0.0);
        // Where nothing is that long, there is nothing to tell.
        let bucket = Histogram::bucket_of(Duration::from_secs(3));
        assert_eq!(ln_e_longer(&strata(&legacy, &tail), bucket, 8), 0.0);
    }

    #[test]
    fn pairs_tell_the_slower_arm() {
        let pairs = |candidate_slower, legacy_slower| {
            ln_e_slower(&PairCell {
                candidate_slower,
                legacy_slower,
                ..PairCell::default()
            })
        };
        assert!(pairs(70, 30) > 20f64.ln());
        assert!(pairs(55, 45) < 20f64.ln());
        assert!(pairs(0, 100) < 0.0);
    }

    #[test]
    fn a_shifted_distribution_is_proven_and_an_equal_one_is_not() {
        let legacy = histogram((0..2000).map(|i| 1000 + i % 500));
        let slower = histogram((0..2000).map(|i| 1300 + i % 500));
        assert!(shift(&legacy, &slower, 0.05, 100).unwrap().proven());
        assert!(!shift(&slower, &legacy, 0.05, 100).unwrap().proven());
        assert!(!shift(&legacy, &legacy, 0.05, 100).unwrap().proven());
        assert_eq!(shift(&legacy, &histogram([1, 2]), 0.05, 100), None);
    }
}
