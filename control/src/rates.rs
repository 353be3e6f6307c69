//! Calls per second of the last seconds, from cumulative counters.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use cutover_manifest::{Arm, Role};

use crate::ledger::Totals;

/// How far back a rate looks.
const LOOK_BACK: Duration = Duration::from_secs(10);
/// Most moments remembered.
const MAX_MOMENTS: usize = 64;

type Counts = BTreeMap<(String, Arm), u64>;

/// What was counted at the last moments.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    moments: VecDeque<(Duration, Counts)>,
}

impl Rates {
    /// Remembers the counters of now.
    pub(crate) fn take(&mut self, totals: &Totals, now: Duration) {
        let mut counts = Counts::new();
        for (method, tally) in totals {
            for (key, cell) in tally
                .calls
                .iter()
                .filter(|(key, _)| key.role == Role::Primary)
            {
                *counts.entry((method.clone(), key.arm)).or_default() += cell.calls();
            }
        }
        self.moments.push_back((now, counts));
        while self.moments.len() > MAX_MOMENTS
            || self
                .moments
                .get(1)
                .is_some_and(|(at, _)| now.saturating_sub(*at) >= LOOK_BACK)
        {
            self.moments.pop_front();
        }
    }

    /// Primary calls of a method ended by an arm, per second.
    pub(crate) fn per_second(&self, method: &str, arm: Arm) -> f64 {
        let (Some(first), Some(last)) = (self.moments.front(), self.moments.back()) else {
            return 0.0;
        };
        let seconds = last.0.saturating_sub(first.0).as_secs_f64();
        let key = (method.to_owned(), arm);
        let of = |counts: &Counts| counts.get(&key).copied().unwrap_or(0);
        if seconds > 0.0 {
            of(&last.1).saturating_sub(of(&first.1)) as f64 / seconds
        } else {
            0.0
        }
    }

    /// Counters start from zero.
    pub(crate) fn restart(&mut self) {
        self.moments.clear();
    }
}

#[cfg(test)]
mod tests {
    use cutover_manifest::Weight;

    use super::*;
    use crate::tally::{Cell, CellKey, MethodTally};

    #[test]
    fn looks_back_ten_seconds() {
        let totals = |calls| {
            let key = CellKey {
                weight: Weight::ZERO,
                arm: Arm::Legacy,
                role: Role::Primary,
            };
            let cell = Cell {
                by_status: BTreeMap::from([(0, calls)]),
                ..Cell::default()
            };
            let calls = BTreeMap::from([(key, cell)]);
            Totals::from([(
                "/a.B/C".into(),
                MethodTally {
                    calls,
                    ..MethodTally::default()
                },
            )])
        };
        let mut rates = Rates::default();
        for second in 0..30 {
            // 100 a second for 15 s, then none.
            rates.take(&totals(100 * second.min(15)), Duration::from_secs(second));
            let expected = match second {
                0 => 0.0,
                1..=15 => 100.0,
                16..=24 => 10.0 * (25 - second) as f64,
                _ => 0.0,
            };
            assert_eq!(
                rates.per_second("/a.B/C", Arm::Legacy),
                expected,
                "{second}"
            );
        }
        assert_eq!(rates.per_second("/a.B/C", Arm::Candidate), 0.0);
    }
}
