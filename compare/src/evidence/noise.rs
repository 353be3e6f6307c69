//! Which fields differ by themselves? A share of mirrored calls is sent to the primary's own arm
//! twice; where a repeat differs as readily as the other arm, the field is noise.
//!
//! A field is *noisy* once a repeat has differed and the other arm does not stand out against
//! repeats. It is *real* once the other arm does. Before that nothing is known, and such a field
//! speaks against advancing, and not yet for rolling back. Where a field differs in a share p of
//! calls and repeats never differ, it takes 11 discordant triples to be real (alone among its
//! fields, at a confidence of 95 %): about 220 / p calls where 5 % of calls have a repeat, and about
//! 11 / p where all have one.

use super::coin::ln_e_above;
use super::gates::least;
use super::many::e_bh;

/// Triples (primary, shadow, noise) of one field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FieldNoise {
    /// Triples in which only the other arm differed.
    pub only_other: u64,
    /// Triples in which only the repeat differed.
    pub only_repeat: u64,
    /// Triples in which both differed.
    pub both: u64,
}

impl FieldNoise {
    /// ln e-value against "the other arm differs no more readily than a repeat": which of the two
    /// it was is a fair coin then. Minus infinity where it is certainly below `least`, which is
    /// told without the costly functions.
    fn ln_e(&self, least: f64) -> f64 {
        let n = self.only_other + self.only_repeat;
        // No mean over coins beats the best of them.
        let share = self.only_other as f64 / n as f64;
        let twice = |share: f64| super::special::times_ln(share, 2.0 * share);
        let most = n as f64 * (twice(share) + twice(1.0 - share));
        if n == 0 || share <= 0.5 || most < least {
            return f64::NEG_INFINITY;
        }
        ln_e_above(n, self.only_other, 0.5)
    }

    /// Whether a repeat has ever differed.
    fn repeats_differ(&self) -> bool {
        self.only_repeat + self.both > 0
    }

    /// How many more triples in which only the other arm differs make the field a real
    /// difference, alone among `fields`.
    pub(super) fn more_triples(&self, fields: usize, alpha: f64) -> u64 {
        let threshold = (fields.max(1) as f64 / alpha).ln();
        let real = |more: u64| {
            let n = self.only_other + self.only_repeat + more;
            ln_e_above(n, self.only_other + more, 0.5) >= threshold
        };
        least(real).unwrap_or(u64::MAX)
    }
}

/// For each field, whether the other arm differs more readily than a repeat: a sequential sign
/// test on discordant triples, e-BH over the fields. Where none does, the chance that any is ever
/// flagged is at most `alpha`.
#[must_use]
pub fn real(fields: &[FieldNoise], alpha: f64) -> Vec<bool> {
    // No field is flagged whose e-value is below 1 / alpha.
    let least = -alpha.ln();
    let ln_e: Vec<f64> = fields.iter().map(|field| field.ln_e(least)).collect();
    e_bh(&ln_e, alpha)
}

/// For each field, whether its differences are noise: a repeat differed at least once, and the
/// other arm does not stand out. A field that never differed on a repeat is not noisy.
#[must_use]
pub fn noisy(fields: &[FieldNoise], alpha: f64) -> Vec<bool> {
    fields
        .iter()
        .zip(real(fields, alpha))
        .map(|(field, real)| field.repeats_differ() && !real)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(only_other: u64, only_repeat: u64, both: u64) -> FieldNoise {
        FieldNoise {
            only_other,
            only_repeat,
            both,
        }
    }

    #[test]
    fn tells_noise_from_a_wrong_field() {
        let fields = [
            field(0, 0, 40),  // A random id: it differs always and everywhere.
            field(12, 9, 3),  // Flaky in both arms alike.
            field(40, 0, 0),  // Only the other arm: wrong.
            field(200, 5, 2), // Flaky and wrong.
            field(3, 0, 0),   // Too early to tell.
            field(0, 0, 0),
        ];
        let noise = [true, true, false, false, false, false];
        assert_eq!(noisy(&fields, 0.05), noise);
        let wrong = [false, false, true, true, false, false];
        assert_eq!(real(&fields, 0.05), wrong);
    }

    #[test]
    fn the_short_cut_never_hides_what_would_be_flagged() {
        for only_other in 0..60 {
            for only_repeat in 0..60 {
                let field = field(only_other, only_repeat, 0);
                for alpha in [0.05, 0.001] {
                    let exact = ln_e_above(only_other + only_repeat, only_other, 0.5);
                    let flagged = exact >= -f64::ln(alpha);
                    assert_eq!(real(&[field], alpha), [flagged], "{field:?}");
                }
            }
        }
    }

    #[test]
    fn says_how_many_more_triples_it_takes() {
        for (alpha, expected) in [(0.05, 7), (0.005, 11)] {
            assert_eq!(field(0, 0, 0).more_triples(1, alpha), expected);
            assert_eq!(field(4, 0, 0).more_triples(1, alpha), expected - 4);
        }
        assert!(field(4, 3, 0).more_triples(1, 0.05) > 7);
    }
}
