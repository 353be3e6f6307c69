//! N+1 that no single pair shows: an operation that the candidate calls more often the longer the
//! answer is, where the legacy doesn't.

use crate::evidence::ln_e_above;

/// The chance of a false alarm for one method, however often one looks.
const ALPHA: f64 = 0.01;
/// Operations that share [`ALPHA`]: the most that are counted for one method.
const SHARED_BY: f64 = 256.0;

/// One operation of a method over its pairs of traces. The pairs are taken two at a time: does the
/// one with the longer answer have the greater excess of the candidate's calls over the legacy's?
/// A fair coin, if the excess has nothing to do with the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Growth {
    /// Answer's length and excess of the pair that waits for its counterpart.
    waiting: Option<(u64, i64)>,
    /// Twos in which both length and excess differ.
    pub compared: u64,
    /// Those among them in which the longer answer has the greater excess.
    pub growing: u64,
}

impl Growth {
    /// Adds a pair: the length of the answer in bytes, and how many more calls the candidate made.
    /// Pairs in which neither arm called it count too, with 0.
    pub fn record(&mut self, answer_bytes: u64, excess: i64) {
        let Some((bytes, other)) = self.waiting.take() else {
            self.waiting = Some((answer_bytes, excess));
            return;
        };
        if bytes != answer_bytes && other != excess {
            self.compared += 1;
            self.growing += u64::from((bytes < answer_bytes) == (other < excess));
        }
    }

    /// Adds what another has counted.
    pub fn merge(&mut self, other: &Growth) {
        self.compared += other.compared;
        self.growing += other.growing;
    }

    /// Whether the candidate's calls grow with the answer and the legacy's don't, beyond chance.
    #[must_use]
    pub fn stands_out(&self) -> bool {
        ln_e_above(self.compared, self.growing, 0.5) >= (SHARED_BY / ALPHA).ln()
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    /// After how many pairs it stands out; answers have up to `items` items of 40 bytes.
    fn pairs_until(items: i64, excess: impl Fn(i64, &mut StdRng) -> i64) -> Option<u64> {
        let rng = &mut StdRng::seed_from_u64(7);
        let mut growth = Growth::default();
        (1..=5_000).find(|_| {
            let items = rng.random_range(0..=items);
            growth.record(12 + 40 * items.unsigned_abs(), excess(items, rng));
            growth.stands_out()
        })
    }

    #[test]
    fn a_call_for_each_item_stands_out_soon_even_where_no_pair_has_a_run() {
        let pairs = pairs_until(2, |items, _| items).unwrap();
        assert!((30..200).contains(&pairs), "{pairs}");
        let hidden = pairs_until(20, |items, rng| items + rng.random_range(-5..=5)).unwrap();
        assert!(hidden < 200, "{hidden}");
    }

    #[test]
    fn what_has_nothing_to_do_with_the_answer_does_not_stand_out() {
        assert_eq!(pairs_until(20, |_, _| 3), None);
        assert_eq!(pairs_until(20, |_, rng| rng.random_range(0..9)), None);
        // The candidate asks less often the longer the answer.
        assert_eq!(pairs_until(20, |items, _| -items), None);
        assert_eq!(pairs_until(0, |_, rng| rng.random_range(0..9)), None);
    }

    #[test]
    fn false_alarms_are_rarer_than_claimed_however_often_one_looks() {
        let rng = &mut StdRng::seed_from_u64(11);
        let alarms = (0..2_000).filter(|_| {
            let mut growth = Growth::default();
            (0..400).any(|_| {
                growth.record(rng.random_range(0..500), rng.random_range(0..3));
                growth.stands_out()
            })
        });
        assert!(alarms.count() <= 2);
    }

    #[test]
    fn counts_add_up() {
        let (mut one, mut other) = (Growth::default(), Growth::default());
        for growth in [&mut one, &mut other] {
            growth.record(1, 1);
            growth.record(2, 2);
        }
        one.merge(&other);
        assert_eq!((one.compared, one.growing), (2, 2));
    }
}
