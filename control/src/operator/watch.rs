//! The state as a stream: now, and again when it changes, at most once a second.

use std::sync::Arc;
use std::time::Duration;

use cutover_proto::cutover::v1 as wire;
use futures_util::Stream;

use crate::shared::Shared;
use crate::status::status;

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

/// The states, until shutdown.
pub(super) fn states(shared: Arc<Shared>, pace: Pace) -> impl Stream<Item = wire::Status> + Send {
    let changes = shared.changes();
    let first = true;
    futures_util::stream::unfold((shared, changes, first), move |(shared, mut changes, first)| {
        async move {
            if !first {
                let longest = match pace {
                    Pace::OnChange => None,
                    Pace::Steady => Some(AT_LEAST_EVERY - AT_MOST_EVERY),
                };
                let next = async {
                    tokio::time::sleep(AT_MOST_EVERY).await;
                    match longest {
                        // Whether it changed or the time has passed is the same here.
                        Some(longest) => _ = tokio::time::timeout(longest, changes.changed()).await,
                        None => _ = changes.changed().await,
                    }
                };
                tokio::select! {
                    () = shared.shutdown.cancelled() => return None,
                    () = next => {}
                }
            }
            changes.mark_unchanged();
            let state = status(&mut shared.core(), shared.moment());
            Some((state, (shared, changes, false)))
        }
    })
}
