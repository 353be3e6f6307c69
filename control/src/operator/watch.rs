//! The state as a stream: now, and again when it changes, at most once a second.

use std::sync::Arc;
use std::time::Duration;

use cutover_proto::cutover::v1 as wire;
use futures_util::Stream;
use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::shared::Shared;

/// Shortest time between two states.
const AT_MOST_EVERY: Duration = Duration::from_secs(1);
/// Longest time between two states of [`Pace::Steady`].
const AT_LEAST_EVERY: Duration = Duration::from_secs(2);

/// When there is a next state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// When something has changed.
    OnChange,
    /// When something has changed, or 2 s have passed.
    Steady,
}

/// The states, until shutdown; nothing where too many watch already.
pub(super) fn states(
    shared: Arc<Shared>,
    pace: Pace,
) -> Option<impl Stream<Item = wire::Status> + Send> {
    let place = shared.watchers.clone().try_acquire_owned().ok()?;
    let changes = shared.changes();
    let start = Watcher {
        shared,
        changes,
        first: true,
        _place: place,
    };
    Some(futures_util::stream::unfold(start, move |watcher| {
        watcher.next(pace)
    }))
}

/// One who watches.
struct Watcher {
    shared: Arc<Shared>,
    changes: watch::Receiver<u64>,
    first: bool,
    _place: OwnedSemaphorePermit,
}

impl Watcher {
    async fn next(mut self, pace: Pace) -> Option<(wire::Status, Watcher)> {
        if !self.first {
            let shutdown = self.shared.shutdown.clone();
            tokio::select! {
                () = shutdown.cancelled() => return None,
                () = self.due(pace) => {}
            }
        }
        self.first = false;
        self.changes.mark_unchanged();
        let state = self.shared.status().await;
        Some((state, self))
    }

    async fn due(&mut self, pace: Pace) {
        tokio::time::sleep(AT_MOST_EVERY).await;
        // Whether the state has changed, the time has passed or all is over: the next one is due.
        match pace {
            Pace::OnChange => _ = self.changes.changed().await,
            Pace::Steady => {
                let rest = AT_LEAST_EVERY - AT_MOST_EVERY;
                _ = tokio::time::timeout(rest, self.changes.changed()).await;
            }
        }
    }
}
