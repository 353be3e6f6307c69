//! Tells others about decisions, by webhook. Decisions are handed over with `try_send` after they
//! took effect: whoever is slow or away delays no weight and nobody else, for each address has a
//! queue and a task of its own. What can't be delivered is counted and logged.

mod post;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cutover_manifest::{Event, Manifest, Notify};
use cutover_proto::cutover::v1 as wire;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::json::json;
use post::{PostError, post};

/// Most notifications that wait for one address.
const QUEUE: usize = 256;
/// How long one attempt may take, from connecting to the answer's head.
const ATTEMPT_WITHIN: Duration = Duration::from_secs(5);
/// How long to wait after each attempt that failed, before the next one; none after the last.
const BACKOFF: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];

/// What became of notifications, for metrics.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Answered with 2xx.
    pub(crate) sent: AtomicU64,
    /// The address's queue was full.
    pub(crate) queue_full: AtomicU64,
    /// Not delivered by the last attempt, or refused.
    pub(crate) failed: AtomicU64,
    /// Still waiting when the control plane ended.
    pub(crate) shutdown: AtomicU64,
}

/// Hands decisions over to one task for each address.
#[derive(Debug)]
pub(crate) struct Notifier {
    queues: Mutex<BTreeMap<String, mpsc::Sender<Bytes>>>,
    counters: Arc<Counters>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

/// What is sent.
#[derive(serde::Serialize)]
struct Notification<'a> {
    manifest: &'a str,
    events: &'a BTreeSet<&'static str>,
    decision: serde_json::Value,
}

impl Notifier {
    /// Runs its tasks among `tasks`, until `shutdown`.
    pub(crate) fn new(tasks: TaskTracker, shutdown: CancellationToken) -> Notifier {
        Notifier {
            queues: Mutex::default(),
            counters: Arc::default(),
            tasks,
            shutdown,
        }
    }

    /// What became of notifications so far.
    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Hands decisions to all that the manifest tells about them. Never waits.
    pub(crate) fn tell(&self, manifest: &Manifest, decisions: &[wire::Decision]) {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        // A task whose address is gone from the manifest delivers what it has, and ends.
        queues.retain(|url, _| manifest.notify.iter().any(|notify| notify.url == *url));
        if manifest.notify.is_empty() || self.shutdown.is_cancelled() {
            return;
        }
        for decision in decisions {
            let events = events(decision);
            let names: BTreeSet<&str> = events.iter().map(|event| event.as_str()).collect();
            let wanted = |notify: &&Notify| !notify.events.is_disjoint(&events);
            let mut told = manifest.notify.iter().filter(wanted).peekable();
            if told.peek().is_none() {
                continue;
            }
            let Some(body) = body(&manifest.name, &names, decision) else {
                continue;
            };
            for notify in told {
                let queue = queues
                    .entry(notify.url.clone())
                    .or_insert_with(|| self.start(notify));
                if queue.try_send(body.clone()).is_err() {
                    self.counters.queue_full.fetch_add(1, Ordering::Relaxed);
                    let (authority, id) = (&notify.authority, decision.id);
                    tracing::warn!(
                        authority,
                        id,
                        "the queue is full: a notification is dropped"
                    );
                }
            }
        }
    }

    fn start(&self, notify: &Notify) -> mpsc::Sender<Bytes> {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let (notify, counters) = (notify.clone(), self.counters.clone());
        self.tasks
            .spawn(deliver(notify, waiting, counters, self.shutdown.clone()));
        queue
    }
}

/// Delivers what waits for one address, in order.
async fn deliver(
    notify: Notify,
    mut waiting: mpsc::Receiver<Bytes>,
    counters: Arc<Counters>,
    shutdown: CancellationToken,
) {
    let authority = &notify.authority;
    loop {
        let body = tokio::select! {
            () = shutdown.cancelled() => break,
            body = waiting.recv() => body,
        };
        let Some(body) = body else { return };
        let delivered = tokio::select! {
            () = shutdown.cancelled() => {
                counters.shutdown.fetch_add(1, Ordering::Relaxed);
                break;
            }
            delivered = attempts(&notify, body) => delivered,
        };
        match delivered {
            Ok(()) => _ = counters.sent.fetch_add(1, Ordering::Relaxed),
            Err(error) => {
                counters.failed.fetch_add(1, Ordering::Relaxed);
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(authority, %error, cause, "a notification is not delivered");
            }
        }
    }
    let left = waiting.len() as u64;
    counters.shutdown.fetch_add(left, Ordering::Relaxed);
    if left > 0 {
        tracing::warn!(
            authority,
            left,
            "notifications are not delivered at the end"
        );
    }
}

/// Tries until it is delivered, refused, or was tried often enough.
async fn attempts(notify: &Notify, body: Bytes) -> Result<(), PostError> {
    let mut backoff = BACKOFF.into_iter();
    loop {
        let tried = tokio::time::timeout(ATTEMPT_WITHIN, post(notify, body.clone())).await;
        let error = match tried {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error,
            Err(_) => PostError::Late,
        };
        match backoff.next() {
            Some(pause) if error.may_pass() => tokio::time::sleep(pause).await,
            _ => return Err(error),
        }
    }
}

/// The events that a decision is.
fn events(decision: &wire::Decision) -> BTreeSet<Event> {
    let mut events: BTreeSet<Event> = Event::ALL
        .into_iter()
        .filter(|event| *event != Event::Healthy && event.as_str() == decision.action)
        .collect();
    let steps = matches!(decision.action.as_str(), "advance" | "promote");
    if steps && decision.phase() == wire::Phase::Healthy {
        events.insert(Event::Healthy);
    }
    events
}

fn body(name: &str, events: &BTreeSet<&'static str>, decision: &wire::Decision) -> Option<Bytes> {
    // The counters stay in the log: a notification is for people.
    let decision = wire::Decision {
        basis: None,
        ..decision.clone()
    };
    let written = json("Decision", &decision)
        .map_err(|error| error.to_string())
        .and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string()))
        .and_then(|decision| {
            let notification = Notification {
                manifest: name,
                events,
                decision,
            };
            serde_json::to_vec(&notification).map_err(|error| error.to_string())
        });
    match written {
        Ok(body) => Some(body.into()),
        Err(error) => {
            tracing::error!(error, "a decision can't be written as JSON");
            None
        }
    }
}

#[cfg(test)]
mod tests;
