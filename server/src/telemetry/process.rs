//! What this process uses: processor time, memory and threads, read from `/proc` at each export.

use std::fs;

use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;

use super::SCOPE;

/// Ticks in a second in `/proc`: USER_HZ, which Linux fixes to 100 on every architecture that
/// Rust runs on.
const TICKS_PER_S: f64 = 100.0;

/// Registers the metrics; they live as long as the provider.
pub(super) fn observe(meters: &SdkMeterProvider) {
    let meter = meters.meter(SCOPE);
    let user = [KeyValue::new("cpu.mode", "user")];
    let system = [KeyValue::new("cpu.mode", "system")];
    meter
        .f64_observable_counter("process.cpu.time")
        .with_unit("s")
        .with_description("Processor time of this process, by mode.")
        .with_callback(move |observer| {
            if let Some(times) = read("/proc/self/stat").as_deref().and_then(cpu_times) {
                observer.observe(times.user_s, &user);
                observer.observe(times.system_s, &system);
            }
        })
        .build();
    meter
        .i64_observable_up_down_counter("process.memory.usage")
        .with_unit("By")
        .with_description("Physical memory of this process.")
        .with_callback(|observer| {
            if let Some(kib) = status_number("VmRSS:") {
                observer.observe(kib * 1024, &[]);
            }
        })
        .build();
    meter
        .i64_observable_up_down_counter("process.thread.count")
        .with_unit("{thread}")
        .with_description("Threads of this process.")
        .with_callback(|observer| {
            if let Some(threads) = status_number("Threads:") {
                observer.observe(threads, &[]);
            }
        })
        .build();
}

#[derive(Debug, PartialEq)]
struct CpuTimes {
    user_s: f64,
    system_s: f64,
}

/// Fields 14 and 15 of `/proc/self/stat`; field 2, the name, may hold spaces and ends with `)`.
fn cpu_times(stat: &str) -> Option<CpuTimes> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let mut seconds = || Some(fields.next()?.parse::<f64>().ok()? / TICKS_PER_S);
    Some(CpuTimes {
        user_s: seconds()?,
        system_s: seconds()?,
    })
}

fn status_number(key: &str) -> Option<i64> {
    number_after(&read("/proc/self/status")?, key)
}

fn number_after(status: &str, key: &str) -> Option<i64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_cpu_times_behind_a_name_with_spaces_and_brackets() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 1 2 3 4 250 50 0 0 20 0 5 0";
        assert_eq!(
            cpu_times(stat),
            Some(CpuTimes {
                user_s: 2.5,
                system_s: 0.5
            })
        );
        assert_eq!(cpu_times("7 (a) S"), None);
    }

    #[test]
    fn reads_numbers_by_key() {
        let status = "Name:\tx\nVmRSS:\t  123 kB\nThreads:\t9\n";
        assert_eq!(number_after(status, "VmRSS:"), Some(123));
        assert_eq!(number_after(status, "Threads:"), Some(9));
        assert_eq!(number_after(status, "VmSwap:"), None);
    }

    #[test]
    fn this_process_has_times_memory_and_threads() {
        assert!(
            read("/proc/self/stat")
                .as_deref()
                .and_then(cpu_times)
                .is_some()
        );
        assert!(status_number("VmRSS:").is_some_and(|kib| kib > 0));
        assert!(status_number("Threads:").is_some_and(|threads| threads > 0));
    }
}
