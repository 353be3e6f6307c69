//! The proxy's own spans: a SERVER span for a call and a CLIENT span for each copy, so that both
//! arms' spans hang in one trace under siblings marked `cutover.arm` and `cutover.role`. Finished
//! spans go to OpenTelemetry's batch processor, which has a bounded queue and a thread of its own.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cutover_compare::is_failure;
use cutover_compare::observation::code_name;
use cutover_compare::trace::ANSWER_BYTES;
use cutover_manifest::{Arm, Role};
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor,
};

use crate::route::TraceContext;

/// Spans that wait for export; beyond it they are dropped by the processor.
const QUEUE: usize = 16_384;
const BATCH: usize = 1_024;
/// Pairing waits for these spans, so they leave soon.
const DELAY: Duration = Duration::from_millis(500);
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where finished spans go. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spans(Option<Arc<BatchSpanProcessor>>);

/// One ended copy of a call.
pub(crate) struct CallSpan<'a> {
    pub(crate) trace: &'a TraceContext,
    pub(crate) id: [u8; 8],
    pub(crate) parent: Option<[u8; 8]>,
    /// "/package.Service/Method".
    pub(crate) method: &'a str,
    pub(crate) arm: Arm,
    pub(crate) role: Role,
    pub(crate) status: u32,
    pub(crate) started: SystemTime,
    pub(crate) duration: Duration,
    /// Bytes of the answer, where they were counted.
    pub(crate) answer_bytes: Option<usize>,
}

impl Spans {
    /// Spans to an OTLP/gRPC receiver. To be called within a tokio runtime, which drives the
    /// exporter's connection.
    pub(crate) fn export_to(endpoint: &str, instance: &str) -> Result<Spans, ExporterBuildError> {
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .with_timeout(EXPORT_TIMEOUT)
            .build()?;
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(DELAY)
            .build();
        let mut processor = BatchSpanProcessor::builder(exporter)
            .with_batch_config(config)
            .build();
        let resource = Resource::builder()
            .with_service_name("cutover-proxy")
            .with_attribute(KeyValue::new("service.instance.id", instance.to_owned()))
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        processor.set_resource(&resource);
        Ok(Spans(Some(Arc::new(processor))))
    }

    /// The SERVER span of a call.
    pub(crate) fn server(&self, span: &CallSpan<'_>) {
        self.end(span, SpanKind::Server);
    }

    /// The CLIENT span of one copy.
    pub(crate) fn client(&self, span: &CallSpan<'_>) {
        self.end(span, SpanKind::Client);
    }

    /// Exports what is left. Blocks for as long as the exporter's time-out at most.
    pub(crate) fn shutdown(&self) {
        if let Some(processor) = &self.0
            && let Err(error) = processor.shutdown()
        {
            tracing::debug!(%error, "the last spans were not exported");
        }
    }

    fn end(&self, span: &CallSpan<'_>, kind: SpanKind) {
        let Some(processor) = &self.0 else { return };
        let flags = if span.trace.sampled {
            TraceFlags::SAMPLED
        } else {
            TraceFlags::default()
        };
        let context = SpanContext::new(
            TraceId::from_bytes(span.trace.trace_id),
            SpanId::from_bytes(span.id),
            flags,
            false,
            TraceState::NONE,
        );
        let method = span.method.trim_start_matches('/');
        let bytes = span
            .answer_bytes
            .and_then(|bytes| i64::try_from(bytes).ok());
        let bytes = bytes.map(|bytes| KeyValue::new(ANSWER_BYTES, bytes));
        processor.on_end(SpanData {
            span_context: context,
            parent_span_id: span.parent.map_or(SpanId::INVALID, SpanId::from_bytes),
            parent_span_is_remote: kind == SpanKind::Server && span.parent.is_some(),
            span_kind: kind,
            name: Cow::Owned(method.to_owned()),
            start_time: span.started,
            end_time: span.started + span.duration,
            attributes: [
                KeyValue::new("rpc.system.name", "grpc"),
                KeyValue::new("rpc.method", method.to_owned()),
                KeyValue::new("rpc.response.status_code", code_name(span.status)),
                KeyValue::new("cutover.arm", span.arm.as_str()),
                KeyValue::new("cutover.role", span.role.as_str()),
            ]
            .into_iter()
            .chain(bytes)
            .collect(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: match is_failure(span.status) {
                true => Status::error(code_name(span.status)),
                false => Status::Unset,
            },
            instrumentation_scope: InstrumentationScope::builder("cutover").build(),
        });
    }
}
