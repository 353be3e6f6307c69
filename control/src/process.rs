//! CPU, memory and threads of the arms, from their OTLP metrics: the newest of each process, added
//! up over an arm's processes. A process that began anew counts on from zero; what it had used
//! before stays in its arm's sum. Of several control planes each shows what it hears itself; the
//! readings of memory go to all of them, because who judges growth needs them together.

use std::collections::BTreeMap;
use std::time::Duration;

use cutover_manifest::Arm;
use cutover_proto::cutover::v1 as wire;

use crate::memory::Footprint;
use crate::store::{ReadingRow, Snapshot};
use crate::words::arm_to_wire;

/// Most processes that are followed.
pub(crate) const MAX_PROCESSES: usize = 256;
/// How long a silent process still counts: exporters that are not told otherwise tell once a minute.
pub(crate) const FORGET_AFTER: Duration = Duration::from_secs(150);

/// Which process: its arm and what its resource says about its instance.
pub(crate) type ProcessKey = (Arm, String);

/// A sum as OTLP sends it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Amount {
    /// All there is, or all since the process began (cumulative, or a gauge).
    Total(f64),
    /// What came since the export before (delta).
    Since(f64),
}

/// What one export said about a process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Reading {
    /// CPU time, seconds.
    pub(crate) cpu_seconds: Option<Amount>,
    /// Resident memory.
    pub(crate) memory_bytes: Option<Amount>,
    /// Threads.
    pub(crate) threads: Option<Amount>,
    /// Time of the CPU reading, ns since the Unix epoch by the process's own clock.
    pub(crate) time_unix_ns: u64,
    /// When the process began to count its CPU time, likewise; 0 where it doesn't say.
    pub(crate) began_unix_ns: u64,
}

#[derive(Clone, Debug)]
struct Process {
    /// The last total of its CPU time, seconds.
    cpu_total: Option<f64>,
    cpu_cores: f64,
    memory_bytes: Option<f64>,
    /// Whether its memory was told since the last snapshot.
    unsaved: bool,
    threads: Option<f64>,
    time_unix_ns: u64,
    began_unix_ns: u64,
    seen: Duration,
}

/// The arms' processes.
#[derive(Debug, Default)]
pub(crate) struct Processes {
    processes: BTreeMap<ProcessKey, Process>,
    /// CPU time of each arm's processes, those that are gone too, seconds.
    cpu_seconds: BTreeMap<Arm, f64>,
    /// What other control planes were told.
    elsewhere: BTreeMap<ProcessKey, Elsewhere>,
}

/// A reading of memory that another control plane was told.
#[derive(Clone, Copy, Debug)]
struct Elsewhere {
    bytes: u64,
    /// By the store's clock: tells only whether a reading is another one.
    heard_unix_ms: i64,
    /// When it was seen first here.
    seen: Duration,
}

impl Processes {
    /// Takes a reading in; what it doesn't say stays as it was.
    pub(crate) fn take(&mut self, key: ProcessKey, reading: Reading, now: Duration) {
        self.processes
            .retain(|_, process| now.saturating_sub(process.seen) < FORGET_AFTER);
        if !self.processes.contains_key(&key) && self.processes.len() >= MAX_PROCESSES {
            return;
        }
        let spent = self.cpu_seconds.entry(key.0).or_default();
        let process = self
            .processes
            .entry(key)
            .or_insert_with(|| Process::new(now));
        *spent += process.take_cpu(&reading);
        if let Some(memory) = reading.memory_bytes {
            process.memory_bytes = Some(added(process.memory_bytes, memory));
            process.unsaved = true;
        }
        if let Some(threads) = reading.threads {
            process.threads = Some(added(process.threads, threads));
        }
        process.seen = now;
    }

    /// The memory of the legacy's processes and of the candidate's that were heard of lately, by
    /// any control plane.
    pub(crate) fn footprints(&self, now: Duration) -> [Footprint; 2] {
        let here = self.processes.iter().filter_map(|(key, process)| {
            let bytes = process.memory_bytes?;
            Some((key, (process.seen, bytes as u64)))
        });
        let elsewhere = self.elsewhere.iter();
        let elsewhere = elsewhere.map(|(key, reading)| (key, (reading.seen, reading.bytes)));
        let mut newest: BTreeMap<&ProcessKey, (Duration, u64)> = BTreeMap::new();
        for (key, reading) in here.chain(elsewhere) {
            if now.saturating_sub(reading.0) < FORGET_AFTER {
                let known = newest.entry(key).or_insert(reading);
                *known = reading.max(*known);
            }
        }
        let mut arms: [Footprint; 2] = Default::default();
        for ((arm, instance), (seen, bytes)) in newest {
            let footprint = &mut arms[arm.index()];
            footprint.bytes = footprint.bytes.saturating_add(bytes);
            footprint.processes.insert(instance.clone());
            footprint.heard = Some(footprint.heard.map_or(seen, |heard| heard.min(seen)));
        }
        arms
    }

    /// Takes over what other control planes were told.
    pub(crate) fn take_others(&mut self, rows: &[ReadingRow], now: Duration) {
        let known = std::mem::take(&mut self.elsewhere);
        for row in rows.iter().take(MAX_PROCESSES) {
            let key = (row.arm, row.instance.clone());
            let same = |known: &&Elsewhere| known.heard_unix_ms == row.heard_unix_ms;
            let reading = known.get(&key).filter(same).copied();
            let reading = reading.unwrap_or(Elsewhere {
                bytes: row.bytes,
                heard_unix_ms: row.heard_unix_ms,
                seen: now,
            });
            self.elsewhere.insert(key, reading);
        }
    }

    /// Adds the readings of memory that came since the last time to a snapshot.
    pub(crate) fn take_unsaved(&mut self, snapshot: &mut Snapshot) {
        for (key, process) in &mut self.processes {
            let unsaved = std::mem::take(&mut process.unsaved);
            if let Some(bytes) = process.memory_bytes.filter(|_| unsaved) {
                snapshot.readings.push((key.clone(), bytes as u64));
            }
        }
    }

    /// Takes back a snapshot that could not be saved: the next one says what is known by then.
    pub(crate) fn give_back(&mut self, snapshot: &Snapshot) {
        for (key, _) in &snapshot.readings {
            if let Some(process) = self.processes.get_mut(key) {
                process.unsaved = true;
            }
        }
    }

    /// One entry for each arm that has been heard of lately.
    pub(crate) fn status(&self, now: Duration) -> Vec<wire::ProcessStatus> {
        let of = |arm: Arm| {
            let mut sum = wire::ProcessStatus {
                arm: arm_to_wire(arm).into(),
                cpu_seconds: self.cpu_seconds.get(&arm).copied().unwrap_or(0.0),
                ..Default::default()
            };
            let mut any = false;
            for process in self.lately(arm, now) {
                any = true;
                sum.cpu_cores += process.cpu_cores;
                sum.memory_bytes += process.memory_bytes.unwrap_or(0.0) as u64;
                sum.threads += process.threads.unwrap_or(0.0) as u64;
            }
            any.then_some(sum)
        };
        Arm::BOTH.into_iter().filter_map(of).collect()
    }

    fn lately(&self, arm: Arm, now: Duration) -> impl Iterator<Item = &Process> {
        let of_arm = self.processes.iter().filter(move |((of, _), _)| *of == arm);
        of_arm
            .map(|(_, process)| process)
            .filter(move |process| now.saturating_sub(process.seen) < FORGET_AFTER)
    }
}

impl Process {
    fn new(now: Duration) -> Process {
        Process {
            cpu_total: None,
            cpu_cores: 0.0,
            memory_bytes: None,
            unsaved: false,
            threads: None,
            time_unix_ns: 0,
            began_unix_ns: 0,
            seen: now,
        }
    }

    /// Takes the CPU time in; returns how much of it is new, seconds. A reading that is older than
    /// the newest (an export that came twice, or late) says nothing.
    fn take_cpu(&mut self, reading: &Reading) -> f64 {
        let Some(amount) = reading.cpu_seconds else {
            return 0.0;
        };
        let first = self.cpu_total.is_none();
        if !first && reading.time_unix_ns <= self.time_unix_ns {
            return 0.0;
        }
        let before = self.cpu_total.unwrap_or(0.0);
        let began = reading.began_unix_ns > self.began_unix_ns && self.began_unix_ns > 0;
        let (total, new) = match amount {
            Amount::Since(new) => (before + new.max(0.0), new.max(0.0)),
            Amount::Total(total) if !first && (total < before || began) => (total, total),
            Amount::Total(total) => (total, total - before),
        };
        if !first {
            let seconds = (reading.time_unix_ns - self.time_unix_ns) as f64 / 1e9;
            self.cpu_cores = new / seconds;
        }
        self.cpu_total = Some(total);
        self.time_unix_ns = reading.time_unix_ns;
        if let Amount::Total(_) = amount {
            self.began_unix_ns = reading.began_unix_ns;
        }
        new
    }
}

fn added(before: Option<f64>, amount: Amount) -> f64 {
    match amount {
        Amount::Total(total) => total.max(0.0),
        Amount::Since(change) => (before.unwrap_or(0.0) + change).max(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1);

    fn key(instance: &str) -> ProcessKey {
        (Arm::Legacy, instance.to_owned())
    }

    fn cpu(amount: Amount, at_s: u64) -> Reading {
        Reading {
            cpu_seconds: Some(amount),
            time_unix_ns: at_s * 1_000_000_000,
            began_unix_ns: 1,
            ..Reading::default()
        }
    }

    fn memory(amount: Amount) -> Reading {
        Reading {
            memory_bytes: Some(amount),
            ..Reading::default()
        }
    }

    /// CPU seconds and cores of the only arm there is.
    fn used(processes: &Processes) -> (f64, f64) {
        let status = processes.status(NOW);
        assert_eq!(status.len(), 1);
        (status[0].cpu_seconds, status[0].cpu_cores)
    }

    #[test]
    fn cores_are_the_cpu_time_of_the_last_interval() {
        let mut processes = Processes::default();
        processes.take(key("a"), cpu(Amount::Total(10.0), 100), NOW);
        processes.take(key("a"), memory(Amount::Total(7.0)), NOW);
        processes.take(key("a"), cpu(Amount::Total(12.5), 105), NOW);
        assert_eq!(used(&processes), (12.5, 0.5));
        assert_eq!(processes.status(NOW)[0].memory_bytes, 7);
        assert!(
            processes.status(NOW + FORGET_AFTER).is_empty(),
            "silence is not forever"
        );
    }

    #[test]
    fn deltas_add_up_and_an_export_that_comes_twice_or_late_counts_once() {
        let mut processes = Processes::default();
        for (seconds, at) in [(10.0, 100), (2.0, 105), (2.0, 105), (9.0, 103)] {
            processes.take(key("a"), cpu(Amount::Since(seconds), at), NOW);
        }
        assert_eq!(used(&processes), (12.0, 0.4));
        for change in [100.0, 20.0, -50.0] {
            processes.take(key("a"), memory(Amount::Since(change)), NOW);
        }
        assert_eq!(processes.status(NOW)[0].memory_bytes, 70);
    }

    #[test]
    fn a_process_that_began_anew_adds_to_what_was_used_before() {
        let mut processes = Processes::default();
        processes.take(key("a"), cpu(Amount::Total(10.0), 100), NOW);
        // The counter went back.
        processes.take(key("a"), cpu(Amount::Total(1.0), 105), NOW);
        assert_eq!(used(&processes), (11.0, 0.2));
        // It did not, but says that it began later.
        let later = Reading {
            began_unix_ns: 106,
            ..cpu(Amount::Total(2.0), 110)
        };
        processes.take(key("a"), later, NOW);
        assert_eq!(used(&processes), (13.0, 0.4));
    }

    #[test]
    fn replicas_of_an_arm_add_up_and_one_that_is_gone_keeps_its_cpu_time() {
        let mut processes = Processes::default();
        for instance in ["a", "b"] {
            processes.take(key(instance), cpu(Amount::Total(10.0), 100), NOW);
            processes.take(key(instance), cpu(Amount::Total(11.0), 102), NOW);
            processes.take(key(instance), memory(Amount::Total(50.0)), NOW);
        }
        assert_eq!(used(&processes), (22.0, 1.0));
        assert_eq!(processes.status(NOW)[0].memory_bytes, 100);
        let [legacy, candidate] = processes.footprints(NOW);
        assert_eq!((legacy.bytes, legacy.processes.len()), (100, 2));
        assert_eq!((legacy.heard, candidate), (Some(NOW), Footprint::default()));

        // Others were told of a third one, and later of the second, which has moved to them.
        let row = |instance: &str, bytes, heard_unix_ms| ReadingRow {
            arm: Arm::Legacy,
            instance: instance.to_owned(),
            bytes,
            heard_unix_ms,
        };
        let after = |seconds| NOW + Duration::from_secs(seconds);
        processes.take_others(&[row("c", 30, 7), row("b", 60, 8)], after(1));
        processes.take_others(&[row("c", 30, 7), row("b", 61, 9)], after(2));
        let [legacy, _] = processes.footprints(after(2));
        assert_eq!((legacy.bytes, legacy.processes.len()), (50 + 61 + 30, 3));
        assert_eq!(legacy.heard, Some(NOW), "by the one that is silent longest");
        processes.take(key("a"), memory(Amount::Total(51.0)), after(3));
        let [legacy, _] = processes.footprints(after(3));
        assert_eq!(legacy.heard, Some(after(1)), "the same reading is no news");
        processes.take_others(&[], after(3));

        let later = after(3) + FORGET_AFTER;
        processes.take(key("c"), cpu(Amount::Total(1.0), 170), later);
        let status = &processes.status(later)[0];
        assert_eq!((status.cpu_seconds, status.memory_bytes), (23.0, 0));
    }
}
