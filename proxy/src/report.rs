//! Report: the stream to the control plane. Tables come down and are put in force or refused
//! whole; reports go up, cumulative, so a lost one loses nothing. Without a control plane the last
//! table stays in force.

mod encode;
mod snapshot;
mod sync;
mod tables;

pub(crate) use snapshot::{Runtimes, Snapshot, SnapshotRequest, TakeSamples};
pub(crate) use sync::{Control, sync};
pub(crate) use tables::{Tables, describe};
