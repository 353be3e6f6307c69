//! What a run has seen, and how it is told.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::args::{Load, Mode};
use crate::connection::Outcome;
use crate::usage::ProcessUse;

/// Longest latency told apart, µs.
const MAX_LATENCY_US: u64 = 600_000_000;
/// Most values of the counted metadata; calls with others count together as "_OTHER".
const MAX_TALLY: usize = 100;
const STATUSES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// What a run has seen so far.
pub(crate) struct Recorder {
    paths: Vec<String>,
    latency: Vec<Histogram<u64>>,
    by_status: BTreeMap<String, u64>,
    tally: BTreeMap<String, u64>,
    unfinished: u64,
    not_started: u64,
}

impl Recorder {
    /// Nothing seen of these paths.
    pub(crate) fn new(paths: Vec<String>) -> Recorder {
        let histogram = Histogram::new_with_bounds(1, MAX_LATENCY_US, 3);
        let latency = vec![histogram.expect("the bounds are valid"); paths.len()];
        Recorder {
            paths,
            latency,
            by_status: BTreeMap::new(),
            tally: BTreeMap::new(),
            unfinished: 0,
            not_started: 0,
        }
    }

    /// One call ended.
    pub(crate) fn record(&mut self, path: usize, latency: Duration, outcome: &Outcome) {
        let latency_us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.latency[path].saturating_record(latency_us.max(1));
        count(&mut self.by_status, status_name(outcome.status), usize::MAX);
        if let Some(value) = &outcome.tally {
            count(
                &mut self.tally,
                &String::from_utf8_lossy(value.as_bytes()),
                MAX_TALLY,
            );
        }
    }

    /// So many calls had no answer when the run was over.
    pub(crate) fn unfinished(&mut self, calls: u64) {
        self.unfinished += calls;
    }

    /// A call was not made because too many waited for their answers.
    pub(crate) fn not_started(&mut self) {
        self.not_started += 1;
    }

    /// The figures.
    pub(crate) fn report(
        &self,
        args: &Load,
        measured: Duration,
        mut processes: Vec<ProcessUse>,
        client_cpu_seconds: f64,
    ) -> Report {
        let mut all = self.latency[0].clone();
        for other in &self.latency[1..] {
            all.add(other).expect("all histograms have the same bounds");
        }
        let calls = all.len();
        for process in &mut processes {
            process.cpu_us_per_call = process.cpu_seconds * 1e6 / calls.max(1) as f64;
        }
        let by_method = self.paths.iter().zip(&self.latency);
        Report {
            target: args.target.clone(),
            mode: if args.mode == Mode::Open {
                "open"
            } else {
                "closed"
            },
            seed: args.seed,
            seconds: measured.as_secs_f64(),
            calls,
            throughput_per_second: calls as f64 / measured.as_secs_f64(),
            latency_us: Quantiles::of(&all),
            by_method: by_method
                .map(|(path, seen)| (path.clone(), Quantiles::of(seen)))
                .collect(),
            by_status: self.by_status.clone(),
            unfinished: self.unfinished,
            not_started: self.not_started,
            tally: self.tally.clone(),
            processes,
            client_cpu_seconds,
        }
    }
}

/// The figures of a run.
#[derive(Serialize)]
pub(crate) struct Report {
    target: String,
    mode: &'static str,
    seed: u64,
    seconds: f64,
    calls: u64,
    throughput_per_second: f64,
    latency_us: Quantiles,
    by_method: BTreeMap<String, Quantiles>,
    by_status: BTreeMap<String, u64>,
    unfinished: u64,
    not_started: u64,
    tally: BTreeMap<String, u64>,
    processes: Vec<ProcessUse>,
    client_cpu_seconds: f64,
}

/// Quantiles of latency, µs.
#[derive(Serialize)]
struct Quantiles {
    calls: u64,
    p50: u64,
    p90: u64,
    p99: u64,
    max: u64,
}

impl Quantiles {
    fn of(seen: &Histogram<u64>) -> Quantiles {
        let at = |quantile| seen.value_at_quantile(quantile);
        Quantiles {
            calls: seen.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            max: seen.max(),
        }
    }
}

impl Report {
    /// Prints to standard output, for people or as JSON.
    pub(crate) fn print(&self, json: bool) {
        if json {
            println!(
                "{}",
                serde_json::to_string(self).expect("a report is plain data")
            );
            return;
        }
        println!(
            "{} loop against {}, seed {}",
            self.mode, self.target, self.seed
        );
        println!(
            "{} calls in {:.1} s, {:.0} calls/s, {} unfinished, {} not started",
            self.calls, self.seconds, self.throughput_per_second, self.unfinished, self.not_started
        );
        println!(
            "{:<48}{:>9}{:>9}{:>9}{:>9}{:>10}",
            "latency, µs", "calls", "p50", "p90", "p99", "max"
        );
        let all = [("all".to_owned(), &self.latency_us)];
        let rows = self
            .by_method
            .iter()
            .map(|(path, seen)| (path.clone(), seen));
        for (path, seen) in all.into_iter().chain(rows) {
            let Quantiles {
                calls,
                p50,
                p90,
                p99,
                max,
            } = seen;
            println!("{path:<48}{calls:>9}{p50:>9}{p90:>9}{p99:>9}{max:>10}");
        }
        println!("status: {:?}", self.by_status);
        if !self.tally.is_empty() {
            println!("tally: {:?}", self.tally);
        }
        for process in &self.processes {
            println!(
                "process {}: CPU {:.2} s, {:.1} µs a call; memory {:.1} MiB, peak {:.1} MiB",
                process.pid,
                process.cpu_seconds,
                process.cpu_us_per_call,
                mebibytes(process.rss_bytes),
                mebibytes(process.peak_rss_bytes)
            );
        }
        println!("the load itself: CPU {:.2} s", self.client_cpu_seconds);
    }
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn status_name(status: Option<u32>) -> &'static str {
    let Some(status) = status else {
        return "connection failed";
    };
    STATUSES
        .get(status as usize)
        .copied()
        .unwrap_or("not a status")
}

fn count(counts: &mut BTreeMap<String, u64>, value: &str, bound: usize) {
    if let Some(seen) = counts.get_mut(value) {
        *seen += 1;
    } else {
        let name = if counts.len() < bound {
            value
        } else {
            "_OTHER"
        };
        *counts.entry(name.to_owned()).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_have_their_names() {
        assert_eq!(status_name(Some(0)), "OK");
        assert_eq!(status_name(Some(14)), "UNAVAILABLE");
        assert_eq!(status_name(Some(99)), "not a status");
        assert_eq!(status_name(None), "connection failed");
    }

    #[test]
    fn values_beyond_the_bound_count_together() {
        let mut counts = BTreeMap::new();
        for value in ["a", "b", "c", "a", "d"] {
            count(&mut counts, value, 2);
        }
        assert_eq!(counts["a"], 2);
        assert_eq!(counts["_OTHER"], 2);
    }

    #[test]
    fn quantiles_come_from_what_was_recorded() {
        let mut recorder = Recorder::new(vec!["/a.B/C".to_owned()]);
        for latency_us in 1..=100 {
            let outcome = Outcome {
                status: Some(0),
                tally: None,
            };
            recorder.record(0, Duration::from_micros(latency_us), &outcome);
        }
        let seen = Quantiles::of(&recorder.latency[0]);
        assert_eq!((seen.p50, seen.p90, seen.max), (50, 90, 100));
        assert_eq!(recorder.by_status["OK"], 100);
    }
}
