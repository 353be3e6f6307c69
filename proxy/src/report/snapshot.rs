//! Snapshots of all runtimes' counters, taken by message so that the call's path shares nothing.

use std::time::Duration;

use cutover_proto::cutover::v1::Sample;
use tokio::sync::{mpsc, oneshot};

use crate::observe::Stats;

/// A runtime that doesn't answer within this time is left out of a snapshot.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Whether samples are taken along; what is taken is gone from the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TakeSamples {
    Yes,
    No,
}

/// Asks a runtime for its counters.
pub(crate) struct SnapshotRequest {
    pub(crate) samples: TakeSamples,
    pub(crate) reply: oneshot::Sender<Snapshot>,
}

/// What was counted so far.
#[derive(Default)]
pub(crate) struct Snapshot {
    pub(crate) stats: Stats,
    pub(crate) samples: Vec<Sample>,
    pub(crate) samples_dropped: u64,
}

/// All runtimes that count.
#[derive(Clone, Debug)]
pub(crate) struct Runtimes(pub(crate) Vec<mpsc::Sender<SnapshotRequest>>);

impl Runtimes {
    /// All counters, added up; `None` where a runtime didn't answer, because a sum without it
    /// would fall.
    pub(crate) async fn snapshot(&self, samples: TakeSamples) -> Option<Snapshot> {
        let mut sum = Snapshot::default();
        for runtime in &self.0 {
            let (reply, answer) = oneshot::channel();
            let asked = runtime.send(SnapshotRequest { samples, reply });
            let answered = async {
                asked.await.ok()?;
                answer.await.ok()
            };
            let one = tokio::time::timeout(TIMEOUT, answered)
                .await
                .ok()
                .flatten()?;
            sum.stats.merge(one.stats);
            sum.samples.extend(one.samples);
            sum.samples_dropped += one.samples_dropped;
        }
        Some(sum)
    }
}
