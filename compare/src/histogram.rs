//! A histogram of durations with 256 logarithmic buckets, as `cutover.v1.Histogram` documents it:
//! mergeable by addition, about 9 % relative width.

use std::time::Duration;

/// How many buckets.
const BUCKETS: usize = 256;
/// Buckets for each doubling.
const BUCKETS_PER_DOUBLING: f64 = 8.0;

/// Counts of durations. Bucket 0 holds durations below 1 µs; bucket i > 0 holds durations from
/// 2^((i-1)/8) µs up to 2^(i/8) µs; the last bucket also what is longer.
#[derive(Clone, PartialEq, Eq)]
pub struct Histogram {
    counts: Box<[u64; BUCKETS]>,
    count: u64,
    sum_us: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram {
            counts: Box::new([0; BUCKETS]),
            count: 0,
            sum_us: 0,
        }
    }
}

impl std::fmt::Debug for Histogram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.buckets()).finish()
    }
}

impl Histogram {
    /// How many buckets there are.
    pub const BUCKETS: usize = BUCKETS;

    /// Index of the bucket that holds a duration.
    #[must_use]
    pub fn bucket_of(duration: Duration) -> usize {
        let us = duration.as_secs_f64() * 1e6;
        if us < 1.0 {
            return 0;
        }
        let index = (us.log2() * BUCKETS_PER_DOUBLING).floor() as usize + 1;
        index.min(BUCKETS - 1)
    }

    /// Upper edge of a bucket, µs: what the bucket holds is below it, but for the last.
    #[must_use]
    pub fn upper_edge_us(bucket: usize) -> f64 {
        (bucket as f64 / BUCKETS_PER_DOUBLING).exp2()
    }

    /// Lower edge of a bucket, µs: 0 for bucket 0.
    #[must_use]
    pub fn lower_edge_us(bucket: usize) -> f64 {
        if bucket == 0 {
            0.0
        } else {
            Self::upper_edge_us(bucket - 1)
        }
    }

    /// Counts one duration.
    pub fn record(&mut self, duration: Duration) {
        self.counts[Self::bucket_of(duration)] += 1;
        self.count += 1;
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.sum_us = self.sum_us.saturating_add(us);
    }

    /// Adds what another has counted.
    pub fn merge(&mut self, other: &Histogram) {
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts.iter()) {
            *mine = mine.saturating_add(*theirs);
        }
        self.count = self.count.saturating_add(other.count);
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
    }

    /// From bucket indices with counts, and the sum in µs. Indices beyond the last count in the
    /// last.
    #[must_use]
    pub fn from_buckets(buckets: impl IntoIterator<Item = (u32, u64)>, sum_us: u64) -> Histogram {
        let mut histogram = Histogram {
            sum_us,
            ..Histogram::default()
        };
        for (index, count) in buckets {
            let index = usize::try_from(index).unwrap_or(BUCKETS).min(BUCKETS - 1);
            histogram.counts[index] = histogram.counts[index].saturating_add(count);
            histogram.count = histogram.count.saturating_add(count);
        }
        histogram
    }

    /// As if all had been counted so many times, each bucket to the nearest number.
    #[must_use]
    pub(crate) fn times(&self, times: f64) -> Histogram {
        let grown = |(bucket, n): (u32, u64)| (bucket, (n as f64 * times).round() as u64);
        Histogram::from_buckets(self.buckets().map(grown), self.sum_us)
    }

    /// The buckets that aren't empty, by rising index.
    pub fn buckets(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        (0u32..)
            .zip(self.counts.iter().copied())
            .filter(|(_, count)| *count > 0)
    }

    /// How many durations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Sum of all durations, µs.
    #[must_use]
    pub fn sum_us(&self) -> u64 {
        self.sum_us
    }

    /// How many durations lie in buckets above this one.
    #[must_use]
    pub fn count_above(&self, bucket: usize) -> u64 {
        self.counts.iter().skip(bucket + 1).sum()
    }

    /// The duration that a share `q` (0 to 1) of all lies below, interpolated within its bucket;
    /// zero where nothing was counted. Wrong by at most the bucket's width, 9 %.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Duration {
        if self.count == 0 {
            return Duration::ZERO;
        }
        let rank = q.clamp(0.0, 1.0) * self.count as f64;
        let mut below = 0.0;
        for (bucket, count) in self.buckets() {
            let (bucket, count) = (bucket as usize, count as f64);
            if below + count >= rank {
                let (low, high) = (Self::lower_edge_us(bucket), Self::upper_edge_us(bucket));
                let share = ((rank - below) / count).clamp(0.0, 1.0);
                return Duration::from_secs_f64((low + (high - low) * share) / 1e6);
            }
            below += count;
        }
        Duration::from_secs_f64(Self::upper_edge_us(BUCKETS - 1) / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn buckets_are_as_documented() {
        let us = Duration::from_micros;
        assert_eq!(Histogram::bucket_of(Duration::from_nanos(999)), 0);
        assert_eq!(Histogram::bucket_of(us(1)), 1);
        assert_eq!(Histogram::bucket_of(us(2)), 9);
        assert_eq!(Histogram::bucket_of(us(1024)), 81);
        assert_eq!(Histogram::bucket_of(us(1023)), 80);
        assert_eq!(Histogram::bucket_of(Duration::MAX), 255);
        for bucket in 1..255 {
            let middle =
                Histogram::lower_edge_us(bucket).midpoint(Histogram::upper_edge_us(bucket));
            assert_eq!(
                Histogram::bucket_of(Duration::from_secs_f64(middle / 1e6)),
                bucket.max(1)
            );
        }
    }

    #[test]
    fn an_empty_histogram_has_no_quantile_but_zero() {
        assert_eq!(Histogram::default().quantile(0.99), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn a_quantile_is_within_a_buckets_width(
            mut values in proptest::collection::vec(1_000u64..10_000_000_000, 1..400),
            q in 0.0f64..=1.0,
        ) {
            let mut histogram = Histogram::default();
            for value in &values {
                histogram.record(Duration::from_nanos(*value));
            }
            values.sort_unstable();
            let rank = ((q * values.len() as f64).ceil() as usize).clamp(1, values.len());
            let exact = values[rank - 1] as f64;
            let got = histogram.quantile(q).as_nanos() as f64;
            prop_assert!((got / exact - 1.0).abs() < 0.0906, "{got} against {exact}");
        }

        #[test]
        fn merging_is_as_if_one_had_counted_all(
            values in proptest::collection::vec((any::<bool>(), 0u64..1 << 40), 0..200),
        ) {
            let (mut one, mut parts) = (Histogram::default(), [(); 2].map(|()| Histogram::default()));
            for (part, value) in values {
                one.record(Duration::from_nanos(value));
                parts[usize::from(part)].record(Duration::from_nanos(value));
            }
            let [mut merged, other] = parts;
            merged.merge(&other);
            prop_assert_eq!(&merged, &one);
            prop_assert_eq!(Histogram::from_buckets(one.buckets(), one.sum_us()), one);
        }
    }
}
