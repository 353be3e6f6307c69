//! Whether the database does what it is asked, for those who look at the state from outside.

use std::sync::{Mutex, PoisonError};

use super::database::{DatabaseError, chain};
use crate::clock::Clock;

/// The database does not do what it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outage {
    /// Since when, ms since the Unix epoch.
    pub(crate) since_unix_ms: i64,
    /// What it said first.
    pub(crate) why: String,
}

/// What the last job said of the database.
pub(crate) struct Health {
    clock: Clock,
    outage: Mutex<Option<Outage>>,
}

impl Health {
    pub(super) fn new(clock: Clock) -> Health {
        Health {
            clock,
            outage: Mutex::default(),
        }
    }

    /// Since when it fails, if it does.
    pub(crate) fn outage(&self) -> Option<Outage> {
        self.outage
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Notes that a job failed.
    pub(super) fn bad(&self, error: &DatabaseError) {
        let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        if outage.is_none() {
            let why = chain(error);
            tracing::error!(
                why,
                "the store is unavailable: what is counted waits for it"
            );
            *outage = Some(Outage {
                since_unix_ms: self.clock.unix_ms(),
                why,
            });
        }
    }

    /// Notes that something was written.
    pub(super) fn good(&self) {
        let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(outage) = outage.take() {
            let away_ms = self.clock.unix_ms() - outage.since_unix_ms;
            tracing::info!(away_ms, "the store is available again");
        }
    }
}
