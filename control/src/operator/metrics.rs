//! `/metrics`: the state at the moment of the scrape. All names are in the table below.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use cutover_manifest::Arm;
use cutover_proto::cutover::v1 as wire;
use http::{StatusCode, header};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::shared::Shared;
use crate::words::arm_from_wire;

/// Name and help of a metric; counters get their `_total` when they are written.
type Metric = (&'static str, &'static str);

// The table. Methods come from reports, of which there are at most 1,000.
const WEIGHT: Metric = (
    "cutover_weight_ratio",
    "Share of calls that the candidate answers",
);
const STEP: Metric = (
    "cutover_ramp_step",
    "Index of the ramp's step, -1 before the first",
);
const PHASE: Metric = ("cutover_ramp_phase", "1 for the phase that the ramp is in");
const VERDICT: Metric = ("cutover_verdict", "1 for what the evidence says");
const CALLS: Metric = ("cutover_calls", "Primary calls ended");
const FAILURES: Metric = ("cutover_failures", "Primary calls that failed");
const SHADOWS: Metric = ("cutover_shadow_calls", "Shadow calls ended");
const LATENCY: Metric = (
    "cutover_latency_seconds",
    "Quantiles of primary and shadow calls",
);
const COMPARED: Metric = ("cutover_pairs_compared", "Pairs compared");
const MISMATCHED: Metric = ("cutover_pairs_mismatched", "Pairs that differ");
const NOT_COMPARED: Metric = (
    "cutover_pairs_not_compared",
    "Pairs that could not be compared",
);
const TRACES: Metric = ("cutover_trace_pairs_compared", "Pairs of traces compared");
const TRACES_DIFFER: Metric = (
    "cutover_trace_pairs_mismatched",
    "Pairs of traces that differ",
);
const INCOMPLETE: Metric = ("cutover_trace_pairs_incomplete", "Pairs of traces given up");
const GENERATION: Metric = ("cutover_generation", "Generation of the newest route table");
const EPOCH: Metric = ("cutover_epoch", "Epoch of the evidence");
const PROXIES: Metric = ("cutover_proxies", "Proxies whose stream is open");
const BEHIND: Metric = (
    "cutover_proxies_behind",
    "Of these, proxies without the newest table",
);
const MANIFEST: Metric = (
    "cutover_manifest_valid",
    "1 if the manifest on disk is in force",
);
const STORE: Metric = (
    "cutover_store_available",
    "1 if the store does what it is asked",
);
const SPANS: Metric = ("cutover_spans_received", "Spans taken in");
const REJECTED: Metric = ("cutover_spans_rejected", "Spans and points that are none");
const DROPPED: Metric = (
    "cutover_spans_dropped",
    "Spans dropped before they were paired",
);
const HELD: Metric = (
    "cutover_spans_held",
    "Spans that wait for their counterparts",
);
const HELD_BYTES: Metric = (
    "cutover_spans_held_bytes",
    "Bytes at most that waiting spans take",
);
const RECEIVING: Metric = (
    "cutover_exports_receiving_bytes",
    "Bytes of exports that are being received",
);
const REFUSED: Metric = (
    "cutover_exports_refused",
    "Exports that were malformed, too large or too slow",
);
const TURNED_AWAY: Metric = (
    "cutover_exports_turned_away",
    "Exports that were told to come again",
);
const NOTIFIED: Metric = ("cutover_notifications_sent", "Notifications delivered");
const NOT_NOTIFIED: Metric = ("cutover_notifications_dropped", "Notifications given up");
const ARM_CPU: Metric = ("cutover_arm_cpu_seconds", "CPU used by the arm's processes");
const ARM_MEMORY: Metric = (
    "cutover_arm_memory_bytes",
    "Resident memory of the arm's processes",
);

/// Answers a scrape.
pub(super) async fn scrape(State(shared): State<Arc<Shared>>) -> Response {
    let pairing = shared.pairing.lock().map(|state| *state);
    let pairing = pairing.unwrap_or_default();
    let dropped = pairing.dropped;
    let load = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
    let state = Scrape {
        status: shared.status().await,
        received: load(&shared.otlp.spans),
        rejected: load(&shared.otlp.rejected),
        turned_away: load(&shared.otlp.turned_away),
        refused: load(&shared.otlp.refused),
        receiving: shared.otlp.receiving_bytes(),
        held: pairing.held,
        notified: load(&shared.notifier.counters().sent),
        not_notified: [
            ("queue_full", load(&shared.notifier.counters().queue_full)),
            ("failed", load(&shared.notifier.counters().failed)),
        ],
        dropped: [
            ("evicted", dropped.evicted),
            ("over_trace_bound", dropped.over_trace_bound),
            ("unpaired", dropped.unpaired),
            ("repeated", dropped.repeated),
            ("late", dropped.late),
        ],
    };
    let mut registry = Registry::default();
    registry.register_collector(Box::new(state));
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(fmt::Error) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[derive(Debug)]
struct Scrape {
    status: wire::Status,
    received: u64,
    rejected: u64,
    turned_away: u64,
    refused: u64,
    receiving: usize,
    /// Spans that wait, and bytes.
    held: (usize, usize),
    notified: u64,
    not_notified: [(&'static str, u64); 2],
    dropped: [(&'static str, u64); 5],
}

/// One value with its labels.
type Point = (Vec<(&'static str, String)>, f64);

fn at(labels: &[(&'static str, &str)], value: f64) -> Point {
    (
        labels
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect(),
        value,
    )
}

fn gauge(to: &mut DescriptorEncoder<'_>, metric: Metric, points: Vec<Point>) -> fmt::Result {
    let gauge = ConstGauge::new(0.0);
    let mut encoder = to.encode_descriptor(metric.0, metric.1, None, gauge.metric_type())?;
    for (labels, value) in points {
        ConstGauge::new(value).encode(encoder.encode_family(&labels)?)?;
    }
    Ok(())
}

fn counter(to: &mut DescriptorEncoder<'_>, metric: Metric, points: Vec<Point>) -> fmt::Result {
    let counter = ConstCounter::new(0.0);
    let mut encoder = to.encode_descriptor(metric.0, metric.1, None, counter.metric_type())?;
    for (labels, value) in points {
        ConstCounter::new(value).encode(encoder.encode_family(&labels)?)?;
    }
    Ok(())
}

impl Collector for Scrape {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> fmt::Result {
        let to = &mut to;
        self.ramps(to)?;
        self.methods(to)?;
        self.arms(to)?;
        self.processes(to)?;
        let connected = || self.status.proxies.iter().filter(|proxy| proxy.connected);
        let behind = connected()
            .filter(|p| p.applied_generation < self.status.generation)
            .count();
        let valid = f64::from(u8::from(self.status.manifest_error.is_empty()));
        gauge(to, GENERATION, vec![at(&[], self.status.generation as f64)])?;
        gauge(to, EPOCH, vec![at(&[], self.status.epoch as f64)])?;
        gauge(to, PROXIES, vec![at(&[], connected().count() as f64)])?;
        gauge(to, BEHIND, vec![at(&[], behind as f64)])?;
        gauge(to, MANIFEST, vec![at(&[], valid)])?;
        let store = self.status.store.as_ref();
        let available = store.is_none_or(|store| store.error.is_empty());
        gauge(to, STORE, vec![at(&[], f64::from(u8::from(available)))])?;
        counter(to, SPANS, vec![at(&[], self.received as f64)])?;
        counter(to, REJECTED, vec![at(&[], self.rejected as f64)])?;
        counter(to, TURNED_AWAY, vec![at(&[], self.turned_away as f64)])?;
        counter(to, REFUSED, vec![at(&[], self.refused as f64)])?;
        gauge(to, RECEIVING, vec![at(&[], self.receiving as f64)])?;
        gauge(to, HELD, vec![at(&[], self.held.0 as f64)])?;
        gauge(to, HELD_BYTES, vec![at(&[], self.held.1 as f64)])?;
        let reasons = |of: &[(&'static str, u64)]| -> Vec<Point> {
            of.iter()
                .map(|(why, n)| at(&[("reason", why)], *n as f64))
                .collect()
        };
        counter(to, NOTIFIED, vec![at(&[], self.notified as f64)])?;
        counter(to, NOT_NOTIFIED, reasons(&self.not_notified))?;
        counter(to, DROPPED, reasons(&self.dropped))
    }
}

impl Scrape {
    fn ramps(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let ramps = &self.status.ramps;
        let step = |ramp: &wire::RampStatus| at(&[("scope", &ramp.scope)], ramp.step.into());
        gauge(to, STEP, ramps.iter().map(step).collect())?;
        let one_of = |ramp: &wire::RampStatus, label, names: &[&str], now: usize| -> Vec<Point> {
            let value = |index: usize| f64::from(u8::from(index == now));
            let scope = ("scope", ramp.scope.as_str());
            let names = names.iter().enumerate();
            names
                .map(|(index, name)| at(&[scope, (label, name)], value(index)))
                .collect()
        };
        let phases = ["progressing", "paused", "degraded", "healthy"];
        let phase = |ramp| one_of(ramp, "phase", &phases, index(ramp.phase));
        gauge(to, PHASE, ramps.iter().flat_map(phase).collect())?;
        let verdicts = ["advance", "wait", "rollback"];
        let verdict = |ramp: &wire::RampStatus| {
            let kind = ramp.verdict.as_ref().map_or(0, |verdict| verdict.kind);
            one_of(ramp, "verdict", &verdicts, index(kind))
        };
        gauge(to, VERDICT, ramps.iter().flat_map(verdict).collect())
    }

    fn methods(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let methods = &self.status.methods;
        let each = |value: fn(&wire::MethodStatus) -> f64| -> Vec<Point> {
            methods
                .iter()
                .map(|m| at(&[("method", &m.method)], value(m)))
                .collect()
        };
        let by_reason = |of: fn(&wire::MethodStatus) -> Vec<(&String, u64)>| -> Vec<Point> {
            let points = methods
                .iter()
                .flat_map(|m| of(m).into_iter().map(move |point| (m, point)));
            let point = |(m, (reason, n)): (&wire::MethodStatus, (&String, u64))| {
                at(&[("method", &m.method), ("reason", reason)], n as f64)
            };
            points.map(point).collect()
        };
        gauge(to, WEIGHT, each(|m| f64::from(m.weight_bp) / 10_000.0))?;
        counter(
            to,
            COMPARED,
            each(|m| m.pairs.as_ref().map_or(0, |p| p.compared) as f64),
        )?;
        counter(
            to,
            MISMATCHED,
            each(|m| m.pairs.as_ref().map_or(0, |p| p.mismatched) as f64),
        )?;
        let not_compared = by_reason(|m| {
            let reasons = m.pairs.iter().flat_map(|pairs| &pairs.not_compared);
            reasons.map(|(reason, n)| (reason, *n)).collect()
        });
        counter(to, NOT_COMPARED, not_compared)?;
        counter(
            to,
            TRACES,
            each(|m| m.traces.as_ref().map_or(0, |t| t.compared) as f64),
        )?;
        counter(
            to,
            TRACES_DIFFER,
            each(|m| m.traces.as_ref().map_or(0, |t| t.mismatched) as f64),
        )?;
        let incomplete = by_reason(|m| {
            let reasons = m.traces.iter().flat_map(|traces| &traces.incomplete);
            reasons.map(|(reason, n)| (reason, *n)).collect()
        });
        counter(to, INCOMPLETE, incomplete)
    }

    fn arms(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let arms = || {
            self.status.methods.iter().flat_map(|m| {
                m.arms
                    .iter()
                    .filter_map(move |arm| Some((m, arm_from_wire(arm.arm)?, arm)))
            })
        };
        let each = |value: fn(&wire::ArmStatus) -> u64| -> Vec<Point> {
            let point = |(m, arm, status): (&wire::MethodStatus, Arm, &wire::ArmStatus)| {
                let labels = [("method", m.method.as_str()), ("arm", arm.as_str())];
                at(&labels, value(status) as f64)
            };
            arms().map(point).collect()
        };
        counter(to, CALLS, each(|arm| arm.calls))?;
        counter(to, FAILURES, each(|arm| arm.failures))?;
        counter(to, SHADOWS, each(|arm| arm.shadow_calls))?;
        let mut quantiles = Vec::new();
        for (method, arm, status) in arms() {
            let Some(latency) = status.latency.filter(|latency| latency.count > 0) else {
                continue;
            };
            let values = [
                ("0.5", latency.p50_us),
                ("0.9", latency.p90_us),
                ("0.99", latency.p99_us),
            ];
            for (quantile, us) in values {
                let method = ("method", method.method.as_str());
                let labels = [method, ("arm", arm.as_str()), ("quantile", quantile)];
                quantiles.push(at(&labels, us / 1e6));
            }
        }
        gauge(to, LATENCY, quantiles)
    }

    fn processes(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let each = |value: fn(&wire::ProcessStatus) -> f64| -> Vec<Point> {
            let known = self.status.processes.iter();
            known
                .filter_map(|process| {
                    let arm = arm_from_wire(process.arm)?;
                    Some(at(&[("arm", arm.as_str())], value(process)))
                })
                .collect()
        };
        counter(to, ARM_CPU, each(|process| process.cpu_seconds))?;
        gauge(to, ARM_MEMORY, each(|process| process.memory_bytes as f64))
    }
}

/// Index of an enum's value that is not its first, the one that says nothing.
fn index(number: i32) -> usize {
    usize::try_from(number - 1).unwrap_or(usize::MAX)
}
