//! All metrics of the proxy, in one table. Labels are bounded: methods are those of the
//! descriptors and the manifest, everything else is `_OTHER`.

use std::collections::BTreeMap;
use std::fmt;

use cutover_compare::Histogram;
use cutover_compare::observation::code_name;
use cutover_manifest::RouteTable;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::observe::{MethodStats, Methods};
use crate::report::Snapshot;

/// Name, type and help of every metric; counters get `_total` appended.
mod table {
    use prometheus_client::metrics::MetricType::{self, Counter, Gauge, Histogram};

    pub(super) type Row = (&'static str, MetricType, &'static str);

    pub(super) const CALLS: Row = (
        "cutover_calls",
        Counter,
        "Calls ended, by method, arm, role and gRPC status code",
    );
    pub(super) const DURATION: Row = (
        "cutover_call_duration_seconds",
        Histogram,
        "From a call's arrival to the end of its answer, by method, arm and role",
    );
    pub(super) const COMPARED: Row = (
        "cutover_pairs_compared",
        Counter,
        "Mirrored pairs compared, by method",
    );
    pub(super) const MISMATCHED: Row = (
        "cutover_pairs_mismatched",
        Counter,
        "Mirrored pairs that differ, by method",
    );
    pub(super) const NOT_COMPARED: Row = (
        "cutover_pairs_not_compared",
        Counter,
        "Mirrored pairs not compared, by method and reason",
    );
    pub(super) const REFUSED: Row = (
        "cutover_refused",
        Counter,
        "Calls and connections that no arm has seen, by reason",
    );
    pub(super) const FALLBACKS: Row = (
        "cutover_fallbacks",
        Counter,
        "Calls answered by the legacy because the candidate could not be connected to",
    );
    pub(super) const GENERATION: Row = (
        "cutover_route_table_generation",
        Gauge,
        "Generation of the route table in force",
    );
    pub(super) const EPOCH: Row = (
        "cutover_route_table_epoch",
        Gauge,
        "Epoch of the route table in force",
    );
    pub(super) const WEIGHT: Row = (
        "cutover_weight_ratio",
        Gauge,
        "Share of calls that the candidate answers, by method",
    );
}

/// The text that `/metrics` answers, in OpenMetrics format.
pub(crate) fn render(snapshot: Snapshot, table: Option<&RouteTable>) -> Result<String, fmt::Error> {
    let Snapshot { stats, .. } = snapshot;
    let mut methods = stats.retired;
    methods.merge(stats.current.without_weights());
    let weights = |name: &str| table.map(|table| table.route(name).weight.percent() / 100.0);
    let scrape = Scrape {
        weights: methods
            .0
            .keys()
            .filter_map(|m| Some((m.to_string(), weights(m)?)))
            .collect(),
        methods: Ordered::from(methods),
        refused: stats.refused,
        fallbacks: stats.fallbacks,
        generation: table.map_or(0, |table| table.generation),
        epoch: table.map_or(0, |table| table.epoch),
    };
    let mut registry = Registry::default();
    registry.register_collector(Box::new(scrape));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

/// Methods by name, so that two scrapes have the same order.
#[derive(Debug)]
struct Ordered(BTreeMap<String, Method>);

#[derive(Debug)]
struct Method {
    cells: Vec<(&'static str, &'static str, [u64; 17], Histogram)>,
    compared: u64,
    mismatched: u64,
    not_compared: BTreeMap<&'static str, u64>,
}

impl From<Methods> for Ordered {
    fn from(methods: Methods) -> Ordered {
        let method = |stats: MethodStats| Method {
            cells: stats
                .cells
                .into_iter()
                .map(|c| (c.arm.as_str(), c.role.as_str(), c.by_status, c.latency))
                .collect(),
            compared: stats.pairs.compared,
            mismatched: stats.pairs.mismatched,
            not_compared: stats.pairs.not_compared,
        };
        Ordered(
            methods
                .0
                .into_iter()
                .map(|(k, v)| (k.to_string(), method(v)))
                .collect(),
        )
    }
}

#[derive(Debug)]
struct Scrape {
    methods: Ordered,
    weights: BTreeMap<String, f64>,
    refused: BTreeMap<&'static str, u64>,
    fallbacks: u64,
    generation: u64,
    epoch: u64,
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut calls = open(&mut encoder, table::CALLS)?;
        for (method, arm, role, by_status, _) in self.cells() {
            for (count, code) in by_status.iter().zip(0u32..).filter(|(n, _)| **n > 0) {
                let code = code_name(code);
                let labels = [
                    ("method", method),
                    ("arm", arm),
                    ("role", role),
                    ("code", &code),
                ];
                counter(&mut calls, &labels, *count)?;
            }
        }
        let mut durations = open(&mut encoder, table::DURATION)?;
        for (method, arm, role, _, latency) in self.cells() {
            let labels = [("method", method), ("arm", arm), ("role", role)];
            let (sum, count, buckets) = seconds(latency);
            let mut family = durations.encode_family(&labels)?;
            family.encode_histogram::<[(&str, &str); 0]>(sum, count, &buckets, None)?;
        }
        let mut compared = open(&mut encoder, table::COMPARED)?;
        for (name, method) in &self.methods.0 {
            counter(&mut compared, &[("method", name)], method.compared)?;
        }
        let mut mismatched = open(&mut encoder, table::MISMATCHED)?;
        for (name, method) in &self.methods.0 {
            counter(&mut mismatched, &[("method", name)], method.mismatched)?;
        }
        let mut not_compared = open(&mut encoder, table::NOT_COMPARED)?;
        for (name, method) in &self.methods.0 {
            for (reason, count) in &method.not_compared {
                counter(
                    &mut not_compared,
                    &[("method", name), ("reason", reason)],
                    *count,
                )?;
            }
        }
        let mut refused = open(&mut encoder, table::REFUSED)?;
        for (reason, count) in &self.refused {
            counter(&mut refused, &[("reason", reason)], *count)?;
        }
        counter(
            &mut open(&mut encoder, table::FALLBACKS)?,
            &[],
            self.fallbacks,
        )?;
        open(&mut encoder, table::GENERATION)?.encode_gauge(&(self.generation as i64))?;
        open(&mut encoder, table::EPOCH)?.encode_gauge(&(self.epoch as i64))?;
        let mut weights = open(&mut encoder, table::WEIGHT)?;
        for (method, weight) in &self.weights {
            weights
                .encode_family(&[("method", method.as_str())])?
                .encode_gauge(weight)?;
        }
        Ok(())
    }
}

impl Scrape {
    fn cells(&self) -> impl Iterator<Item = (&str, &str, &str, &[u64; 17], &Histogram)> {
        self.methods.0.iter().flat_map(|(name, method)| {
            method.cells.iter().map(|(arm, role, by_status, latency)| {
                (name.as_str(), *arm, *role, by_status, latency)
            })
        })
    }
}

fn open<'a>(
    encoder: &'a mut DescriptorEncoder<'_>,
    row: table::Row,
) -> Result<MetricEncoder<'a>, fmt::Error> {
    let (name, kind, help) = row;
    let kind = match kind {
        MetricType::Counter => MetricType::Counter,
        MetricType::Histogram => MetricType::Histogram,
        _ => MetricType::Gauge,
    };
    encoder.encode_descriptor(name, help, None, kind)
}

fn counter(metric: &mut MetricEncoder<'_>, labels: &[(&str, &str)], count: u64) -> fmt::Result {
    match labels {
        [] => metric.encode_counter::<[(&str, &str); 0], _, u64>(&count, None),
        labels => metric
            .encode_family(&Labels(labels))?
            .encode_counter::<[(&str, &str); 0], _, u64>(&count, None),
    }
}

#[derive(Debug)]
struct Labels<'a>(&'a [(&'a str, &'a str)]);

impl prometheus_client::encoding::EncodeLabelSet for Labels<'_> {
    fn encode(
        &self,
        encoder: &mut prometheus_client::encoding::LabelSetEncoder<'_>,
    ) -> fmt::Result {
        self.0.encode(encoder)
    }
}

/// Sum in seconds, count, and per-bucket counts at powers of two from 16 µs to about 67 s. The
/// histogram's own edges are 2^(i/8) µs, so these are exact.
fn seconds(latency: &Histogram) -> (f64, u64, Vec<(f64, u64)>) {
    let edges: Vec<u32> = (4..=26).collect();
    let mut buckets: Vec<(f64, u64)> = edges
        .iter()
        .map(|power| (2f64.powi(*power as i32) / 1e6, 0))
        .collect();
    let mut beyond = 0;
    for (bucket, count) in latency.buckets() {
        match edges.iter().position(|power| bucket <= power * 8) {
            Some(at) => buckets[at].1 += count,
            None => beyond += count,
        }
    }
    buckets.push((f64::MAX, beyond));
    (latency.sum_us() as f64 / 1e6, latency.count(), buckets)
}
