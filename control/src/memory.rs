//! Does the candidate's memory grow without end? It is watched in spells of [`SHORTEST_SPELL`]
//! calls, and of twice, four times as many and so on, all at once. A leak rises in every spell to
//! where memory has never been, a slow one in the long ones; what fills up at the start rises ever
//! less, and memory that a collector gives back in steps seldom rises above its highest.
//!
//! A spell counts as grown only if the candidate's highest rose by more than a little, by more than
//! the legacy's did, and at least [`STEADY`] times as fast, per call, as in the spells of that length so
//! far. If chance decides, that is true in at most every second spell, so the counters are judged as
//! coins.
//!
//! Of several control planes only the one that runs the ramps counts, over the processes that any
//! of them has heard; the others show what it has saved, and one of them goes on from that.

use std::collections::BTreeSet;
use std::time::Duration;

use cutover_compare::evidence::{MemoryCell, SPELL_LENGTHS, SpellCount};
use cutover_proto::cutover::v1 as wire;

/// Calls that the candidate answers in the shortest spells at least, copies included.
const SHORTEST_SPELL: u64 = 500;
/// A spell lasts so long at least.
const SHORTEST_TIME: Duration = Duration::from_secs(1);
/// Spells of each length at the start that count for nothing.
const WARM_UP: u64 = 2;
/// A rise by less than this share of the memory is none…
const LEAST_SHARE: f64 = 0.001;
/// …and neither is one by less than so many bytes.
const LEAST_BYTES: u64 = 64 * 1024;
/// A rise slower than this share of the usual pace is one that comes to an end.
const STEADY: f64 = 0.6;

/// What the processes of an arm say about their memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Footprint {
    /// All of them together; 0 where none says anything.
    pub(crate) bytes: u64,
    /// Which they are: where one comes or goes, the sum says nothing about growth.
    pub(crate) processes: BTreeSet<String>,
    /// When each of them had been heard last: the newest reading of the one that is silent longest.
    pub(crate) heard: Option<Duration>,
}

/// The candidate's memory beside the legacy's, in one epoch.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    lengths: [Length; SPELL_LENGTHS],
    /// Of both arms.
    bytes: [u64; 2],
    processes: [BTreeSet<String>; 2],
    unsaved: bool,
}

/// Spells of one length.
#[derive(Debug, Default)]
struct Length {
    count: SpellCount,
    /// By how much all counted spells rose, bytes.
    risen: u64,
    /// Calls in all counted spells.
    calls: u64,
    /// Spells since the processes last changed.
    seen: u64,
    open: Option<Spell>,
}

/// The state at the start of a spell.
#[derive(Debug)]
struct Spell {
    began: Duration,
    calls: u64,
    /// The highest that each arm's memory has ever been, bytes.
    highest: [u64; 2],
}

/// What is known at a moment.
struct Look {
    now: Duration,
    /// That the candidate has answered.
    calls: u64,
    bytes: [u64; 2],
    /// Since when all processes have been heard.
    heard: Duration,
}

impl Memory {
    /// Goes on from what was saved, with spells that begin anew.
    pub(crate) fn new(saved: Option<&wire::MemoryEvidence>) -> Memory {
        let mut memory = Memory::default();
        let Some(saved) = saved else {
            return memory;
        };
        memory.bytes = [saved.legacy_bytes, saved.candidate_bytes];
        for (length, saved) in memory.lengths.iter_mut().zip(&saved.spells) {
            length.count = SpellCount {
                spells: saved.spells,
                grew: saved.grew,
            };
            (length.risen, length.calls) = (saved.risen_bytes, saved.calls);
        }
        memory
    }

    /// Begins an epoch.
    pub(crate) fn restart(&mut self) {
        *self = Memory::default();
    }

    /// The counters.
    pub(crate) fn cell(&self) -> MemoryCell {
        MemoryCell {
            spells: std::array::from_fn(|index| self.lengths[index].count),
            legacy_bytes: self.bytes[0],
            candidate_bytes: self.bytes[1],
        }
    }

    /// What is to be saved, where anything has changed since this was last asked.
    pub(crate) fn take_unsaved(&mut self) -> Option<wire::MemoryEvidence> {
        if !std::mem::take(&mut self.unsaved) {
            return None;
        }
        let spells = self.lengths.iter().map(|length| wire::SpellCount {
            spells: length.count.spells,
            grew: length.count.grew,
            risen_bytes: length.risen,
            calls: length.calls,
        });
        Some(wire::MemoryEvidence {
            spells: spells.collect(),
            legacy_bytes: self.bytes[0],
            candidate_bytes: self.bytes[1],
        })
    }

    /// What was taken could not be saved.
    pub(crate) fn give_back(&mut self) {
        self.unsaved = true;
    }

    /// Looks at both arms (legacy, candidate), with the calls that the candidate answered so far.
    pub(crate) fn look(&mut self, arms: [Footprint; 2], calls: u64, now: Duration) {
        let bytes = [0, 1].map(|arm: usize| arms[arm].bytes);
        self.unsaved |= self.bytes != bytes;
        self.bytes = bytes;
        let heard = arms.iter().filter_map(|arm| arm.heard).min();
        let processes = arms.map(|arm| arm.processes);
        if self.processes != processes {
            self.processes = processes;
            for length in &mut self.lengths {
                (length.seen, length.open) = (0, None);
            }
        }
        let Some(heard) = heard.filter(|_| bytes[1] > 0) else {
            return;
        };
        let look = Look {
            now,
            calls,
            bytes,
            heard,
        };
        let mut least_calls = SHORTEST_SPELL;
        for length in &mut self.lengths {
            self.unsaved |= length.look(&look, least_calls);
            least_calls *= 2;
        }
    }
}

impl Length {
    /// Says whether a spell was counted.
    fn look(&mut self, look: &Look, least_calls: u64) -> bool {
        let Some(spell) = &mut self.open else {
            self.open = Some(Spell {
                began: look.now,
                calls: look.calls,
                highest: look.bytes,
            });
            return false;
        };
        let lasted = look.now.saturating_sub(spell.began) >= SHORTEST_TIME;
        let calls = look.calls.saturating_sub(spell.calls);
        if !lasted || look.heard <= spell.began || calls < least_calls {
            return false;
        }
        let [legacy, candidate] = [0, 1].map(|arm| {
            let rise = look.bytes[arm].saturating_sub(spell.highest[arm]);
            spell.highest[arm] = spell.highest[arm].max(look.bytes[arm]);
            rise
        });
        (spell.began, spell.calls) = (look.now, look.calls);
        self.seen += 1;
        if self.seen <= WARM_UP {
            return false;
        }
        let least = (look.bytes[1] as f64 * LEAST_SHARE).max(LEAST_BYTES as f64);
        let pace = candidate as f64 / calls as f64;
        let usual = self.risen as f64 / self.calls.max(1) as f64;
        let grew = candidate as f64 > least && candidate > legacy && pace >= STEADY * usual;
        self.count.spells += 1;
        self.count.grew += u64::from(grew);
        self.risen += candidate;
        self.calls += calls;
        true
    }
}

#[cfg(test)]
mod tests;
