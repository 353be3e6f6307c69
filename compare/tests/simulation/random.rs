//! Chance from a seed, the same everywhere; rare events are reached by one draw, not by as many as
//! there are calls in between.

/// A small generator (SplitMix64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        // Mixed, because neighbouring states would give the same numbers, shifted by one.
        Random(mix(seed.wrapping_add(1)))
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Above 0 and below 1.
    pub(crate) fn uniform(&mut self) -> f64 {
        ((self.bits() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    pub(crate) fn one(&mut self, chance: f64) -> bool {
        self.uniform() < chance
    }

    /// How many trials until the next success, this one included; at most 2^40.
    pub(crate) fn wait(&mut self, chance: f64) -> u64 {
        const NEVER: u64 = 1 << 40;
        if chance <= 0.0 {
            return NEVER;
        }
        let zeros = (self.uniform().ln() / (-chance).ln_1p()).floor();
        (zeros as u64).saturating_add(1).min(NEVER)
    }

    /// How many of `n` trials succeed.
    pub(crate) fn successes(&mut self, n: u64, chance: f64) -> u64 {
        if chance > 0.5 {
            return n - self.successes(n, 1.0 - chance);
        }
        let (mut at, mut successes) = (self.wait(chance), 0);
        while at <= n {
            successes += 1;
            at += self.wait(chance);
        }
        successes
    }

    /// A duration in seconds: lognormal with this median and a spread of 0.5, which puts the 99th
    /// percentile at 3.2 times the median.
    pub(crate) fn seconds(&mut self, median: f64) -> f64 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * self.uniform()).cos();
        median * (0.5 * normal).exp()
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
