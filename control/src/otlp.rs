//! The OTLP receiver: traces and metrics, over gRPC and HTTP on one port. It reads, bounds and
//! hands over; what the spans mean is for pairing. Everything that waits is within a budget of
//! bytes; where one is spent, exporters are told to come again, and that is counted. Spans that
//! are none are counted in `partial_success`, and the others of their export are kept.

mod body;
mod grpc;
mod http;
mod labels;
mod metrics;
mod resource;
mod spans;
mod way;
mod wire;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::Request;
use axum::routing::any;
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use prost::Message;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tonic::Code;

use self::labels::Labels;
use self::spans::Rejected;
pub use self::way::{LeftOut, Way};
use self::wire::Malformed;
use crate::clock::Clock;
use crate::deploys::Running;
use crate::pairing::Received;
use crate::process::{ProcessKey, Reading};

/// Largest message taken, bytes, after decompression.
pub(crate) const MAX_MESSAGE_BYTES: usize = 4 << 20;
/// Most batches that wait for pairing.
pub(crate) const QUEUE: usize = 1_024;
/// Most bytes of spans that wait for pairing.
const MAX_WAITING_BYTES: usize = 32 << 20;
/// Most bytes of bodies that are being received at a time, all exporters together.
const MAX_BODY_BYTES: usize = 32 << 20;
/// Most sets of labels kept for the next exports: as many exports are read at a time as there are
/// threads, and each needs a set.
const MAX_SPARE_LABELS: usize = 8;
/// How long an export may take to come in.
const PATIENCE: Duration = Duration::from_secs(10);
/// When an exporter that was turned away should come again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What one export brought.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) spans: Vec<Received>,
    pub(crate) readings: Vec<(ProcessKey, Reading)>,
    /// What the senders run, where they say it.
    pub(crate) running: BTreeSet<Running>,
    /// Its part of the budget, given back when it is dropped.
    pub(crate) _waits: Option<OwnedSemaphorePermit>,
}

/// What the receiver counts, for metrics, and what it may still receive.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) spans: AtomicU64,
    /// Spans and points of metrics that are none.
    pub(crate) rejected: AtomicU64,
    /// Exports that were told to come again.
    pub(crate) turned_away: AtomicU64,
    /// Exports that can't be taken: malformed, too large, too slow.
    pub(crate) refused: AtomicU64,
    /// Bytes of bodies that may yet be received.
    bodies: Arc<Semaphore>,
}

impl Default for Counters {
    fn default() -> Counters {
        Counters {
            spans: AtomicU64::default(),
            rejected: AtomicU64::default(),
            turned_away: AtomicU64::default(),
            refused: AtomicU64::default(),
            bodies: Arc::new(Semaphore::new(MAX_BODY_BYTES)),
        }
    }
}

impl Counters {
    /// Bytes of bodies that are being received.
    pub(crate) fn receiving_bytes(&self) -> usize {
        MAX_BODY_BYTES - self.bodies.available_permits()
    }

    fn answered(&self, code: Code) {
        match code {
            Code::Ok => {}
            Code::Unavailable => _ = self.turned_away.fetch_add(1, Ordering::Relaxed),
            _ => _ = self.refused.fetch_add(1, Ordering::Relaxed),
        }
    }
}

/// What is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    Traces,
    Metrics,
}

/// Why an export was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Refused {
    #[error("too much is waiting")]
    Busy,
    #[error("the receiver is shutting down")]
    Closing,
    #[error("the message is larger than 4 MiB")]
    TooLarge,
    #[error("{0}")]
    Malformed(&'static str),
    #[error("the message took longer than 10 s to come in")]
    Slow,
    #[error("the message broke off")]
    Broken,
}

impl From<Malformed> for Refused {
    fn from(_: Malformed) -> Refused {
        Refused::Malformed("the message is no export of OTLP in Protocol Buffers")
    }
}

/// Takes exports in.
#[derive(Clone, Debug)]
pub(crate) struct Receiver {
    queue: mpsc::Sender<Batch>,
    counters: Arc<Counters>,
    clock: Clock,
    /// Bytes of spans that may yet wait.
    waiting: Arc<Semaphore>,
    /// Labels that nobody uses just now.
    labels: Arc<Mutex<Vec<Labels>>>,
}

impl Receiver {
    /// Hands batches to `queue`.
    pub(crate) fn new(
        queue: mpsc::Sender<Batch>,
        counters: Arc<Counters>,
        clock: Clock,
    ) -> Receiver {
        Receiver {
            queue,
            counters,
            clock,
            waiting: Arc::new(Semaphore::new(MAX_WAITING_BYTES)),
            labels: Arc::default(),
        }
    }

    /// What is served: gRPC's methods, HTTP's paths, and an answer for every other path.
    pub(crate) fn routes(self, router: axum::Router) -> axum::Router {
        let grpc = |signal| {
            let receiver = self.clone();
            any(move |request: Request| grpc::export(receiver.clone(), signal, request))
        };
        let http = |signal| {
            let receiver = self.clone();
            any(move |request: Request| http::export(receiver.clone(), signal, request))
        };
        let service = "/opentelemetry.proto.collector";
        router
            .route(
                &format!("{service}.trace.v1.TraceService/Export"),
                grpc(Signal::Traces),
            )
            .route(
                &format!("{service}.metrics.v1.MetricsService/Export"),
                grpc(Signal::Metrics),
            )
            .route("/v1/traces", http(Signal::Traces))
            .route("/v1/metrics", http(Signal::Metrics))
            .fallback(http::nothing_here)
    }

    /// Reads an export, hands over what it brought, and gives the answer. Never waits.
    fn take(&self, signal: Signal, message: &[u8]) -> Result<Bytes, Refused> {
        let place = self.queue.try_reserve().map_err(|full| match full {
            mpsc::error::TrySendError::Full(()) => Refused::Busy,
            mpsc::error::TrySendError::Closed(()) => Refused::Closing,
        })?;
        let (mut batch, rejected, answer) = match signal {
            Signal::Traces => self.traces(message)?,
            Signal::Metrics => metrics(message)?,
        };
        let spans = batch.spans.len() as u64;
        let bytes: usize = batch.spans.iter().map(Received::bytes).sum();
        if bytes > 0 {
            let bytes = u32::try_from(bytes).map_err(|_| Refused::Busy)?;
            let permit = self.waiting.clone().try_acquire_many_owned(bytes);
            batch._waits = Some(permit.map_err(|_| Refused::Busy)?);
        }
        if spans > 0 || !batch.readings.is_empty() || !batch.running.is_empty() {
            place.send(batch);
        }
        self.counters.spans.fetch_add(spans, Ordering::Relaxed);
        let of_rejected = &self.counters.rejected;
        of_rejected.fetch_add(rejected, Ordering::Relaxed);
        Ok(answer)
    }

    fn traces(&self, message: &[u8]) -> Result<(Batch, u64, Bytes), Refused> {
        let mut labels = self.spare().pop().unwrap_or_default();
        let read = spans::read(message, &mut labels, self.clock.unix_ns());
        let mut spare = self.spare();
        if spare.len() < MAX_SPARE_LABELS {
            spare.push(labels);
        }
        drop(spare);
        let read = read?;
        let partial_success = partial(&read.rejected).map(|(rejected_spans, error_message)| {
            ExportTracePartialSuccess {
                rejected_spans,
                error_message,
            }
        });
        let batch = Batch {
            spans: read.spans,
            running: read.running,
            ..Batch::default()
        };
        let answer = ExportTraceServiceResponse { partial_success };
        Ok((batch, read.rejected.count(), answer.encode_to_vec().into()))
    }

    fn spare(&self) -> std::sync::MutexGuard<'_, Vec<Labels>> {
        self.labels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn metrics(message: &[u8]) -> Result<(Batch, u64, Bytes), Refused> {
    let read = metrics::read(message)?;
    let partial_success = partial(&read.rejected).map(|(rejected_data_points, error_message)| {
        ExportMetricsPartialSuccess {
            rejected_data_points,
            error_message,
        }
    });
    let batch = Batch {
        readings: read.readings,
        running: read.running,
        ..Batch::default()
    };
    let answer = ExportMetricsServiceResponse { partial_success };
    Ok((batch, read.rejected.count(), answer.encode_to_vec().into()))
}

fn partial(rejected: &Rejected) -> Option<(i64, String)> {
    let count = i64::try_from(rejected.count()).unwrap_or(i64::MAX);
    (count > 0).then(|| (count, rejected.message()))
}

#[cfg(test)]
mod recorded;
#[cfg(test)]
mod tests;
