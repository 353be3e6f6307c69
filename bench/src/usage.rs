//! What processes use: CPU and memory from `/proc`, their children included.

use std::collections::HashMap;
use std::fs;
use std::ops::Add;

use anyhow::Context;
use rustix::param::{clock_ticks_per_second, page_size};
use serde::Serialize;

/// CPU and memory of some processes at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// User and system time since they began, s.
    pub(crate) cpu_seconds: f64,
    /// Resident memory, bytes.
    pub(crate) rss_bytes: u64,
}

impl Add for Usage {
    type Output = Usage;

    fn add(self, other: Usage) -> Usage {
        Usage {
            cpu_seconds: self.cpu_seconds + other.cpu_seconds,
            rss_bytes: self.rss_bytes + other.rss_bytes,
        }
    }
}

/// What one process used over a run, its children included.
#[derive(Debug, Serialize)]
pub(crate) struct ProcessUse {
    /// The process.
    pub(crate) pid: u32,
    /// User and system time, s.
    pub(crate) cpu_seconds: f64,
    /// CPU for each call of the run, µs.
    pub(crate) cpu_us_per_call: f64,
    /// Resident memory at the end, bytes.
    pub(crate) rss_bytes: u64,
    /// Largest resident memory seen, bytes.
    pub(crate) peak_rss_bytes: u64,
}

/// What `pid` and its descendants use now. Children that ended count with their CPU.
pub(crate) fn of(pid: u32) -> anyhow::Result<Usage> {
    let own = read(pid).with_context(|| format!("process {pid} is not there"))?;
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let name = entry.file_name();
        if let Some(child) = name.to_str().and_then(|name| name.parse().ok())
            && let Some(stat) = read(child)
        {
            children.entry(stat.parent).or_default().push(child);
        }
    }
    let mut total = own.usage;
    let mut open = children.remove(&pid).unwrap_or_default();
    while let Some(next) = open.pop() {
        total = read(next).map_or(total, |stat| total + stat.usage);
        open.extend(children.remove(&next).unwrap_or_default());
    }
    Ok(total)
}

struct Stat {
    parent: u32,
    usage: Usage,
}

fn read(pid: u32) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse(text: &str) -> Option<Stat> {
    // The command's name is in parentheses and may hold anything; what follows is plain.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    // Counted from the state, which is field 3 of proc(5).
    let ticks = number(11)? + number(12)? + number(13)? + number(14)?;
    let usage = Usage {
        cpu_seconds: ticks as f64 / clock_ticks_per_second() as f64,
        rss_bytes: number(21)? * page_size() as u64,
    };
    Some(Stat {
        parent: u32::try_from(number(1)?).ok()?,
        usage,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_is_skipped() {
        let text = "7 (a) b) S 3 7 7 0 -1 4194560 100 0 0 0 150 50 20 30 20 0 1 0 9 1000 25 99";
        let stat = parse(text).unwrap();
        assert_eq!(stat.parent, 3);
        assert_eq!(
            stat.usage.cpu_seconds,
            250.0 / clock_ticks_per_second() as f64
        );
        assert_eq!(stat.usage.rss_bytes, 25 * page_size() as u64);
    }

    #[test]
    fn this_process_uses_memory() {
        assert!(of(std::process::id()).unwrap().rss_bytes > 100_000);
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        assert!(of(u32::MAX).is_err());
    }
}
