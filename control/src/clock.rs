//! The one place that reads clocks. Everything below it takes the time as a plain number, so tests
//! need no sleeping, and a jump of the wall clock moves nothing but what people read.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Reads the time: monotonic for every decision, wall clock for what people read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
    began_unix_ns: u64,
}

impl Clock {
    /// A clock that starts now.
    pub(crate) fn start() -> Clock {
        Clock {
            origin: Instant::now(),
            began_unix_ns: u64::try_from(since_epoch().as_nanos()).unwrap_or(u64::MAX),
        }
    }

    /// Time since the clock was started; never goes back.
    pub(crate) fn elapsed(&self) -> Duration {
        self.origin.elapsed()
    }

    /// When the clock was started, nanoseconds since the Unix epoch by the wall clock.
    pub(crate) fn began_unix_ns(&self) -> u64 {
        self.began_unix_ns
    }

    /// Milliseconds since the Unix epoch, by the wall clock.
    pub(crate) fn unix_ms(&self) -> i64 {
        i64::try_from(since_epoch().as_millis()).unwrap_or(i64::MAX)
    }

    /// Nanoseconds since the Unix epoch, by the wall clock.
    pub(crate) fn unix_ns(&self) -> u64 {
        u64::try_from(since_epoch().as_nanos()).unwrap_or(u64::MAX)
    }
}

fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
