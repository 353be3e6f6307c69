//! One of several control planes on one store: who runs the ramps, what the others have decided,
//! and what they have counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::clock::Clock;
use crate::fingerprint::content_hash;
use crate::memory::Memory;
use crate::shared::Shared;
use crate::store::{Polled, StoreError, load_others, poll};
use crate::words::hex;

/// How often it is asked what the others have decided.
const POLL_EVERY: Duration = Duration::from_millis(250);
/// Of how many polls one also asks what the others have counted.
const COUNT_EVERY: u32 = 4;
/// How long a lease lasts without being renewed.
const LEASE: Duration = Duration::from_secs(4);
/// How much earlier its holder lets go of it, for what a clock may be wrong in that time.
const MARGIN: Duration = Duration::from_secs(1);

/// What a control plane knows of itself and of the others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replica {
    /// Its name; empty where it is alone.
    pub(crate) name: String,
    /// Under which it keeps its trace evidence; none before it has one.
    pub(crate) slot: Option<u32>,
    /// Who runs the ramps; empty where that is not known.
    pub(crate) leader: String,
    /// Until when it may run them itself, by the monotonic clock.
    pub(crate) leads_until: Duration,
}

impl Replica {
    /// The only one.
    pub(crate) fn alone() -> Replica {
        Replica {
            slot: Some(0),
            leads_until: Duration::MAX,
            ..Replica::default()
        }
    }

    /// One of several; its name is never that of another.
    pub(crate) fn one_of_several(clock: Clock) -> Replica {
        static STARTED: AtomicU64 = AtomicU64::new(0);
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname");
        let host = host.map_or_else(|_| String::from("unknown"), |name| name.trim().to_owned());
        let nth = STARTED.fetch_add(1, Ordering::Relaxed);
        let seed = format!("{host} {} {} {nth}", std::process::id(), clock.unix_ms());
        Replica {
            name: format!("{host}-{}", hex(&content_hash(seed.as_bytes())[..4])),
            ..Replica::default()
        }
    }

    /// Whether there may be others.
    pub(crate) fn is_shared(&self) -> bool {
        !self.name.is_empty()
    }

    /// Whether it runs the ramps.
    pub(crate) fn leads(&self, now: Duration) -> bool {
        now < self.leads_until
    }

    /// Whether it ran them when the store was last heard of.
    pub(crate) fn led(&self) -> bool {
        self.leader == self.name
    }
}

/// Keeps up with the others until shutdown.
pub(crate) async fn follow(shared: Arc<Shared>) {
    let mut every = tokio::time::interval(POLL_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut polls = 0_u32;
    loop {
        tokio::select! {
            () = shared.shutdown.cancelled() => return,
            _ = every.tick() => {}
        }
        // Where the store fails it has said so itself; the next poll tries again.
        if keep_up(&shared).await.is_ok() && polls.is_multiple_of(COUNT_EVERY) {
            let _ = count(&shared).await;
        }
        polls = polls.wrapping_add(1);
    }
}

/// Renews the leases, and takes over what another one has decided.
async fn keep_up(shared: &Arc<Shared>) -> Result<(), StoreError> {
    let asked = shared.clock.elapsed();
    let before = shared.core().replica.clone();
    let (name, slot) = (before.name.clone(), before.slot);
    let lease_ms = LEASE.as_millis() as i64;
    let Polled {
        leader,
        slot,
        generation,
    } = shared
        .store
        .call(move |session| poll(session, &name, slot, lease_ms))
        .await?;
    let leads = leader == before.name;
    // Who begins to lead goes on where the other one stood, hold times included.
    if (leads && !before.led()) || shared.core().is_behind(generation) {
        shared.adopt().await?;
    }
    if leader != before.leader {
        tracing::info!(leader, leads, "a control plane runs the ramps");
    }
    {
        let mut core = shared.core();
        core.replica.leads_until = if leads {
            asked + LEASE - MARGIN
        } else {
            Duration::ZERO
        };
        core.replica.leader.clone_from(&leader);
        if slot != before.slot {
            core.replica.slot = slot;
            core.traces.move_to_another_slot(before.slot.is_some());
        }
    }
    if leader != before.leader || slot != before.slot {
        shared.touch();
    }
    Ok(())
}

/// Adds what the others have counted.
async fn count(shared: &Arc<Shared>) -> Result<(), StoreError> {
    let (name, epoch, known) = {
        let core = shared.core();
        let name = core.replica.name.clone();
        (name, core.epoch, core.ledger.sequences())
    };
    let others = shared
        .store
        .call(move |session| load_others(session, &name, epoch, &known))
        .await?;
    let now = shared.clock.elapsed();
    let mut core = shared.core();
    if core.epoch == epoch {
        let slot = core.replica.slot;
        core.traces.take_others(&others.traces, slot);
        let leads = core.replica.leads(now);
        core.ledger.take_others(&others, leads, now);
        core.processes.take_others(&others.readings, now);
        if !core.replica.led() {
            core.memory = Memory::new(others.memory.as_ref());
        }
        drop(core);
        shared.touch();
    }
    Ok(())
}
