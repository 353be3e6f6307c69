//! CPU, memory and threads of the arms, from their OTLP metrics: the newest of each process, added
//! up over an arm's processes.

use std::collections::BTreeMap;
use std::time::Duration;

use cutover_manifest::Arm;
use cutover_proto::cutover::v1 as wire;

use crate::memory::Footprint;
use crate::words::arm_to_wire;

/// Most processes that are followed.
pub(crate) const MAX_PROCESSES: usize = 256;
/// How long a silent process still counts.
const FORGET_AFTER: Duration = Duration::from_secs(60);

/// Which process: its arm and what its resource says about its instance.
pub(crate) type ProcessKey = (Arm, String);

/// What one export said about a process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Reading {
    pub(crate) cpu_seconds: Option<f64>,
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) threads: Option<u64>,
    /// Time of the CPU reading, ns since the Unix epoch by the process's own clock.
    pub(crate) time_unix_ns: u64,
}

#[derive(Clone, Copy, Debug)]
struct Process {
    newest: Reading,
    cpu_cores: f64,
    seen: Duration,
}

/// The arms' processes.
#[derive(Debug, Default)]
pub(crate) struct Processes(BTreeMap<ProcessKey, Process>);

impl Processes {
    /// Takes a reading in; what it doesn't say stays as it was.
    pub(crate) fn take(&mut self, key: ProcessKey, reading: Reading, now: Duration) {
        self.0
            .retain(|_, process| now.saturating_sub(process.seen) < FORGET_AFTER);
        if !self.0.contains_key(&key) && self.0.len() >= MAX_PROCESSES {
            return;
        }
        let process = self.0.entry(key).or_insert(Process {
            newest: Reading::default(),
            cpu_cores: 0.0,
            seen: now,
        });
        let old = process.newest;
        if let (Some(before), Some(after)) = (old.cpu_seconds, reading.cpu_seconds) {
            let seconds = reading.time_unix_ns.saturating_sub(old.time_unix_ns) as f64 / 1e9;
            if seconds > 0.0 {
                process.cpu_cores = ((after - before) / seconds).max(0.0);
            }
        }
        process.newest = Reading {
            cpu_seconds: reading.cpu_seconds.or(old.cpu_seconds),
            memory_bytes: reading.memory_bytes.or(old.memory_bytes),
            threads: reading.threads.or(old.threads),
            time_unix_ns: match reading.cpu_seconds {
                Some(_) => reading.time_unix_ns,
                None => old.time_unix_ns,
            },
        };
        process.seen = now;
    }

    /// The memory of the legacy's processes and of the candidate's that were heard of lately.
    pub(crate) fn footprints(&self, now: Duration) -> [Footprint; 2] {
        let mut arms: [Footprint; 2] = Default::default();
        for ((arm, instance), process) in &self.0 {
            let lately = now.saturating_sub(process.seen) < FORGET_AFTER;
            let Some(bytes) = process.newest.memory_bytes.filter(|_| lately) else {
                continue;
            };
            let footprint = &mut arms[arm.index()];
            footprint.bytes = footprint.bytes.saturating_add(bytes);
            footprint.processes.insert(instance.clone());
            footprint.heard = footprint.heard.max(process.seen);
        }
        arms
    }

    /// One entry for each arm that has been heard of lately.
    pub(crate) fn status(&self, now: Duration) -> Vec<wire::ProcessStatus> {
        let of = |arm: Arm| {
            let mut sum = wire::ProcessStatus {
                arm: arm_to_wire(arm).into(),
                ..Default::default()
            };
            let mut any = false;
            for (_, process) in self.0.iter().filter(|((of, _), _)| *of == arm) {
                if now.saturating_sub(process.seen) >= FORGET_AFTER {
                    continue;
                }
                any = true;
                sum.cpu_seconds += process.newest.cpu_seconds.unwrap_or(0.0);
                sum.cpu_cores += process.cpu_cores;
                sum.memory_bytes += process.newest.memory_bytes.unwrap_or(0);
                sum.threads += process.newest.threads.unwrap_or(0);
            }
            any.then_some(sum)
        };
        Arm::BOTH.into_iter().filter_map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_the_cpu_time_of_the_last_interval() {
        let mut processes = Processes::default();
        let key = || (Arm::Legacy, "one".to_owned());
        let cpu = |seconds, at_s: u64| Reading {
            cpu_seconds: Some(seconds),
            time_unix_ns: at_s * 1_000_000_000,
            ..Reading::default()
        };
        let now = Duration::from_secs(1);
        processes.take(key(), cpu(10.0, 100), now);
        let memory = Reading {
            memory_bytes: Some(7),
            ..Reading::default()
        };
        processes.take(key(), memory, now);
        processes.take(key(), cpu(12.5, 105), now);
        let status = processes.status(now);
        assert_eq!(status.len(), 1);
        assert_eq!((status[0].cpu_seconds, status[0].cpu_cores), (12.5, 0.5));
        assert_eq!(status[0].memory_bytes, 7);
        let [legacy, candidate] = processes.footprints(now);
        assert_eq!((legacy.bytes, legacy.processes.len()), (7, 1));
        assert_eq!((legacy.heard, candidate), (now, Footprint::default()));
        assert!(
            processes.status(now + FORGET_AFTER).is_empty(),
            "silence is not forever"
        );
    }
}
