//! The proxies' side: one stream for each. Tables go down at once and on every change; reports and
//! acknowledgements come up. What can't be true ends the stream with INVALID_ARGUMENT.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use cutover_manifest::MethodPath;
use cutover_proto::cutover::v1 as wire;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use wire::control_plane_service_server::ControlPlaneService;
use wire::sync_request::Kind;

use crate::ledger::{Counted, Refusal, StreamId};
use crate::shared::Shared;
use crate::store::save_sample;
use crate::tally::MAX_NAME_BYTES;
use crate::words::is_hex;

/// Largest message a proxy may send, bytes.
pub(crate) const MAX_MESSAGE_BYTES: usize = 16 << 20;
/// How long a stream may take to say hello.
const HELLO_WITHIN: Duration = Duration::from_secs(10);
/// Tables that wait for a slow proxy; a newer one waits outside, and replaces the one before.
const QUEUE: usize = 2;
/// Most samples taken from one report.
const MAX_SAMPLES: usize = 500;
/// Most differences of a sample.
const MAX_DIFFERENCES: usize = 32;
/// Longest value kept of a difference, bytes.
const MAX_VALUE_BYTES: usize = 4_096;

/// The service that proxies call.
#[derive(Clone)]
pub(crate) struct Sync {
    shared: Arc<Shared>,
}

type Answers = mpsc::Sender<Result<wire::SyncResponse, Status>>;

impl Sync {
    pub(crate) fn new(shared: Arc<Shared>) -> Sync {
        Sync { shared }
    }
}

#[tonic::async_trait]
impl ControlPlaneService for Sync {
    type SyncStream = Pin<Box<dyn Stream<Item = Result<wire::SyncResponse, Status>> + Send>>;

    async fn sync(
        &self,
        request: Request<Streaming<wire::SyncRequest>>,
    ) -> Result<Response<Self::SyncStream>, Status> {
        let (answers, stream) = mpsc::channel(QUEUE);
        let shared = self.shared.clone();
        self.shared.tasks.spawn(async move {
            let served = serve(&shared, request.into_inner(), &answers).await;
            if let Err(status) = served {
                // The proxy may be gone already.
                let _ = answers.send(Err(status)).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

async fn serve(
    shared: &Arc<Shared>,
    mut requests: Streaming<wire::SyncRequest>,
    answers: &Answers,
) -> Result<(), Status> {
    let first = tokio::select! {
        () = shared.shutdown.cancelled() => return Err(shutting_down()),
        first = tokio::time::timeout(HELLO_WITHIN, requests.message()) => first,
    };
    let first = first.map_err(|_| Status::deadline_exceeded("no hello within 10 s"))?;
    let Some(Kind::Hello(hello)) = first.map_err(too_large)?.and_then(|request| request.kind)
    else {
        return Err(Status::invalid_argument(
            "the first message must be a hello",
        ));
    };
    let now = shared.clock.elapsed();
    let stream = shared.core().ledger.hello(&hello, now).map_err(refused)?;
    tracing::info!(
        instance = hello.instance,
        host = hello.host,
        "a proxy has connected"
    );
    shared.touch();
    let served = exchange(shared, &hello.instance, &mut requests, answers).await;
    gone(shared, &hello.instance, stream);
    served
}

async fn exchange(
    shared: &Arc<Shared>,
    instance: &str,
    requests: &mut Streaming<wire::SyncRequest>,
    answers: &Answers,
) -> Result<(), Status> {
    let mut tables = shared.tables();
    tables.mark_changed();
    loop {
        tokio::select! {
            () = shared.shutdown.cancelled() => return Err(shutting_down()),
            () = answers.closed() => return Ok(()),
            changed = tables.changed() => {
                if changed.is_err() {
                    return Err(shutting_down());
                }
                // A place first, then the table: a slow proxy gets the newest one, not a queue.
                let Ok(place) = answers.reserve().await else { return Ok(()) };
                let table = tables.borrow_and_update().as_ref().clone();
                place.send(Ok(wire::SyncResponse { table: Some(table) }));
            }
            request = requests.message() => match request.map_err(too_large)? {
                None => return Ok(()),
                Some(request) => take(shared, instance, request)?,
            },
        }
    }
}

fn take(shared: &Shared, instance: &str, request: wire::SyncRequest) -> Result<(), Status> {
    match request.kind {
        Some(Kind::Hello(_)) => return Err(Status::invalid_argument("a second hello")),
        None => return Err(Status::invalid_argument("an empty message")),
        Some(Kind::Ack(ack)) => {
            if !ack.error.is_empty() {
                let (generation, error) = (ack.generation, &ack.error);
                tracing::warn!(instance, generation, error, "a proxy refused a route table");
            }
            shared.core().ledger.ack(instance, &ack);
        }
        Some(Kind::Report(mut report)) => {
            let at = shared.moment();
            let samples = std::mem::take(&mut report.samples);
            check_samples(&samples)?;
            let counted = shared
                .core()
                .ledger
                .report(instance, &report, at.now, at.unix_ms);
            if counted.map_err(refused)? == Counted::Newest {
                keep(shared, instance, samples);
            }
        }
    }
    shared.touch();
    Ok(())
}

fn gone(shared: &Shared, instance: &str, stream: StreamId) {
    let now = shared.clock.elapsed();
    shared.core().ledger.gone(instance, stream, now);
    shared.touch();
    tracing::info!(instance, "a proxy has gone");
}

fn check_samples(samples: &[wire::Sample]) -> Result<(), Status> {
    if samples.len() > MAX_SAMPLES {
        let message = format!(
            "{} samples in a report; at most {MAX_SAMPLES}",
            samples.len()
        );
        return Err(Status::invalid_argument(message));
    }
    for sample in samples {
        let path = MethodPath::parse(&sample.method);
        if !path.is_ok_and(|path| path.as_str() == sample.method) {
            let message = format!("a sample of method {:?}", sample.method);
            return Err(Status::invalid_argument(message));
        }
        if !sample.trace_id.is_empty() && !is_hex(&sample.trace_id, 32) {
            let message = "a sample's trace_id must be 32 lower-case hexadecimal digits";
            return Err(Status::invalid_argument(message));
        }
        if sample.differences.len() > MAX_DIFFERENCES {
            let message = format!("a sample of more than {MAX_DIFFERENCES} differences");
            return Err(Status::invalid_argument(message));
        }
        let names = sample.differences.iter().flat_map(|d| [&d.path, &d.kind]);
        if names.into_iter().any(|name| name.len() > MAX_NAME_BYTES) {
            let message = format!("a path longer than {MAX_NAME_BYTES} bytes");
            return Err(Status::invalid_argument(message));
        }
    }
    Ok(())
}

fn keep(shared: &Shared, instance: &str, mut samples: Vec<wire::Sample>) {
    if samples.is_empty() {
        return;
    }
    let values = samples
        .iter_mut()
        .flat_map(|sample| &mut sample.differences);
    for value in values.flat_map(|d| [&mut d.legacy, &mut d.candidate]) {
        value.truncate(value.floor_char_boundary(MAX_VALUE_BYTES));
    }
    let instance = instance.to_owned();
    let saved = shared.store.submit(move |session| {
        samples
            .iter()
            .try_for_each(|sample| save_sample(session, &instance, sample))
    });
    if let Err(error) = saved {
        tracing::warn!(%error, "samples of differences are not kept");
    }
}

fn refused(refusal: Refusal) -> Status {
    match refusal {
        Refusal::Implausible(_) => Status::invalid_argument(refusal.to_string()),
        Refusal::TooMany => Status::resource_exhausted(refusal.to_string()),
    }
}

/// tonic says OUT_OF_RANGE where gRPC says RESOURCE_EXHAUSTED.
fn too_large(status: Status) -> Status {
    match status.code() {
        tonic::Code::OutOfRange => Status::resource_exhausted(status.message().to_owned()),
        _ => status,
    }
}

fn shutting_down() -> Status {
    Status::unavailable("the control plane is shutting down")
}
