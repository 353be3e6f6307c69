//! The one place that reads clocks. Everything below it takes the time as a plain number, so tests
//! need no sleeping, and a jump of the wall clock moves nothing but what people read.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Reads the time: monotonic for every decision, wall clock for what people read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock that starts now.
    pub(crate) fn start() -> Clock {
        Clock {
            origin: Instant::now(),
        }
    }

    /// Time since the clock was started; never goes back.
    pub(crate) fn elapsed(&self) -> Duration {
        self.origin.elapsed()
    }

    /// Milliseconds since the Unix epoch, by the wall clock.
    pub(crate) fn unix_ms(&self) -> i64 {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }
}
