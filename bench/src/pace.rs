//! When calls of an open loop start. The kernel's own timer rather than the runtime's, which counts
//! in whole milliseconds: an error of half a millisecond would be most of a fast server's latency.

use std::io;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rustix::fd::AsFd;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::net::unix::pipe::Receiver;
use tokio::time::Instant;

use crate::args::Arrivals;

/// The starts of calls, one after the other, as offsets from the start of the run.
pub(crate) struct Schedule {
    random: StdRng,
    arrivals: Arrivals,
    gap_seconds: f64,
    at_seconds: f64,
}

impl Schedule {
    /// `rate` calls a second on average; the same seed gives the same times.
    pub(crate) fn new(rate: f64, arrivals: Arrivals, seed: u64) -> Schedule {
        let random = StdRng::seed_from_u64(seed);
        Schedule {
            random,
            arrivals,
            gap_seconds: 1.0 / rate,
            at_seconds: 0.0,
        }
    }
}

impl Iterator for Schedule {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let gap = match self.arrivals {
            Arrivals::Even => 1.0,
            Arrivals::Poisson => -(1.0 - self.random.random::<f64>()).ln(),
        };
        self.at_seconds += gap * self.gap_seconds;
        Some(Duration::from_secs_f64(self.at_seconds))
    }
}

/// Waits for points in time to within some tens of microseconds.
pub(crate) struct Timer(Receiver);

impl Timer {
    /// A timer on the current runtime.
    pub(crate) fn new() -> io::Result<Timer> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        // A timer is read like a pipe; the runtime's wrapper for any descriptor is unsafe.
        Ok(Timer(Receiver::from_owned_fd_unchecked(timer)?))
    }

    /// Returns at `at`, or at once if that has passed.
    pub(crate) async fn until(&self, at: Instant) -> io::Result<()> {
        let wait = at.saturating_duration_since(Instant::now());
        if wait.is_zero() {
            return Ok(());
        }
        let value = Timespec {
            tv_sec: wait.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: wait.subsec_nanos().into(),
        };
        let once = Itimerspec {
            it_interval: Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: value,
        };
        timerfd_settime(self.0.as_fd(), TimerfdTimerFlags::empty(), &once)?;
        let mut expirations = [0_u8; 8];
        loop {
            self.0.readable().await?;
            match self.0.try_read(&mut expirations) {
                // Readiness may be that of the time before; only the read tells.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read.map(|_| ()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_keep_their_rate() {
        for arrivals in [Arrivals::Even, Arrivals::Poisson] {
            let last = Schedule::new(100.0, arrivals, 3).nth(9_999).unwrap();
            assert!(
                (95.0..105.0).contains(&last.as_secs_f64()),
                "10,000 calls took {last:?}"
            );
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_times() {
        let times = |seed| -> Vec<_> {
            Schedule::new(1e3, Arrivals::Poisson, seed)
                .take(9)
                .collect()
        };
        assert_eq!(times(1), times(1));
        assert_ne!(times(1), times(2));
    }

    #[tokio::test]
    async fn the_timer_waits_until_its_time_and_not_for_the_past() {
        let timer = Timer::new().unwrap();
        let at = Instant::now() + Duration::from_micros(300);
        timer.until(at).await.unwrap();
        assert!(Instant::now() >= at);
        timer.until(at).await.unwrap();
    }
}
