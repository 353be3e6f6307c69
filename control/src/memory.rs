//! Does the candidate's memory grow without end? It is watched in spells of [`SPELL`] calls. A leak
//! rises in every spell to where it has never been; what fills up at the start rises ever less, and
//! memory that a collector gives back in steps seldom rises above its highest.
//!
//! A spell counts as grown only if the candidate's highest rose by more than a little, by more than
//! the legacy's did, and by at least half of what it rose by in a spell so far. If chance decides,
//! that is true in at most every second spell, so the two counters are judged as a coin.

use std::collections::BTreeSet;
use std::time::Duration;

use cutover_compare::evidence::MemoryCell;

/// Calls that the candidate answers in a spell at least, copies included.
const SPELL: u64 = 500;
/// A spell lasts so long at least: processes tell their memory seldom.
const SHORTEST: Duration = Duration::from_secs(1);
/// Spells at the start that count for nothing.
const WARM_UP: u64 = 2;
/// A rise by less than this share of the memory is none…
const LEAST_SHARE: f64 = 0.001;
/// …and neither is one by less than so many bytes.
const LEAST_BYTES: u64 = 64 * 1024;

/// What the processes of an arm say about their memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Footprint {
    /// All of them together.
    pub(crate) bytes: u64,
    /// Which they are: where one comes or goes, the sum says nothing about growth.
    pub(crate) processes: BTreeSet<String>,
    /// When the newest reading came.
    pub(crate) heard: Duration,
}

/// The candidate's memory beside the legacy's, in one epoch.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    cell: MemoryCell,
    spell: Option<Spell>,
    /// Spells since the processes last changed.
    seen: u64,
    /// By how much all counted spells rose, bytes.
    risen: f64,
}

/// The state at the start of a spell.
#[derive(Debug)]
struct Spell {
    began: Duration,
    calls: u64,
    /// The highest that each arm's memory has ever been, bytes.
    highest: [u64; 2],
    processes: [BTreeSet<String>; 2],
}

impl Memory {
    /// Begins an epoch.
    pub(crate) fn restart(&mut self) {
        *self = Memory::default();
    }

    /// The counters.
    pub(crate) fn cell(&self) -> MemoryCell {
        self.cell
    }

    /// Looks at both arms (legacy, candidate), with the calls that the candidate answered so far.
    pub(crate) fn look(&mut self, arms: [Footprint; 2], calls: u64, now: Duration) {
        let bytes = [0, 1].map(|arm: usize| arms[arm].bytes);
        self.cell.legacy_bytes = bytes[0];
        self.cell.candidate_bytes = bytes[1];
        if bytes[1] == 0 {
            self.spell = None;
            return;
        }
        let heard = arms[1].heard;
        let processes = arms.map(|arm| arm.processes);
        let Some(spell) = self.spell.as_mut().filter(|s| s.processes == processes) else {
            self.seen = 0;
            self.spell = Some(Spell {
                began: now,
                calls,
                highest: bytes,
                processes,
            });
            return;
        };
        let long_enough = now.saturating_sub(spell.began) >= SHORTEST && heard > spell.began;
        if !long_enough || calls.saturating_sub(spell.calls) < SPELL {
            return;
        }
        let [legacy, candidate] = [0, 1].map(|arm| {
            let rise = bytes[arm].saturating_sub(spell.highest[arm]);
            spell.highest[arm] = spell.highest[arm].max(bytes[arm]);
            rise
        });
        (spell.began, spell.calls) = (now, calls);
        self.seen += 1;
        if self.seen <= WARM_UP {
            return;
        }
        let least = (bytes[1] as f64 * LEAST_SHARE).max(LEAST_BYTES as f64);
        let usual = match self.cell.spells {
            0 => 0.0,
            spells => self.risen / spells as f64,
        };
        let rise = candidate as f64;
        let grew = rise > least && candidate > legacy && rise >= usual / 2.0;
        self.cell.spells += 1;
        self.cell.grew += u64::from(grew);
        self.risen += rise;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Spells, and those that grew, after 30 spells in which both arms had so much memory.
    fn counted(bytes: impl Fn(u64) -> (u64, u64)) -> (u64, u64) {
        let mut memory = Memory::default();
        for spell in 0..=30 {
            let (legacy, candidate) = bytes(spell);
            let now = Duration::from_secs(5 * spell);
            let footprint = |bytes| Footprint {
                bytes,
                processes: BTreeSet::from(["one".to_owned()]),
                heard: now,
            };
            memory.look([legacy, candidate].map(footprint), 1_000 * spell, now);
        }
        (memory.cell().spells, memory.cell().grew)
    }

    #[test]
    fn a_leak_grows_in_every_spell() {
        assert_eq!(counted(|n| (50 * MIB, 20 * MIB + n * 2 * MIB)), (28, 28));
    }

    #[test]
    fn what_is_no_leak_grows_in_few() {
        let filling_up = |n: u64| (50 * MIB, 100 * MIB - ((80 * MIB) >> n));
        let saw = |n: u64| (50 * MIB, 50 * MIB + n % 7 * MIB);
        let still = |_| (50 * MIB, 20 * MIB);
        let both = |n: u64| (50 * MIB + n * 2 * MIB, 50 * MIB + n * 2 * MIB);
        for (_, grew) in [
            counted(filling_up),
            counted(saw),
            counted(still),
            counted(both),
        ] {
            assert!(grew <= 6, "{grew}");
        }
    }

    #[test]
    fn waits_for_calls_and_news_and_begins_anew_with_other_processes() {
        let mut memory = Memory::default();
        let mut look = |process: &str, mib: u64, calls, at_s: u64, heard_s: u64| {
            let footprint = |bytes| Footprint {
                bytes,
                processes: BTreeSet::from([process.to_owned()]),
                heard: Duration::from_secs(heard_s),
            };
            let arms = [50 * MIB, mib * MIB].map(footprint);
            memory.look(arms, calls, Duration::from_secs(at_s));
            memory.cell().spells
        };
        for spell in 0..=2 {
            look("a", 10 + spell, 1_000 * spell, 5 * spell, 5 * spell);
        }
        assert_eq!(look("a", 13, 3_000, 15, 9), 0, "no news");
        assert_eq!(look("a", 13, 2_100, 15, 15), 0, "few calls");
        assert_eq!(look("a", 13, 3_000, 15, 15), 1);
        assert_eq!(look("b", 90, 9_000, 20, 20), 1, "another process");
        assert_eq!(look("b", 95, 19_000, 25, 25), 1, "warms up again");
    }
}
