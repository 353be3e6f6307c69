//! The control plane: it gathers what proxies have counted and what traces say, judges it, moves
//! the weights, and tells the proxies and the operators.
//!
//! A report's way through the modules: `sync` takes it, `ledger` counts it once, `verdict`
//! judges the sum, `ramp` says what follows, `core` decides it, `shared` saves and pushes it.
//! A span's way: `otlp` reads it, `pairing` finds its counterpart, `traces` counts what
//! differs. The rest is `store`, `manifest_watch`, `deploys`, and for people and their tools
//! `operator` and `notify`.

mod clock;
mod control;
mod core;
mod deploys;
mod driver;
mod error;
mod fingerprint;
mod json;
mod ledger;
mod listener;
mod manifest_watch;
mod memory;
mod notify;
mod operator;
mod otlp;
mod pairing;
mod process;
mod ramp;
mod rates;
mod replicas;
mod report;
mod shared;
mod status;
mod store;
mod sync;
mod tally;
mod traces;
mod verdict;
mod words;

pub use control::{Control, ControlOptions, TOKEN_VARIABLE};
pub use error::StartError;
pub use otlp::{LeftOut, Way};
pub use store::OpenError;
