//! What the tasks share, and the one way in which a change takes effect: decided under the lock,
//! saved with its reasons in one transaction, then pushed to every proxy at once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cutover_proto::cutover::v1 as wire;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::core::{Core, Moment, Standing};
use crate::notify::Notifier;
use crate::otlp::Counters;
use crate::pairing::Dropped;
use crate::status::status;
use crate::store::{Answer, Committed, DatabaseError, Store, StoreError, load, save_change};

/// How long a table waits for its change to be saved. After that it is pushed all the same: a
/// rollback must not wait for a disk.
const SAVE_PATIENCE: Duration = Duration::from_secs(1);

/// How often a change is decided anew because another control plane was faster.
const MAX_ATTEMPTS: u32 = 5;

/// Most streams of the state at a time, dashboards and tools together.
const MAX_WATCHERS: usize = 256;

/// What pairing holds and has left out, for metrics.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PairingState {
    pub(crate) dropped: Dropped,
    /// Spans, and bytes at most.
    pub(crate) held: (usize, usize),
}

/// What the tasks of a control plane share.
pub(crate) struct Shared {
    core: Mutex<Core>,
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) otlp: Arc<Counters>,
    pub(crate) pairing: Mutex<PairingState>,
    /// Places for streams of the state.
    pub(crate) watchers: Arc<Semaphore>,
    /// Tells others about decisions.
    pub(crate) notifier: Notifier,
    /// Ends every stream and task.
    pub(crate) shutdown: CancellationToken,
    /// The tasks that shutting down waits for.
    pub(crate) tasks: TaskTracker,
    tables: watch::Sender<Arc<wire::RouteTable>>,
    /// Held by whoever changes the state, until it is saved; bounded by `SAVE_PATIENCE`.
    turns: tokio::sync::Mutex<()>,
    changed: watch::Sender<u64>,
    /// How many changes were decided; counted under the lock.
    decided: AtomicU64,
    /// How many of those are saved, or were waited for long enough.
    settled: watch::Sender<u64>,
}

impl Shared {
    /// Around a state whose first table is `table`.
    pub(crate) fn new(
        core: Core,
        table: Arc<wire::RouteTable>,
        store: Store,
        clock: Clock,
    ) -> Shared {
        let (shutdown, tasks) = (CancellationToken::new(), TaskTracker::new());
        Shared {
            core: Mutex::new(core),
            store,
            clock,
            otlp: Arc::default(),
            pairing: Mutex::default(),
            watchers: Arc::new(Semaphore::new(MAX_WATCHERS)),
            notifier: Notifier::new(tasks.clone(), shutdown.clone()),
            shutdown,
            tasks,
            tables: watch::Sender::new(table),
            turns: tokio::sync::Mutex::default(),
            changed: watch::Sender::new(0),
            decided: AtomicU64::new(0),
            settled: watch::Sender::new(0),
        }
    }

    /// The time, both ways.
    pub(crate) fn moment(&self) -> Moment {
        Moment {
            now: self.clock.elapsed(),
            unix_ms: self.clock.unix_ms(),
        }
    }

    /// The state. Never held while waiting for anything. A panic in between leaves counters as
    /// they are, which are still worth more than none.
    pub(crate) fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, as operators see it.
    pub(crate) async fn status(&self) -> wire::Status {
        let look = |core: &mut Core, at| (status(core, at), core.replica.clone());
        let (mut state, replica) = self.shown(look).await;
        state.store = Some(wire::StoreStatus {
            replica: replica.name,
            leader: replica.leader,
            ..self.store.status()
        });
        state
    }

    /// What may be done with the ramps now.
    pub(crate) fn standing(&self) -> Standing {
        let now = self.clock.elapsed();
        let (leads, led) = {
            let core = self.core();
            (core.replica.leads(now), core.replica.led())
        };
        match self.store.outage() {
            None if leads => Standing::Leads,
            // Without the store nobody else can have taken over, as far as it can be known.
            Some(_) if leads || led => Standing::Careful(
                "the store is unavailable: the ramp stays until it is there again".to_owned(),
            ),
            _ => Standing::Follows,
        }
    }

    /// What `look` sees of the state, once that is saved: what somebody was shown is not undone by
    /// a crash. A slow store is waited for as long as tables wait for it.
    pub(crate) async fn shown<T>(&self, look: impl FnOnce(&mut Core, Moment) -> T) -> T {
        let (seen, decided) = {
            let mut core = self.core();
            let seen = look(&mut core, self.moment());
            (seen, self.decided.load(Ordering::Relaxed))
        };
        let mut settled = self.settled.subscribe();
        let saved = settled.wait_for(|settled| *settled >= decided);
        // When the time is over, it is shown all the same: operators need to see most when
        // something is wrong.
        let _ = tokio::time::timeout(SAVE_PATIENCE, saved).await;
        seen
    }

    /// The newest table, and every one after it.
    pub(crate) fn tables(&self) -> watch::Receiver<Arc<wire::RouteTable>> {
        self.tables.subscribe()
    }

    /// Wakes whoever watches the state.
    pub(crate) fn touch(&self) {
        self.changed
            .send_modify(|revision| *revision = revision.wrapping_add(1));
    }

    /// Tells when the state has changed.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Lets `decide` change the state. Where it decided anything, the change is saved and pushed;
    /// the inner result says whether it was saved. Where another control plane was faster, its state
    /// is taken over and `decide` is asked again. Goes on when the caller goes away.
    pub(crate) async fn change<E: Send + 'static>(
        self: &Arc<Self>,
        mut decide: impl FnMut(&mut Core, Moment) -> Result<Vec<wire::Decision>, E> + Send + 'static,
    ) -> Result<Result<(), StoreError>, E> {
        let shared = self.clone();
        let task = self.tasks.spawn(async move {
            for _ in 0..MAX_ATTEMPTS {
                // Alone, changes are handed over in their order, and none waits for the one before.
                let is_shared = shared.core().replica.is_shared();
                let turn = if is_shared {
                    Some(shared.turns.lock().await)
                } else {
                    None
                };
                let saved = shared.change_once(&mut decide).await?;
                drop(turn);
                if !matches!(saved, Err(StoreError::Overtaken)) {
                    return Ok(saved);
                }
                if let Err(error) = shared.adopt().await {
                    return Ok(Err(error));
                }
            }
            Ok(Err(StoreError::Overtaken))
        });
        // The task is never aborted; if it panicked, the panic goes on here.
        task.await
            .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }

    async fn change_once<E>(
        self: &Arc<Self>,
        decide: &mut (impl FnMut(&mut Core, Moment) -> Result<Vec<wire::Decision>, E> + Send),
    ) -> Result<Result<(), StoreError>, E> {
        let at = self.moment();
        let (number, table, manifest, decisions, saved) = {
            let mut core = self.core();
            let decisions = decide(&mut core, at)?;
            if decisions.is_empty() {
                return Ok(Ok(()));
            }
            let number = self.decided.fetch_add(1, Ordering::Relaxed) + 1;
            let table = core.renew();
            let change = core.change(decisions.clone());
            // Handed over under the lock, so that changes are saved in their order.
            let saved = self.store.submit(move |c| save_change(c, &change));
            (number, table, core.manifest.clone(), decisions, saved)
        };
        let saved = match saved {
            Ok(answer) => self.saved(answer, &decisions).await,
            Err(error) => {
                self.core().not_saved(decisions.clone());
                Err(error)
            }
        };
        let settle = |settled: &mut u64| *settled = number.max(*settled);
        self.settled.send_modify(settle);
        match &saved {
            Err(StoreError::Overtaken) => return Ok(Err(StoreError::Overtaken)),
            Err(error) => tracing::error!(%error, "a change is in force but not saved"),
            Ok(_) => {}
        }
        log(&decisions);
        self.push(table);
        // Those that are saved have their ids.
        let told = saved.as_ref().unwrap_or(&decisions);
        self.notifier.tell(&manifest, told);
        Ok(saved.map(|_| ()))
    }

    /// Takes over the state as the store holds it.
    pub(crate) async fn adopt(&self) -> Result<(), StoreError> {
        let _turn = self.turns.lock().await;
        let saved = self.store.call(load).await?;
        let at = self.moment();
        let table = self.core().adopt(&saved, at);
        self.tables.send_if_modified(|newest| {
            let another = **newest != *table;
            *newest = table;
            another
        });
        self.touch();
        Ok(())
    }

    /// Waits for an answer, within bounds. What is not saved is noted, to be saved later, also
    /// where that is told too late for whoever waits here.
    async fn saved(
        self: &Arc<Self>,
        mut answer: Answer<Committed>,
        decisions: &[wire::Decision],
    ) -> Result<Vec<wire::Decision>, StoreError> {
        let read = |answer: Result<Result<Committed, DatabaseError>, _>| match answer {
            Ok(Ok(Committed::Saved(decisions))) => Ok(decisions),
            Ok(Ok(Committed::Overtaken)) => Err(StoreError::Overtaken),
            Ok(Err(error)) => Err(StoreError::Failed(error)),
            Err(_) => Err(StoreError::Closed),
        };
        let Ok(answered) = tokio::time::timeout(SAVE_PATIENCE, &mut answer).await else {
            let (shared, decisions) = (self.clone(), decisions.to_vec());
            self.tasks.spawn(async move {
                if read(answer.await).is_err() {
                    shared.core().not_saved(decisions);
                }
            });
            return Err(StoreError::Slow);
        };
        let saved = read(answered);
        if !matches!(saved, Ok(_) | Err(StoreError::Overtaken)) {
            self.core().not_saved(decisions.to_vec());
        }
        saved
    }

    fn push(&self, table: Arc<wire::RouteTable>) {
        self.tables.send_if_modified(|newest| {
            let newer = table.generation > newest.generation;
            if newer {
                *newest = table;
            }
            newer
        });
        self.touch();
    }
}

fn log(decisions: &[wire::Decision]) {
    for d in decisions {
        let (scope, action, who, why) = (&d.scope, &d.action, &d.who, &d.why);
        let (from_bp, to_bp) = (d.from_bp, d.to_bp);
        tracing::info!(scope, action, from_bp, to_bp, who, why, "decided");
    }
}
