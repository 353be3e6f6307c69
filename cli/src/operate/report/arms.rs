//! Both arms beside each other in all: latency, CPU, memory, and what a migration from Python to
//! Rust is expected to bring.

use cutover_proto::cutover::v1::{Arm, GetReportResponse, ProcessStatus, Quantiles, Status};

use crate::operate::view::line;
use crate::text::{self, Table, micros};

/// What a migration from Python to Rust is expected to bring; the report holds itself against it.
const EXPECTED_CPU: &str = "2–10× less";
const EXPECTED_MEMORY: &str = "30–70 % less";
const EXPECTED_LATENCY: &str = "50–90 % less";
const EXPECTED_THROUGHPUT: &str = "2–5× more";

/// Both arms beside each other, in all.
pub(super) fn side_by_side(report: &GetReportResponse, status: &Status) -> String {
    let mut table = Table::new(&["", "LEGACY", "CANDIDATE", "CHANGE", "EXPECTED"]);
    let legacy = report.legacy_latency.unwrap_or_default();
    let candidate = report.candidate_latency.unwrap_or_default();
    let times =
        |q: &Quantiles| [q.p50_us, q.p90_us, q.p99_us].map(|us| (q.count > 0).then_some(us));
    let both = times(&legacy).into_iter().zip(times(&candidate));
    for (name, (legacy, candidate)) in ["latency p50", "latency p90", "latency p99"]
        .iter()
        .zip(both)
    {
        table.row(compare(
            name,
            legacy,
            candidate,
            micros,
            less,
            EXPECTED_LATENCY,
        ));
    }
    let arms = [Arm::Legacy, Arm::Candidate].map(|arm| Work::of(status, arm));
    let cpu = arms.each_ref().map(Work::cpu_us_per_call);
    table.row(compare(
        "CPU per call",
        cpu[0],
        cpu[1],
        micros,
        times_less,
        EXPECTED_CPU,
    ));
    let rate = cpu.map(|us| us.map(|us| 1e6 / us));
    let per_second = |rate: f64| format!("{rate:.0} /s");
    table.row(compare(
        "calls per CPU second",
        rate[0],
        rate[1],
        per_second,
        times_more,
        EXPECTED_THROUGHPUT,
    ));
    let memory = arms
        .each_ref()
        .map(|work| work.process.map(|p| p.memory_bytes as f64));
    let mebibytes = |bytes: f64| text::bytes(bytes as u64);
    table.row(compare(
        "memory",
        memory[0],
        memory[1],
        mebibytes,
        less,
        EXPECTED_MEMORY,
    ));
    let mut out = table.render();
    let samples = (legacy.count, candidate.count);
    line(
        &mut out,
        format_args!(
            "  latency of {} and {} calls, primary and shadow",
            samples.0, samples.1
        ),
    );
    let calls = arms.each_ref().map(|work| work.calls);
    line(
        &mut out,
        format_args!(
            "  CPU since each process began, its start included, over {} and {} calls",
            calls[0], calls[1]
        ),
    );
    if cpu.contains(&None) {
        let hint = "CPU and memory come from the arms' own metrics: is \
                    OTEL_EXPORTER_OTLP_ENDPOINT set for both?";
        line(&mut out, format_args!("  {hint}"));
    }
    out
}

/// What an arm has done, and what it took.
struct Work<'a> {
    calls: u64,
    process: Option<&'a ProcessStatus>,
}

impl Work<'_> {
    fn of(status: &Status, arm: Arm) -> Work<'_> {
        let arms = status.methods.iter().flat_map(|method| &method.arms);
        let calls = arms
            .filter(|a| a.arm() == arm)
            .map(|a| a.calls + a.shadow_calls)
            .sum();
        Work {
            calls,
            process: status.processes.iter().find(|process| process.arm() == arm),
        }
    }

    /// CPU since the process began, its start included, by call.
    fn cpu_us_per_call(&self) -> Option<f64> {
        let cpu_seconds = self.process?.cpu_seconds;
        (self.calls > 0 && cpu_seconds > 0.0).then(|| cpu_seconds * 1e6 / self.calls as f64)
    }
}

fn compare(
    name: &str,
    legacy: Option<f64>,
    candidate: Option<f64>,
    unit: impl Fn(f64) -> String,
    change: fn(f64, f64) -> String,
    expected: &str,
) -> Vec<String> {
    let cell = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), &unit);
    let change = match (legacy, candidate) {
        (Some(legacy), Some(candidate)) if legacy > 0.0 && candidate > 0.0 => {
            change(legacy, candidate)
        }
        _ => "-".to_owned(),
    };
    vec![
        name.to_owned(),
        cell(legacy),
        cell(candidate),
        change,
        expected.to_owned(),
    ]
}

/// How much less (or more) the candidate takes.
pub(super) fn less(legacy: f64, candidate: f64) -> String {
    let percent = (1.0 - candidate / legacy) * 100.0;
    let word = if percent >= 0.0 { "less" } else { "more" };
    format!("{:.0} % {word}", percent.abs())
}

fn times_less(legacy: f64, candidate: f64) -> String {
    let times = legacy / candidate;
    if times >= 1.0 {
        format!("{times:.1}× less")
    } else {
        format!("{:.1}× more", 1.0 / times)
    }
}

fn times_more(legacy: f64, candidate: f64) -> String {
    let times = candidate / legacy;
    if times >= 1.0 {
        format!("{times:.1}× more")
    } else {
        format!("{:.1}× less", 1.0 / times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_says_its_direction() {
        assert_eq!(less(10.0, 2.0), "80 % less");
        assert_eq!(less(10.0, 12.0), "20 % more");
        assert_eq!(times_less(10.0, 2.0), "5.0× less");
        assert_eq!(times_less(2.0, 10.0), "5.0× more");
        assert_eq!(times_more(2.0, 10.0), "5.0× more");
    }
}
