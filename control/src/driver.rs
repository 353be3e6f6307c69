//! The tasks that run by themselves: the ramp's beat, the snapshots, and pairing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cutover_compare::trace::diff_pair;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::core::{ChangeError, Core, Moment};
use crate::deploys::Running;
use crate::otlp::Batch;
use crate::pairing::{Bounds, Outcome, Pairing};
use crate::process::{ProcessKey, Reading};
use crate::replicas;
use crate::shared::{PairingState, Shared};
use crate::store::{
    Committed, Session, Store, StoreError, prune, save_change, save_decisions, save_snapshot,
    save_trace_pair,
};
use crate::traces::{Compare, Examined, Taken};
use crate::verdict::Question;

/// How often snapshots are saved, rates taken and gone proxies looked for.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(1);
/// How often what is too old or too much is looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(60);
/// How often pairing looks for what is complete.
const SWEEP_EVERY: Duration = Duration::from_millis(250);
/// Pairs that are compared until others may use the thread.
const YIELD_EVERY: usize = 64;
/// Bounds of the ramp's interval.
const FASTEST_BEAT: Duration = Duration::from_millis(20);
const SLOWEST_BEAT: Duration = Duration::from_secs(3_600);

/// Starts all of them; they end with `shared.shutdown`.
pub(crate) fn start(shared: &Arc<Shared>, batches: mpsc::Receiver<Batch>) {
    shared.tasks.spawn(beat(shared.clone()));
    shared.tasks.spawn(snapshots(shared.clone()));
    shared.tasks.spawn(pruning(shared.clone()));
    if shared.core().replica.is_shared() {
        shared.tasks.spawn(replicas::follow(shared.clone()));
    }
    shared.tasks.spawn(pair(shared.clone(), batches));
}

/// Judges the evidence every `ramp.interval`, and moves the ramps.
async fn beat(shared: Arc<Shared>) {
    loop {
        let interval = {
            let core = shared.core();
            core.manifest
                .ramp
                .as_ref()
                .map_or(SNAPSHOT_EVERY, |ramp| ramp.interval)
        };
        let pause = tokio::time::sleep(interval.clamp(FASTEST_BEAT, SLOWEST_BEAT));
        tokio::select! {
            () = shared.shutdown.cancelled() => return,
            () = pause => {}
        }
        let questions = shared.core().questions(shared.moment());
        let epoch = questions.epoch;
        let judged = tokio::task::spawn_blocking(move || {
            let judge = |(scope, question): (_, Question)| (scope, question.assess());
            questions.of.into_iter().map(judge).collect::<Vec<_>>()
        });
        let answers = match judged.await {
            Ok(answers) => answers,
            Err(error) => {
                tracing::error!(%error, "judging failed: no weight moves");
                continue;
            }
        };
        let standing = shared.standing();
        let decide = move |core: &mut Core, at| {
            Ok::<_, ChangeError>(core.answers(epoch, answers.clone(), &standing, at))
        };
        // What could not be saved was logged, and the next snapshot saves it again.
        let _ = shared.change(decide).await;
        let moved = shared.core().take_verdicts_moved();
        if moved {
            shared.touch();
        }
    }
}

/// Saves what changed in the evidence, once a second and at the end.
async fn snapshots(shared: Arc<Shared>) {
    let mut every = tokio::time::interval(SNAPSHOT_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut available = true;
    loop {
        tokio::select! {
            () = shared.shutdown.cancelled() => return,
            _ = every.tick() => {}
        }
        // The store has said what fails, and since when; the next snapshot tries again.
        let _ = save(&shared).await;
        let was = std::mem::replace(&mut available, shared.store.outage().is_none());
        if was != available {
            shared.touch();
        }
    }
}

/// Drops what is too old or too much.
async fn pruning(shared: Arc<Shared>) {
    let mut every = tokio::time::interval(PRUNE_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shared.shutdown.cancelled() => return,
            _ = every.tick() => {}
        }
        let retention = shared.core().manifest.control.retention;
        let unix_ms = shared.clock.unix_ms();
        let pruned = shared
            .store
            .call(move |session| prune(session, retention, unix_ms));
        // Where the store fails it has said so itself.
        if pruned.await.unwrap_or(false) {
            shared.store.shrink();
        }
    }
}

/// Saves what changed in the evidence, and first what could not be saved before.
pub(crate) async fn save(shared: &Arc<Shared>) -> Result<(), StoreError> {
    // Handed over under the lock like every change: handed over later, it would put the ramps back
    // to where they were before a change that came in between.
    let pending = {
        let mut core = shared.core();
        core.take_pending().map(|change| {
            let decisions = change.decisions.clone();
            let submitted = shared.store.submit(move |c| save_change(c, &change));
            (decisions, submitted)
        })
    };
    if let Some((decisions, submitted)) = pending {
        match Store::answer(submitted).await {
            Ok(Committed::Saved(_)) => {}
            Ok(Committed::Overtaken) => {
                // Another control plane has moved on in the meantime: its state is in force from
                // now on, and the log tells what was in force here.
                let log = move |session: &mut dyn Session| save_decisions(session, &decisions);
                shared.store.call(log).await?;
                shared.adopt().await?;
            }
            Err(error) => {
                shared.core().not_saved(decisions);
                return Err(error);
            }
        }
    }
    let (snapshot, submitted) = {
        let mut core = shared.core();
        let now = shared.clock.elapsed();
        if core.replica.leads(now) {
            core.ledger.retire_gone(now);
        }
        let totals = core.ledger.totals();
        core.rates.take(&totals, now);
        let snapshot = Arc::new(core.snapshot(now));
        let job = snapshot.clone();
        let submitted = shared.store.submit(move |c| save_snapshot(c, &job));
        (snapshot, submitted)
    };
    let saved = Store::answer(submitted).await;
    if saved.is_err() {
        shared.core().give_back(&snapshot);
    }
    saved
}

/// Pairs the spans that come in, and counts what the pairs say.
async fn pair(shared: Arc<Shared>, mut batches: mpsc::Receiver<Batch>) {
    let began_unix_ns = shared.clock.began_unix_ns();
    let mut pairing = Pairing::new(bounds(&shared), began_unix_ns);
    let mut every = tokio::time::interval(SWEEP_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let outcomes = tokio::select! {
            () = shared.shutdown.cancelled() => return,
            batch = batches.recv() => {
                let Some(batch) = batch else { return };
                let now = shared.clock.elapsed();
                take_running(&shared, batch.running, now);
                take_readings(&shared, batch.readings, now);
                let spans = batch.spans.into_iter();
                spans.flat_map(|span| pairing.add(span, now)).collect()
            }
            _ = every.tick() => {
                pairing.set_bounds(bounds(&shared));
                pairing.sweep(shared.clock.elapsed())
            }
        };
        if let Ok(mut state) = shared.pairing.lock() {
            *state = PairingState {
                dropped: pairing.dropped(),
                held: pairing.held(),
            };
        }
        if !outcomes.is_empty() {
            count(&shared, outcomes, diff_pair).await;
        }
    }
}

fn bounds(shared: &Shared) -> Bounds {
    Bounds::from(&shared.core().manifest.control.tracing)
}

/// A deploy begins an epoch; pairing doesn't wait until it is saved.
fn take_running(shared: &Arc<Shared>, running: BTreeSet<Running>, now: Duration) {
    if running.is_empty() {
        return;
    }
    let deploys = shared.core().versions.hear(running.clone(), now);
    if deploys.is_empty() {
        return;
    }
    let changing = shared.clone();
    let mut first = Some(deploys);
    let decide = move |core: &mut Core, at: Moment| {
        // Asked again, another control plane may have heard of it already.
        let again = |core: &mut Core| core.versions.hear(running.clone(), at.now);
        let deploys = first.take().unwrap_or_else(|| again(core));
        Ok::<_, ChangeError>(if deploys.is_empty() {
            Vec::new()
        } else {
            core.deployed(&deploys, at)
        })
    };
    shared.tasks.spawn(async move {
        // What could not be saved was logged, and the next snapshot saves it again.
        let _ = changing.change(decide).await;
    });
}

fn take_readings(shared: &Shared, readings: Vec<(ProcessKey, Reading)>, now: Duration) {
    if readings.is_empty() {
        return;
    }
    let mut core = shared.core();
    for (key, reading) in readings {
        core.processes.take(key, reading, now);
    }
    drop(core);
    shared.touch();
}

async fn count(shared: &Shared, outcomes: Vec<Outcome>, compare: Compare) {
    let at = shared.moment();
    let mut kept = Vec::new();
    for (index, outcome) in outcomes.into_iter().enumerate() {
        // Compared first, and counted one at a time, so that a flood of pairs keeps nobody else
        // from the state, nor from the thread.
        let examined = Examined::new(outcome, compare);
        let taken = shared.core().traces.count(&examined, at.now);
        if taken == Taken::Keep {
            kept.extend(examined.to_wire(at.unix_ms));
        }
        if index % YIELD_EVERY == YIELD_EVERY - 1 {
            tokio::task::yield_now().await;
        }
    }
    shared.touch();
    if kept.is_empty() {
        return;
    }
    let saved = shared.store.submit(move |session| {
        kept.iter()
            .try_for_each(|pair| save_trace_pair(session, pair))
    });
    if let Err(error) = saved {
        tracing::warn!(%error, "pairs of traces are not kept");
    }
}

#[cfg(test)]
mod tests {
    use cutover_compare::trace::{Span, Subtree, TraceDiff};
    use cutover_manifest::{Arm, Manifest, MethodPath, Weight};
    use cutover_proto::cutover::v1::Decision;

    use super::*;
    use crate::clock::Clock;
    use crate::pairing::Pair;
    use crate::replicas::Replica;
    use crate::store::list_decisions;
    use crate::store::testing::Place;
    use crate::words::ALL;

    const MANIFEST: &str = "
apiVersion: cutover.dev/v1alpha1
kind: Cutover
metadata: { name: a }
spec:
  legacy: { url: \"http://127.0.0.1:1\" }
  candidate: { url: \"http://127.0.0.1:2\" }
";

    /// Around a store.
    fn shared(place: &Place) -> Arc<Shared> {
        let (store, saved) = place.store();
        let manifest = Arc::new(Manifest::parse("test", MANIFEST).unwrap());
        let at = crate::core::Moment {
            now: Duration::ZERO,
            unix_ms: 1,
        };
        let (mut core, _) = Core::new(manifest, &saved, Replica::alone(), at);
        let table = core.renew();
        Arc::new(Shared::new(core, table, store, Clock::start()))
    }

    /// A complete pair of a trace of its own; neither arm did anything.
    fn pair_of(trace: u8) -> Outcome {
        let subtree = || Subtree {
            root: Span {
                trace_id: [trace; 16],
                ..Span::default()
            },
            spans: Vec::new(),
        };
        Outcome::Pair(Box::new(Pair {
            method: MethodPath::parse("/a.B/C").unwrap(),
            primary: Arm::Legacy,
            legacy: subtree(),
            candidate: subtree(),
            answer_bytes: None,
        }))
    }

    #[tokio::test]
    async fn a_comparison_that_panics_gives_up_its_pair_and_no_other() {
        fn defective(legacy: &Subtree, candidate: &Subtree) -> TraceDiff {
            assert_ne!(legacy.root.trace_id, [2; 16], "a defect");
            diff_pair(legacy, candidate)
        }
        let shared = shared(&Place::sqlite().unwrap());
        let before = shared.core().table_message();
        count(&shared, [1, 2, 3].map(pair_of).into(), defective).await;
        let status = shared.core().traces.status("/a.B/C").unwrap();
        assert_eq!((status.compared, status.mismatched), (2, 0));
        assert_eq!(status.incomplete, [("comparer_failed".into(), 1)].into());
        assert_eq!(
            shared.core().table_message(),
            before,
            "routing is untouched"
        );
    }

    fn override_all(
        weight: Weight,
    ) -> impl FnMut(&mut Core, crate::core::Moment) -> Result<Vec<Decision>, ChangeError> {
        move |core, at| core.set_weight(ALL, Some(weight), ("ada", "why"), at)
    }

    #[tokio::test]
    async fn nobody_is_shown_what_is_not_saved_yet() {
        let shared = shared(&Place::sqlite().unwrap());
        let (go_on, stalled) = std::sync::mpsc::channel::<()>();
        let stalled = shared
            .store
            .submit(move |_| Ok(stalled.recv().is_ok()))
            .unwrap();
        let changing = shared.clone();
        let changing =
            tokio::spawn(async move { changing.change(override_all(Weight::FULL)).await });
        while shared.core().overrides.is_empty() {
            tokio::task::yield_now().await;
        }
        let mut shown = Box::pin(shared.shown(|core, _| core.overrides.len()));
        assert!(futures_util::poll!(&mut shown).is_pending());
        go_on.send(()).unwrap();
        assert_eq!(shown.await, 1);
        changing.await.unwrap().unwrap().unwrap();
        assert!(stalled.await.unwrap().unwrap());
    }

    #[tokio::test]
    async fn a_store_that_fails_delays_no_table_and_gets_everything_later() {
        let place = Place::sqlite().unwrap();
        let shared = shared(&place);
        let rename = |sql: &'static str| shared.store.call(move |c| c.execute(sql, &[]));
        rename("ALTER TABLE ramps RENAME TO gone").await.unwrap();
        rename("ALTER TABLE overrides RENAME TO gone_too")
            .await
            .unwrap();
        let saved = shared.change(override_all(Weight::FULL)).await.unwrap();
        assert!(saved.is_err());
        let pushed = shared.tables().borrow().weights.clone().unwrap();
        assert_eq!(pushed.override_bp, Some(10_000), "routing goes on");
        assert!(save(&shared).await.is_err());
        assert!(save(&shared).await.is_err());

        rename("ALTER TABLE gone RENAME TO ramps").await.unwrap();
        rename("ALTER TABLE gone_too RENAME TO overrides")
            .await
            .unwrap();
        save(&shared).await.unwrap();
        let decisions = shared.store.call(|c| list_decisions(c, 10)).await.unwrap();
        assert_eq!(decisions.len(), 1, "once, however often it was tried");
        shared.store.close();
        let (_, saved) = place.store();
        assert_eq!(saved.overrides.len(), 1);
    }
}
