//! What the arms' processes say about CPU, memory and threads, out of an export of metrics. Gauges
//! and sums are read, cumulative or delta; other metrics are taken and forgotten.

use std::collections::BTreeSet;

use super::resource::Sender;
use super::spans::{MAX_RUNNING, Rejected};
use super::wire::{Fields, Malformed, Value, each};
use crate::deploys::Running;
use crate::process::{Amount, ProcessKey, Reading};

/// Most readings of one export; what is over is rejected.
const MAX_READINGS: usize = 256;
/// Most points of one metric that are added up; what is over is rejected.
const MAX_POINTS: usize = 64;
/// OTLP's number of delta temporality.
const DELTA: u64 = 1;

/// What an export brought.
#[derive(Debug, Default)]
pub(super) struct Readings {
    pub(super) readings: Vec<(ProcessKey, Reading)>,
    pub(super) rejected: Rejected,
    /// What the senders run.
    pub(super) running: BTreeSet<Running>,
}

/// Reads an `ExportMetricsServiceRequest`.
pub(super) fn read(request: &[u8]) -> Result<Readings, Malformed> {
    let mut read = Readings::default();
    for resource_metrics in each(request, 1) {
        let resource_metrics = resource_metrics?;
        let mut sender = Sender::default();
        for resource in each(resource_metrics, 1) {
            sender = Sender::read(resource?)?;
        }
        if read.running.len() < MAX_RUNNING {
            read.running.extend(sender.running());
        }
        let mut reading = Reading::default();
        for scope_metrics in each(resource_metrics, 2) {
            for metric in each(scope_metrics?, 2) {
                read_metric(metric?, &mut reading, &mut read.rejected)?;
            }
        }
        let Some(arm) = sender.arm.filter(|_| reading != Reading::default()) else {
            continue;
        };
        if read.readings.len() < MAX_READINGS {
            read.readings.push(((arm, sender.instance()), reading));
        } else {
            read.rejected.add("more than 256 processes in one export");
        }
    }
    Ok(read)
}

fn read_metric(
    metric: &[u8],
    reading: &mut Reading,
    rejected: &mut Rejected,
) -> Result<(), Malformed> {
    let (mut name, mut data): (&[u8], &[u8]) = (&[], &[]);
    for field in Fields(metric) {
        match field? {
            (1, value) => name = value.bytes(),
            // A gauge or a sum; both have their points in field 1.
            (5 | 7, value) => data = value.bytes(),
            _ => {}
        }
    }
    let to = match name {
        b"process.cpu.time" => &mut reading.cpu_seconds,
        b"process.memory.usage" => &mut reading.memory_bytes,
        b"process.thread.count" => &mut reading.threads,
        _ => return Ok(()),
    };
    let mut points: Vec<Point<'_>> = Vec::new();
    let mut delta = false;
    for field in Fields(data) {
        match field? {
            (1, point) => match Point::read(point.bytes())? {
                Ok(_) if points.len() >= MAX_POINTS => {
                    rejected.add("more than 64 points of one metric of a process");
                }
                Ok(point) => points.push(point),
                Err(reason) => rejected.add(reason),
            },
            // Only a sum has a field 2.
            (2, temporality) => delta = temporality.number() == DELTA,
            _ => {}
        }
    }
    let Some(newest) = points.iter().map(|point| point.time_unix_ns).max() else {
        return Ok(());
    };
    *to = Some(if delta {
        Amount::Since(points.iter().map(|point| point.value).sum())
    } else {
        // A series that was collected more than once counts as it is now.
        points.sort_by_key(|point| (point.attributes, point.time_unix_ns));
        let last = |index: &usize| {
            let next = points.get(index + 1);
            next.is_none_or(|next| next.attributes != points[*index].attributes)
        };
        let newest = (0..points.len()).filter(last);
        Amount::Total(newest.map(|index| points[index].value).sum())
    });
    if name == b"process.cpu.time" {
        reading.time_unix_ns = newest;
        let began = points.iter().map(|point| point.began_unix_ns).max();
        reading.began_unix_ns = began.unwrap_or(0);
    }
    Ok(())
}

/// A `NumberDataPoint`.
struct Point<'a> {
    /// Its message up to where its attributes end: what tells series apart.
    attributes: Attributes<'a>,
    began_unix_ns: u64,
    time_unix_ns: u64,
    value: f64,
}

/// The first two attributes of a point as they stand on the wire; these metrics have at most one.
type Attributes<'a> = [&'a [u8]; 2];

impl<'a> Point<'a> {
    fn read(message: &'a [u8]) -> Result<Result<Point<'a>, &'static str>, Malformed> {
        let mut point = Point {
            attributes: [&[]; 2],
            began_unix_ns: 0,
            time_unix_ns: 0,
            value: 0.0,
        };
        let mut attributes = point.attributes.iter_mut();
        for field in Fields(message) {
            match field? {
                (2, value) => point.began_unix_ns = value.number(),
                (3, value) => point.time_unix_ns = value.number(),
                (4, Value::Fixed64(bits)) => point.value = f64::from_bits(bits),
                (6, Value::Fixed64(bits)) => point.value = bits.cast_signed() as f64,
                (7, value) => {
                    if let Some(place) = attributes.next() {
                        *place = value.bytes();
                    }
                }
                _ => {}
            }
        }
        let usable = point.value.is_finite();
        Ok(usable
            .then_some(point)
            .ok_or("a value is not a finite number"))
    }
}

#[cfg(test)]
mod tests;
