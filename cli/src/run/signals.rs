//! SIGTERM and SIGINT: the first asks for a graceful end, the second for an end at once.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::Failure;

/// The number of SIGINT, as shells count it.
const SIGINT: i32 = 2;
/// The number of SIGTERM, as shells count it.
const SIGTERM: i32 = 15;

/// The signals that end a process.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Takes both signals over. Called before anything starts, so that none is lost.
    pub(crate) fn listen() -> Result<Signals, Failure> {
        let take = |kind| {
            signal(kind).map_err(|error| Failure::failed(format!("can't take signals: {error}")))
        };
        Ok(Signals {
            interrupt: take(SignalKind::interrupt())?,
            terminate: take(SignalKind::terminate())?,
        })
    }

    /// Waits for the signal that asks for a graceful end.
    pub(crate) async fn first(&mut self) {
        let signal = self.next().await;
        tracing::info!(signal, "ending gracefully; a second signal ends at once");
    }

    /// Waits for the next signal and returns its number.
    pub(crate) async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.interrupt.recv() => SIGINT,
            _ = self.terminate.recv() => SIGTERM,
        }
    }
}
