//! N+1 that no single pair shows: an operation that the candidate calls more often the longer the
//! answer is, where the legacy doesn't.

use crate::evidence::ln_e_above;

/// The chance of a false alarm for one method, however often one looks.
const ALPHA: f64 = 0.01;
/// Operations that share [`ALPHA`]: the most that are counted for one method.
const SHARED_BY: f64 = 256.0;

/// Takes the pairs of traces of a method two at a time, for one operation: does the one with the
/// longer answer have the greater excess of the candidate's calls over the legacy's? A fair coin, if
/// the excess has nothing to do with the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Twos {
    /// Answer's length and excess of the pair that waits for its counterpart.
    waiting: Option<(u64, i64)>,
}

impl Twos {
    /// Adds a pair: the length of the answer in bytes, and how many more calls the candidate made.
    /// Pairs in which neither arm called it count too, with 0. Of the second of two in which both
    /// differ, says whether the longer answer has the greater excess.
    pub fn record(&mut self, answer_bytes: u64, excess: i64) -> Option<bool> {
        let Some((bytes, other)) = self.waiting.take() else {
            self.waiting = Some((answer_bytes, excess));
            return None;
        };
        let differ = bytes != answer_bytes && other != excess;
        differ.then_some((bytes < answer_bytes) == (other < excess))
    }
}

/// Whether the candidate's calls grow with the answer and the legacy's don't, beyond chance: of so
/// many twos `compared`, the longer answer had the greater excess in `growing`.
#[must_use]
pub fn grows_with_answer(compared: u64, growing: u64) -> bool {
    ln_e_above(compared, growing, 0.5) >= (SHARED_BY / ALPHA).ln()
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    /// The coin of one operation.
    #[derive(Default)]
    struct Growth {
        twos: Twos,
        compared: u64,
        growing: u64,
    }

    impl Growth {
        fn record(&mut self, answer_bytes: u64, excess: i64) {
            if let Some(growing) = self.twos.record(answer_bytes, excess) {
                self.compared += 1;
                self.growing += u64::from(growing);
            }
        }

        fn stands_out(&self) -> bool {
            grows_with_answer(self.compared, self.growing)
        }
    }

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
    fn only_two_that_differ_in_both_are_compared() {
        let mut twos = Twos::default();
        let mut of = |one: (u64, i64), other: (u64, i64)| {
            assert_eq!(twos.record(one.0, one.1), None, "the first of two");
            twos.record(other.0, other.1)
        };
        assert_eq!(of((1, 1), (2, 2)), Some(true));
        assert_eq!(of((2, 1), (1, 2)), Some(false));
        assert_eq!((of((1, 1), (1, 2)), of((1, 1), (2, 1))), (None, None));
    }
}
