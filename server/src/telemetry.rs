//! Logs to standard error; spans and process metrics to an OpenTelemetry collector.
//!
//! Export is off unless `OTEL_EXPORTER_OTLP_ENDPOINT` is set. Then no call has a span, and what
//! would make one costs a comparison.

pub(crate) mod calls;
mod process;

use std::env;
use std::io::{self, IsTerminal};
use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{ExporterBuildError, MetricExporter, SpanExporter};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider,
};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Layer};

/// The target of the spans that are exported, and of nothing else.
pub const SPAN_TARGET: &str = "gazetteer::span";
/// The instrumentation scope of spans and metrics.
const SCOPE: &str = "gazetteer-server";
const ENDPOINT_VARIABLE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const SPAN_DELAY_VARIABLE: &str = "OTEL_BSP_SCHEDULE_DELAY";
const DEFAULT_SPAN_DELAY: Duration = Duration::from_secs(1);
const SPAN_QUEUE_VARIABLE: &str = "OTEL_BSP_MAX_QUEUE_SIZE";
/// Spans that wait for export; more are dropped.
const DEFAULT_MAX_QUEUED_SPANS: usize = 16_384;
const METRIC_INTERVAL_VARIABLE: &str = "OTEL_METRIC_EXPORT_INTERVAL";
const DEFAULT_METRIC_INTERVAL: Duration = Duration::from_secs(5);

/// Whether calls get spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallTracing {
    /// No collector: no spans.
    Off,
    /// A span for each call, unless its caller's trace is not sampled.
    ParentBased,
}

/// Why telemetry could not begin.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log filter is no filter.
    #[error("--log-level {0:?} is not a level such as info, or a filter such as warn,h2=debug")]
    Filter(String, #[source] tracing_subscriber::filter::ParseError),
    /// The endpoint is no URL, for example.
    #[error("OpenTelemetry export cannot begin; is {ENDPOINT_VARIABLE} a URL?")]
    Exporter(#[from] ExporterBuildError),
    /// There is a subscriber already.
    #[error("a log subscriber is installed already")]
    Installed(#[from] TryInitError),
}

impl TelemetryError {
    /// Whether the user wrote something wrong.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Filter(..) | Self::Exporter(_))
    }
}

/// Running telemetry, to be shut down at the end.
#[derive(Debug)]
pub struct Telemetry {
    exporters: Option<(SdkTracerProvider, SdkMeterProvider)>,
}

impl Telemetry {
    /// Installs logs of at least `log_level` and, if there is a collector, exporters. Must be
    /// called in a Tokio runtime. `default_service_name` is used where `OTEL_SERVICE_NAME` is
    /// not set.
    pub fn init(log_level: &str, default_service_name: &str) -> Result<Self, TelemetryError> {
        let filter = EnvFilter::try_new(log_level)
            .map_err(|source| TelemetryError::Filter(log_level.to_owned(), source))?
            .add_directive(span_target_off());
        let logs = tracing_subscriber::fmt::layer()
            .with_writer(io::stderr)
            .with_ansi(io::stderr().is_terminal())
            .with_filter(filter);
        let subscriber = tracing_subscriber::registry().with(logs);
        if env::var_os(ENDPOINT_VARIABLE).is_none_or(|endpoint| endpoint.is_empty()) {
            subscriber.try_init()?;
            return Ok(Self { exporters: None });
        }
        let resource = resource(default_service_name);
        let tracers = SdkTracerProvider::builder()
            .with_span_processor(span_batches(SpanExporter::builder().with_tonic().build()?))
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOn)))
            .with_resource(resource.clone())
            .build();
        let reader = PeriodicReader::builder(MetricExporter::builder().with_tonic().build()?)
            .with_interval(metric_interval())
            .build();
        let meters = SdkMeterProvider::builder()
            .with_reader(reader)
            .with_resource(resource)
            .build();
        process::observe(&meters);
        let spans = tracing_opentelemetry::layer()
            .with_tracer(tracers.tracer(SCOPE))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(Targets::new().with_target(SPAN_TARGET, tracing::Level::INFO));
        subscriber.with(spans).try_init()?;
        Ok(Self {
            exporters: Some((tracers, meters)),
        })
    }

    /// Whether calls get spans.
    pub fn call_tracing(&self) -> CallTracing {
        if self.exporters.is_some() {
            CallTracing::ParentBased
        } else {
            CallTracing::Off
        }
    }

    /// Exports what is left, for at most `timeout` each for spans and metrics. Blocks, and needs
    /// the runtime that it began in.
    pub fn shut_down(self, timeout: Duration) -> Result<(), OTelSdkError> {
        let Some((tracers, meters)) = self.exporters else {
            return Ok(());
        };
        let spans = tracers.shutdown_with_timeout(timeout);
        meters.shutdown_with_timeout(timeout)?;
        spans
    }
}

/// Exported spans are no log lines.
fn span_target_off() -> tracing_subscriber::filter::Directive {
    format!("{SPAN_TARGET}=off")
        .parse()
        .expect("a target and a level are a directive")
}

/// What the environment says of this process (`OTEL_RESOURCE_ATTRIBUTES` holds `cutover.arm`).
fn resource(default_service_name: &str) -> Resource {
    let builder = Resource::builder();
    let name = env::var("OTEL_SERVICE_NAME")
        .ok()
        .filter(|name| !name.is_empty());
    builder
        .with_service_name(name.unwrap_or_else(|| default_service_name.to_owned()))
        .build()
}

/// Spans are compared while a call is fresh, so they leave after a second, not five.
fn span_batches(exporter: SpanExporter) -> BatchSpanProcessor {
    let mut config = BatchConfigBuilder::default();
    if env::var_os(SPAN_DELAY_VARIABLE).is_none() {
        config = config.with_scheduled_delay(DEFAULT_SPAN_DELAY);
    }
    if env::var_os(SPAN_QUEUE_VARIABLE).is_none() {
        config = config.with_max_queue_size(DEFAULT_MAX_QUEUED_SPANS);
    }
    BatchSpanProcessor::builder(exporter)
        .with_batch_config(config.build())
        .build()
}

fn metric_interval() -> Duration {
    env::var(METRIC_INTERVAL_VARIABLE)
        .ok()
        .and_then(|value| value.parse().ok())
        .filter(|&millis| millis > 0)
        .map_or(DEFAULT_METRIC_INTERVAL, Duration::from_millis)
}
