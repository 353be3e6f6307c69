//! The OTLP receiver: traces and metrics over gRPC. It reads, bounds and hands over; what the
//! spans mean is for pairing. A full queue answers UNAVAILABLE with RetryInfo, so that exporters
//! come again; spans that can't be read are counted in `partial_success` and are not sent again.

mod read;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::MetricsService;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::TraceService;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tokio::sync::mpsc;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::deploys::Running;
use crate::pairing::Received;
use crate::process::{ProcessKey, Reading};

/// Largest message taken, bytes, after decompression.
pub(crate) const MAX_MESSAGE_BYTES: usize = 4 << 20;
/// Most batches that wait for pairing; each is at most one message.
pub(crate) const QUEUE: usize = 64;
/// When an exporter that was turned away should come again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What one export brought.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) spans: Vec<Received>,
    pub(crate) readings: Vec<(ProcessKey, Reading)>,
    /// What the senders run, where they say it.
    pub(crate) running: BTreeSet<Running>,
}

/// What the receiver counts, for metrics.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) spans: AtomicU64,
    pub(crate) rejected_spans: AtomicU64,
    pub(crate) turned_away: AtomicU64,
}

/// Takes exports in.
#[derive(Clone, Debug)]
pub(crate) struct Receiver {
    queue: mpsc::Sender<Batch>,
    counters: Arc<Counters>,
}

impl Receiver {
    /// Hands batches to `queue`.
    pub(crate) fn new(queue: mpsc::Sender<Batch>, counters: Arc<Counters>) -> Receiver {
        Receiver { queue, counters }
    }

    /// A place in the queue, or the answer for the exporter.
    fn place(&self) -> Result<mpsc::Permit<'_, Batch>, Status> {
        self.queue.try_reserve().map_err(|full| {
            self.counters.turned_away.fetch_add(1, Ordering::Relaxed);
            let message = match full {
                mpsc::error::TrySendError::Full(()) => "the queue of batches is full",
                mpsc::error::TrySendError::Closed(()) => "the receiver is shutting down",
            };
            let details = ErrorDetails::with_retry_info(Some(RETRY_AFTER));
            Status::with_error_details(Code::Unavailable, message, details)
        })
    }
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let place = self.place()?;
        let read = read::spans(request.into_inner());
        self.counters
            .spans
            .fetch_add(read.spans.len() as u64, Ordering::Relaxed);
        self.counters
            .rejected_spans
            .fetch_add(read.rejected, Ordering::Relaxed);
        if !read.spans.is_empty() {
            place.send(Batch {
                spans: read.spans,
                running: read.running,
                ..Batch::default()
            });
        }
        let partial_success = (read.rejected > 0).then(|| ExportTracePartialSuccess {
            rejected_spans: i64::try_from(read.rejected).unwrap_or(i64::MAX),
            error_message: read.reason.to_owned(),
        });
        Ok(Response::new(ExportTraceServiceResponse {
            partial_success,
        }))
    }
}

#[tonic::async_trait]
impl MetricsService for Receiver {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let place = self.place()?;
        let request = request.into_inner();
        let readings = read::readings(&request);
        let running = read::running(request.resource_metrics.iter().map(|of| &of.resource));
        if !readings.is_empty() || !running.is_empty() {
            place.send(Batch {
                readings,
                running,
                ..Batch::default()
            });
        }
        Ok(Response::new(ExportMetricsServiceResponse {
            partial_success: None,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_queue_is_unavailable_with_a_time_to_come_again() {
        let (queue, _waiting) = mpsc::channel(1);
        queue.try_send(Batch::default()).unwrap();
        let receiver = Receiver::new(queue, Arc::default());
        let answer = TraceService::export(&receiver, Request::new(Default::default())).await;
        let status = answer.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        let retry = status.get_details_retry_info().unwrap();
        assert_eq!(retry.retry_delay, Some(RETRY_AFTER));
        assert_eq!(receiver.counters.turned_away.load(Ordering::Relaxed), 1);
    }
}
