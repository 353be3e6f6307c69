//! Does memory grow without end? It is watched in spells of [`SPELL_LENGTHS`] lengths at once, each
//! twice as long as the one before, because a slow leak shows only over many calls. If chance
//! decides, a spell of any length grows at most as often as a fair coin shows ones. The lengths'
//! e-values are averaged, the k-th with weight 2^-k, so that a quick leak pays little for the long
//! spells: an average of e-processes is one.

use std::f64::consts::LN_2;

use super::coin::ln_e_above;

/// How many lengths of spells there are.
pub const SPELL_LENGTHS: usize = 12;

/// Spells of one length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpellCount {
    /// How many there were.
    pub spells: u64,
    /// Those in which the candidate's memory rose to where it had never been, by more than the
    /// legacy's rose and not slower than it used to.
    pub grew: u64,
}

/// Spells of all lengths, the shortest first.
pub type Spells = [SpellCount; SPELL_LENGTHS];

/// ln e-value against "in no length do more than half of the spells grow".
#[must_use]
pub fn ln_e_grows(spells: &Spells) -> f64 {
    let terms = weighted(spells).map(|(_, ln_e)| ln_e);
    let largest = terms.clone().fold(f64::NEG_INFINITY, f64::max);
    largest + terms.map(|ln_e| (ln_e - largest).exp()).sum::<f64>().ln()
}

/// The length that says the most for growth.
pub(super) fn loudest(spells: &Spells) -> SpellCount {
    let louder = |a: &(&SpellCount, f64), b: &(&SpellCount, f64)| a.1.total_cmp(&b.1);
    // Of equals the last one counts: so the shortest comes last.
    let shortest_last = weighted(spells).rev();
    shortest_last
        .max_by(louder)
        .map_or_else(SpellCount::default, |(count, _)| *count)
}

fn weighted(spells: &Spells) -> impl DoubleEndedIterator<Item = (&SpellCount, f64)> + Clone {
    spells.iter().enumerate().map(|(index, count)| {
        let weight = (index + 1) as f64 * LN_2;
        (count, ln_e_above(count.spells, count.grew, 0.5) - weight)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ln of what a guard has to reach by default: a seventh of half of 5 %.
    const LN_GUARD: f64 = 5.634_789_603_169_249;

    fn of_length(index: usize, spells: u64, grew: u64) -> Spells {
        let mut all = Spells::default();
        all[index] = SpellCount { spells, grew };
        all
    }

    #[test]
    fn twelve_of_twelve_short_spells_prove_growth_and_longer_ones_take_about_one_more_each() {
        let needed = |index| {
            let proven = |n: &u64| ln_e_grows(&of_length(index, *n, *n)) >= LN_GUARD;
            (1..40).find(proven).unwrap()
        };
        assert_eq!([0, 1, 2, 5, 11].map(needed), [12, 13, 15, 18, 24]);
    }

    #[test]
    fn nothing_is_said_before_the_first_spell_and_less_by_spells_that_do_not_grow() {
        assert!(ln_e_grows(&Spells::default()) <= 0.0);
        assert!(ln_e_grows(&of_length(0, 12, 0)) < 0.0);
        assert!(ln_e_grows(&of_length(0, 30, 15)) < LN_GUARD);
    }

    #[test]
    fn the_loudest_length_is_the_shortest_of_those_that_say_nothing() {
        let mut spells = of_length(0, 30, 3);
        assert_eq!(loudest(&Spells::default()), SpellCount::default());
        spells[3] = SpellCount { spells: 9, grew: 9 };
        assert_eq!(loudest(&spells).spells, 9);
    }
}
