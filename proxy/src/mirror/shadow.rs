//! The shadow runtime: sends the copies, waits for both answers, compares, counts.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use cutover_compare::{Comparison, Method, Observation, Redaction, compare};
use cutover_manifest::{Arm, Role};
use futures_util::future;
use http::{Method as HttpMethod, Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tokio::time::timeout_at;

use super::observation::observation;
use super::{Answer, MirrorCall, Reason, Samples};
use crate::forward::{
    AnswerTap, Chunks, CopyBody, RequestBody, SendError, Upstreams, upstream_failure,
};
use crate::grpc::{self, code};
use crate::observe::{Ended, Stats};
use crate::route;
use crate::shared::Shared;
use crate::spans::CallSpan;

/// What the shadow runtime owns.
pub(crate) struct Shadow {
    pub(crate) shared: Arc<Shared>,
    pub(crate) upstreams: Upstreams,
    pub(crate) stats: RefCell<Stats>,
    pub(crate) samples: RefCell<Samples>,
    pub(crate) redaction: Redaction,
    pub(crate) in_flight: Cell<usize>,
}

/// Mirrors what is handed over until all hands are gone.
pub(crate) async fn run(shadow: Rc<Shadow>, mut calls: mpsc::Receiver<MirrorCall>) {
    while let Some(call) = calls.recv().await {
        // Calls on an arm that hangs stay until their deadline; beyond the bound they are dropped.
        if shadow.in_flight.get() >= call.table.manifest.limits.mirror_queue {
            shadow.not_compared(&call, "queue_full");
            continue;
        }
        shadow.in_flight.set(shadow.in_flight.get() + 1);
        let shadow = shadow.clone();
        tokio::task::spawn_local(async move {
            shadow.mirror(call).await;
            shadow.in_flight.set(shadow.in_flight.get() - 1);
        });
    }
}

impl Shadow {
    async fn mirror(&self, mut call: MirrorCall) {
        let bound = call.table.manifest.limits.mirror_deadline;
        // As much time as the caller gave: of a stream, little may be left by now.
        let deadline = Instant::now() + call.timeout.map_or(bound, |timeout| timeout.min(bound));
        let (sender, never) = tokio::sync::oneshot::channel();
        let answer = std::mem::replace(&mut call.answer, never);
        drop(sender);
        let primary = async {
            match timeout_at((Instant::now() + bound).into(), answer).await {
                Ok(Ok(answer)) if answer.overflow => Err("over_bound"),
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(_)) => Err("cancelled"),
                Err(_) => Err("deadline"),
            }
        };
        let shadow = self.copy(&call, call.primary.other(), Role::Shadow, deadline);
        let noise = async {
            match call.copying.noise {
                true => self
                    .copy(&call, call.primary, Role::Noise, deadline)
                    .await
                    .map(Some),
                false => Ok(None),
            }
        };
        // The first reason not to compare ends the copies: a client that goes away takes its
        // shadow along.
        match future::try_join3(Box::pin(primary), Box::pin(shadow), Box::pin(noise)).await {
            Ok((primary, shadow, noise)) => self.compare(&call, &primary, &shadow, noise.as_ref()),
            Err(reason) => self.not_compared(&call, reason),
        }
    }

    /// Sends one copy and collects its whole answer.
    async fn copy(
        &self,
        call: &MirrorCall,
        arm: Arm,
        role: Role,
        deadline: Instant,
    ) -> Result<Answer, Reason> {
        let (started, at) = (Instant::now(), SystemTime::now());
        let id = route::span_id();
        let result = match timeout_at(
            deadline.into(),
            self.exchange(call, arm, role, deadline, id),
        )
        .await
        {
            Ok(result) => result,
            Err(_) => Ok(self.failed(code::DEADLINE_EXCEEDED)),
        };
        let duration = started.elapsed();
        let status = result
            .as_ref()
            .map_or(code::UNAVAILABLE, |answer| answer.status);
        self.stats.borrow_mut().ended(&Ended {
            epoch: call.table.epoch,
            method: &call.label,
            weight: call.weight,
            arm,
            role,
            status,
            duration: (!call.copying.streams).then_some(duration),
        });
        self.shared.spans.client(&CallSpan {
            trace: &call.trace,
            id,
            parent: Some(call.server_span),
            method: &call.label,
            arm,
            role,
            status,
            started: at,
            duration,
        });
        result.map(|answer| Answer { duration, ..answer })
    }

    async fn exchange(
        &self,
        call: &MirrorCall,
        arm: Arm,
        role: Role,
        deadline: Instant,
        span_id: [u8; 8],
    ) -> Result<Answer, Reason> {
        let lease = self
            .upstreams
            .lease(&call.table, arm)
            .await
            .map_err(|_| "connect")?;
        let (body, held_open) = CopyBody::of(&call.request);
        let mut request = Request::new(RequestBody::Copy(body));
        *request.method_mut() = HttpMethod::POST;
        *request.uri_mut() = call.uri.clone();
        let headers = request.headers_mut();
        *headers = call.headers.clone();
        call.trace.inject(headers, span_id);
        route::mark_role(headers, role);
        let left = deadline.saturating_duration_since(Instant::now());
        headers.insert(grpc::TIMEOUT, grpc::timeout_value(left));
        let answer = match lease.send(request).await {
            Ok(response) => Ok(self.collect(call, response).await),
            Err(SendError::Unsent(_)) => Err("connect"),
            Err(SendError::Failed(error)) => Ok(self.failed(upstream_failure(&error).code)),
        };
        drop(held_open);
        answer
    }

    async fn collect(&self, call: &MirrorCall, response: Response<Incoming>) -> Answer {
        let limit = call.table.manifest.limits.max_compared_message_bytes;
        let taken = self.shared.mirror_memory.empty();
        let mut tap = AnswerTap::new(Chunks::new(taken, limit));
        let (parts, mut body) = response.into_parts();
        let mut status = grpc::status(&parts.headers);
        let mut trailers = http::HeaderMap::new();
        let frame =
            |body: &mut Incoming, cx: &mut std::task::Context<'_>| Pin::new(body).poll_frame(cx);
        while let Some(next) = std::future::poll_fn(|cx| frame(&mut body, cx)).await {
            match next {
                Ok(frame) => match frame.into_data() {
                    Ok(data) => tap.chunk(&data),
                    Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
                },
                Err(error) => {
                    status = Some(upstream_failure(&error).code);
                    break;
                }
            }
        }
        let status = grpc::status(&trailers).or(status).unwrap_or(code::UNKNOWN);
        let (chunks, _taken, overflow) = tap.into_parts();
        let headers = parts.headers;
        let duration = std::time::Duration::ZERO;
        Answer {
            status,
            headers,
            trailers,
            chunks,
            _taken,
            overflow,
            duration,
        }
    }

    /// An answer that has only a status.
    fn failed(&self, status: u32) -> Answer {
        Answer {
            status,
            headers: http::HeaderMap::new(),
            trailers: http::HeaderMap::new(),
            chunks: Vec::new(),
            _taken: self.shared.mirror_memory.empty(),
            overflow: false,
            duration: std::time::Duration::ZERO,
        }
    }

    fn compare(
        &self,
        call: &MirrorCall,
        primary: &Answer,
        shadow: &Answer,
        noise: Option<&Answer>,
    ) {
        if shadow.overflow || noise.is_some_and(|noise| noise.overflow) {
            return self.not_compared(call, "over_bound");
        }
        let descriptors = self.shared.descriptors.load();
        let Some(method) = descriptors.as_ref().and_then(|d| d.method(call.uri.path())) else {
            return self.not_compared(call, "no_descriptor");
        };
        let [primary, shadow] = [primary, shadow].map(observation);
        let by_arm = match call.primary {
            Arm::Legacy => [&primary, &shadow],
            Arm::Candidate => [&shadow, &primary],
        };
        let Some(difference) = self.diff(call, method, by_arm) else {
            return self.not_compared(call, "comparer_failed");
        };
        let mut stats = self.stats.borrow_mut();
        let pairs = stats.pairs(call.table.epoch, &call.label);
        let status = by_arm.map(|seen| seen.status);
        let durations = by_arm.map(|seen| seen.duration);
        let timed = (!call.copying.streams).then_some(durations);
        pairs.compared(status, timed, &difference);
        if let Some(noise) = noise
            && let Some(repeat) = self.diff(call, method, [&primary, &observation(noise)])
        {
            pairs.noise(&difference, &repeat);
        }
        let trace_id = call.trace.trace_id;
        let mut samples = self.samples.borrow_mut();
        samples.offer(&call.label, trace_id, call.primary, status, &difference);
    }

    /// A panic in the comparison is a defect of ours, and is nobody else's trouble.
    fn diff(
        &self,
        call: &MirrorCall,
        method: &Method,
        by_arm: [&Observation; 2],
    ) -> Option<Comparison> {
        let rules = &call.table.route(call.uri.path()).compare;
        let [legacy, candidate] = by_arm;
        let compared = catch_unwind(AssertUnwindSafe(|| {
            compare(method, rules, legacy, candidate, &self.redaction)
        }));
        compared
            .inspect_err(|_| tracing::error!(method = %call.label, "the comparison panicked"))
            .ok()
    }

    fn not_compared(&self, call: &MirrorCall, reason: Reason) {
        let mut stats = self.stats.borrow_mut();
        stats
            .pairs(call.table.epoch, &call.label)
            .not_compared(reason);
    }
}
