//! Which fields differ by themselves? A share of mirrored calls is sent to the primary's own arm
//! twice; where a repeat differs as readily as the other arm, the field is noise.

use super::coin::ln_e_above;
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

/// For each field, whether its differences are noise: a repeat differed at least once, and the
/// other arm does not stand out against the repeat (a sequential sign test on discordant triples,
/// e-BH over the fields). A field that never differed on a repeat is not noisy.
#[must_use]
pub fn noisy(fields: &[FieldNoise], alpha: f64) -> Vec<bool> {
    let discordant = |field: &FieldNoise| field.only_other + field.only_repeat;
    let ln_e: Vec<f64> = fields
        .iter()
        .map(|field| ln_e_above(discordant(field), field.only_other, 0.5))
        .collect();
    let stands_out = e_bh(&ln_e, alpha);
    let repeats_differ = |field: &FieldNoise| field.only_repeat + field.both > 0;
    fields
        .iter()
        .zip(stands_out)
        .map(|(field, out)| repeats_differ(field) && !out)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_noise_from_a_wrong_field() {
        let field = |only_other, only_repeat, both| FieldNoise {
            only_other,
            only_repeat,
            both,
        };
        let fields = [
            field(0, 0, 40),  // A random id: it differs always and everywhere.
            field(12, 9, 3),  // Flaky in both arms alike.
            field(40, 0, 0),  // Only the other arm: wrong.
            field(200, 5, 2), // Flaky and wrong.
            field(0, 0, 0),
        ];
        assert_eq!(noisy(&fields, 0.05), [true, true, false, false, false]);
    }
}
