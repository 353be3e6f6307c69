//! Progress on standard error: one line that is rewritten on a terminal, else a line now and then.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use tokio::time::Instant;

use crate::text;

/// How often a terminal's line is rewritten.
const TERMINAL_EVERY: Duration = Duration::from_millis(250);
/// How often a log gets a line.
const LOG_EVERY: Duration = Duration::from_secs(5);

/// Tells how far a replay is.
#[derive(Debug)]
pub(super) struct Progress {
    started: Instant,
    due: Instant,
    bytes: u64,
    terminal: bool,
    told: bool,
}

impl Progress {
    /// Starts the clock. `bytes` is the recording's size.
    pub(super) fn start(bytes: u64) -> Progress {
        let terminal = io::stderr().is_terminal();
        let started = Instant::now();
        Progress {
            started,
            due: started + every(terminal),
            bytes,
            terminal,
            told: false,
        }
    }

    /// When to tell next.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Tells it.
    pub(super) fn tell(&mut self, calls: u64, position: u64) {
        self.due = Instant::now() + every(self.terminal);
        let line = line(calls, position, self.bytes, self.started.elapsed());
        // A standard error that nobody reads changes nothing.
        let _ = match self.terminal {
            true => write!(io::stderr(), "\r\x1b[K{line}"),
            false => writeln!(io::stderr(), "{line}"),
        };
        self.told = true;
    }

    /// Clears the terminal's line.
    pub(super) fn finish(&self) {
        if self.terminal && self.told {
            // As above.
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn every(terminal: bool) -> Duration {
    if terminal { TERMINAL_EVERY } else { LOG_EVERY }
}

fn line(calls: u64, position: u64, bytes: u64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64().max(1e-3);
    let rate = calls as f64 / seconds;
    let done = (position as f64 / bytes.max(1) as f64).clamp(0.0, 1.0);
    let mut line = format!(
        "{calls} calls, {rate:.0} /s, {:.0} % of the file",
        done * 100.0
    );
    if done > 0.0 && calls > 0 {
        let left = seconds * (1.0 - done) / done;
        let whole = left.min(1e9).ceil() as i64;
        line += &format!(", about {} left", text::length(whole * 1000));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_calls_rate_share_and_the_time_left() {
        let told = line(500, 25, 100, Duration::from_secs(10));
        assert_eq!(told, "500 calls, 50 /s, 25 % of the file, about 30s left");
    }

    #[test]
    fn says_nothing_of_the_time_left_before_there_is_something_to_go_by() {
        assert_eq!(
            line(0, 0, 0, Duration::ZERO),
            "0 calls, 0 /s, 0 % of the file"
        );
    }
}
