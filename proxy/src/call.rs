//! The life of one call on a core, from the request's headers to the answer's: route, forward,
//! mirror. What happens after that (body, trailers, count) is [`crate::forward::AnswerBody`]'s.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cutover_manifest::{Arm, RouteTable};
use http::{Method, Request, Response, StatusCode, Uri, request};
use hyper::body::Incoming;
use tokio::sync::oneshot;

use crate::forward::{
    AnswerBody, AnswerTap, Chunks, Collected, ConnectError, Lease, RequestBody, RequestTap,
    RequestTaps, SendError, SharedTap, Upstreams, Watch, upstream_failure,
};
use crate::grpc::{self, Failure, code};
use crate::mirror::{Answer, MirrorCall, Reason};
use crate::observe::Stats;
use crate::record::Record;
use crate::route::{self, Decision, MirrorChoice};
use crate::shared::Shared;

/// One core: its connections and counters are its own.
pub(crate) struct Core {
    pub(crate) shared: Arc<Shared>,
    pub(crate) upstreams: Upstreams,
    pub(crate) stats: RefCell<Stats>,
}

/// Answers one call.
pub(crate) async fn handle(core: Rc<Core>, request: Request<Incoming>) -> Response<AnswerBody> {
    let started = Instant::now();
    if request.method() != Method::POST || !grpc::is_grpc(request.headers()) {
        core.stats.borrow_mut().refused("not_grpc");
        return grpc::unsupported_media_type(AnswerBody::empty());
    }
    let Some(table) = core.shared.table.load_full() else {
        core.stats.borrow_mut().refused("no_table");
        let failure = Failure::new(code::UNAVAILABLE, "the proxy has no route table yet");
        return failure.response(AnswerBody::empty());
    };
    let (mut parts, body) = request.into_parts();
    let descriptors = core.shared.descriptors.load();
    let mut decision = route::route(
        &table,
        descriptors.as_deref(),
        parts.uri.path(),
        &mut parts.headers,
    );
    drop(descriptors);
    let label = core.shared.labels.load().label(parts.uri.path());
    if decision.mirror == MirrorChoice::Unknown {
        let mut stats = core.stats.borrow_mut();
        stats
            .pairs(table.epoch, &label)
            .not_compared("no_descriptor");
        decision.mirror = MirrorChoice::No;
    }
    decision.trace.sampled |= decision.mirror != MirrorChoice::No;
    let journal = core.shared.journal.as_ref();
    let journal = journal.and_then(|journal| journal.sample(&parts, started));
    let record = Record {
        core: core.clone(),
        epoch: table.epoch,
        label,
        weight: decision.weight,
        arm: decision.arm,
        started,
        trace: decision.trace,
        server_span: route::span_id(),
        client_span: route::span_id(),
        answer: None,
    };
    decision
        .trace
        .inject(&mut parts.headers, record.client_span);
    let watch = Box::new(Watch {
        status: None,
        headers: http::HeaderMap::new(),
        trailers: http::HeaderMap::new(),
        tap: None,
        request: None,
        journal,
        lease: None,
        record,
    });
    forward(core, table, decision, parts, body, watch).await
}

async fn forward(
    core: Rc<Core>,
    table: Arc<RouteTable>,
    mut decision: Decision,
    mut parts: request::Parts,
    body: Incoming,
    mut watch: Box<Watch>,
) -> Response<AnswerBody> {
    let timeout = grpc::timeout(&parts.headers);
    let deadline = timeout.and_then(|timeout| watch.record.started.checked_add(timeout));
    let leased = before(deadline, lease(&core, &table, &mut decision, &watch.record)).await;
    let mut lease = match leased {
        Some(Ok(lease)) => lease,
        Some(Err(error)) => return refuse(watch, &connect_failure(&error)),
        None => return refuse(watch, &deadline_exceeded()),
    };
    watch.record.arm = decision.arm;
    if let Some(deadline) = deadline {
        let left = deadline.saturating_duration_since(Instant::now());
        parts
            .headers
            .insert(grpc::TIMEOUT, grpc::timeout_value(left));
    }
    if parts.uri.authority().is_none() {
        parts.uri = absolute(&parts.uri, &table.manifest.arm(decision.arm).authority);
    }
    let taps = RequestTaps {
        mirror: tap(&core, &table, &decision, &parts, timeout, &mut watch),
        journal: watch.journal.clone(),
    };
    let mut request = Request::from_parts(parts, RequestBody::Client(body, taps.boxed()));
    let mut sent_before = false;
    let response = loop {
        match before(deadline, lease.send(request)).await {
            Some(Ok(response)) => break response,
            Some(Err(SendError::Unsent(unsent))) if !sent_before => {
                // The connection closed under the call before anything was sent: provably
                // unprocessed, so once more, on another connection to the same arm.
                sent_before = true;
                request = *unsent;
                lease = match before(deadline, core.upstreams.lease(&table, decision.arm)).await {
                    Some(Ok(lease)) => lease,
                    Some(Err(error)) => return refuse(watch, &connect_failure(&error)),
                    None => return refuse(watch, &deadline_exceeded()),
                };
            }
            Some(Err(SendError::Unsent(_))) => {
                let failure = Failure::new(code::UNAVAILABLE, "the arm closed its connections");
                return refuse(watch, &failure);
            }
            Some(Err(SendError::Failed(error))) => return refuse(watch, &upstream_failure(&error)),
            None => return refuse(watch, &deadline_exceeded()),
        }
    };
    watch.lease = Some(lease);
    answer(response, watch, deadline)
}

/// A place on a connection to the arm that was chosen. A candidate that can't be connected to has
/// processed nothing, so the legacy answers instead; the candidate's failure is counted as its own.
async fn lease(
    core: &Core,
    table: &RouteTable,
    decision: &mut Decision,
    record: &Record,
) -> Result<Lease, ConnectError> {
    match core.upstreams.lease(table, decision.arm).await {
        Err(error) if decision.arm == Arm::Candidate => {
            tracing::debug!(%error, "the candidate cannot be connected to");
            record.count(Arm::Candidate, code::UNAVAILABLE);
            core.stats.borrow_mut().fallbacks += 1;
            decision.arm = Arm::Legacy;
            decision.mirror = MirrorChoice::No;
            core.upstreams.lease(table, Arm::Legacy).await
        }
        leased => leased,
    }
}

/// The taps of a mirrored call: one collects the request and hands it to the shadow runtime when
/// it has ended (a stream also when the answer has), one collects the answer.
fn tap(
    core: &Rc<Core>,
    table: &Arc<RouteTable>,
    decision: &Decision,
    parts: &request::Parts,
    timeout: Option<Duration>,
    watch: &mut Watch,
) -> Option<SharedTap> {
    let MirrorChoice::Copy(copying) = decision.mirror else {
        return None;
    };
    let limit = table.manifest.limits.max_compared_message_bytes;
    let budget = &core.shared.mirror_memory;
    let (sender, answer) = oneshot::channel::<Answer>();
    watch.record.answer = Some(sender);
    watch.tap = Some(AnswerTap::new(Chunks::new(budget.empty(), limit)));
    let record = &watch.record;
    let (label, epoch) = (record.label.clone(), table.epoch);
    let (uri, headers) = (parts.uri.clone(), parts.headers.clone());
    let (weight, primary, trace) = (decision.weight, decision.arm, decision.trace);
    let (table, server_span) = (table.clone(), record.server_span);
    let core = core.clone();
    let done = move |collected: Result<Collected, Reason>| {
        let handed_over = collected.and_then(|request| {
            let call = MirrorCall {
                table,
                label: label.clone(),
                uri,
                headers,
                weight,
                primary,
                trace,
                server_span,
                timeout,
                copying,
                request,
                answer,
            };
            let mirror = &core.shared.mirror;
            mirror.try_send(call).map_err(|_| "queue_full")
        });
        if let Err(reason) = handed_over {
            let mut stats = core.stats.borrow_mut();
            stats.pairs(epoch, &label).not_compared(reason);
        }
    };
    let request = Chunks::new(budget.empty(), limit);
    let tap = Rc::new(RefCell::new(RequestTap::new(request, done)));
    watch.request = copying.streams.then(|| tap.clone());
    Some(tap)
}

/// The arm's response on its way to the client.
fn answer(
    response: Response<Incoming>,
    mut watch: Box<Watch>,
    deadline: Option<Instant>,
) -> Response<AnswerBody> {
    let (parts, body) = response.into_parts();
    watch.status = grpc::status(&parts.headers).or_else(|| http_status(parts.status));
    if watch.keeps() {
        watch.headers = parts.headers.clone();
    }
    if let Some(journal) = watch.journal.as_ref().filter(|_| watch.status.is_none()) {
        journal.headers(&parts.headers);
    }
    let deadline = deadline.map(|at| Box::pin(tokio::time::sleep_until(at.into())));
    Response::from_parts(parts, AnswerBody::upstream(body, watch, deadline))
}

/// An answer of the proxy's own.
fn refuse(mut watch: Box<Watch>, failure: &Failure) -> Response<AnswerBody> {
    watch.failed(failure);
    failure.response(AnswerBody::empty())
}

fn connect_failure(error: &ConnectError) -> Failure {
    let code = match error {
        ConnectError::Full(_) => code::RESOURCE_EXHAUSTED,
        _ => code::UNAVAILABLE,
    };
    Failure::new(code, error.to_string())
}

fn deadline_exceeded() -> Failure {
    Failure::new(code::DEADLINE_EXCEEDED, "deadline exceeded")
}

/// What gRPC makes of an HTTP status other than 200; the answer itself passes untouched.
fn http_status(status: StatusCode) -> Option<u32> {
    Some(match status.as_u16() {
        200 => return None,
        400 => code::INTERNAL,
        401 => 16,
        403 => code::PERMISSION_DENIED,
        404 => 12,
        429 | 502..=504 => code::UNAVAILABLE,
        _ => code::UNKNOWN,
    })
}

/// Waits for `future`, at most until the deadline; `None` when that has passed.
async fn before<T>(deadline: Option<Instant>, future: impl Future<Output = T>) -> Option<T> {
    match deadline {
        None => Some(future.await),
        Some(at) => tokio::time::timeout_at(at.into(), future).await.ok(),
    }
}

fn absolute(uri: &Uri, authority: &str) -> Uri {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Uri::builder()
        .scheme("http")
        .authority(authority)
        .path_and_query(path)
        .build()
        .unwrap_or_else(|_| uri.clone())
}
