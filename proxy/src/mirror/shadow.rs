//! The shadow runtime: sends the copies, waits for both answers, compares, counts.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use cutover_compare::{Comparison, Method, Misfit, Observation, Redaction};
use cutover_manifest::{Arm, Role};
use futures_util::future;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout_at;

use super::observation::observation;
use super::{Answer, Comparer, MirrorCall, Misfits, Reason, Samples};
use crate::forward::Core;
use crate::grpc::code;
use crate::observe::Ended;
use crate::shared::Shared;
use crate::spans::CallSpan;
use crate::taps::Chunks;

/// What the shadow runtime owns.
pub(crate) struct Shadow {
    pub(crate) shared: Arc<Shared>,
    /// Its connections and counters are its own, as every core's are.
    pub(crate) core: Rc<RefCell<Core>>,
    pub(crate) samples: RefCell<Samples>,
    pub(crate) redaction: Redaction,
    pub(crate) comparer: Comparer,
    pub(crate) misfits: Misfits,
    pub(crate) in_flight: Cell<usize>,
}

/// Mirrors what is handed over until all hands are gone.
pub(crate) async fn run(shadow: Rc<Shadow>, mut calls: mpsc::Receiver<Box<MirrorCall>>) {
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
    async fn mirror(&self, mut call: Box<MirrorCall>) {
        let bound = call.table.manifest.limits.mirror_deadline;
        // As much time as the caller gave: of a stream, little may be left by now.
        let deadline = Instant::now() + call.timeout.map_or(bound, |timeout| timeout.min(bound));
        let (sender, never) = oneshot::channel();
        let answer = std::mem::replace(&mut call.answer, never);
        drop(sender);
        let primary = async {
            match timeout_at((Instant::now() + bound).into(), answer).await {
                Ok(Ok(Ok(answer))) if answer.overflow => Err("over_bound"),
                Ok(Ok(answer)) => answer,
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
        let span = rand::random::<u64>().max(1).to_be_bytes();
        let (to, answer) = oneshot::channel();
        let limit = call.table.manifest.limits.max_compared_message_bytes;
        let collected = Chunks::new(self.shared.mirror_memory.empty(), limit);
        let sent = Core::send_copy(&self.core, call, (arm, role), deadline, span, collected, to);
        let result = answer.await.unwrap_or(Err("cancelled"));
        drop(sent);
        let duration = started.elapsed();
        let status = result
            .as_ref()
            .map_or(code::UNAVAILABLE, |answer| answer.status);
        self.core.borrow_mut().stats.ended(&Ended {
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
            id: span,
            parent: Some(call.server_span),
            method: &call.label,
            arm,
            role,
            status,
            started: at,
            duration,
            answer_bytes: result.as_ref().ok().and_then(Answer::bytes),
        });
        result.map(|answer| Answer { duration, ..answer })
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
        let Some(method) = descriptors.as_ref().and_then(|d| d.method(&call.path)) else {
            return self.not_compared(call, "no_descriptor");
        };
        let [primary, shadow] = [primary, shadow].map(observation);
        let by_arm = match call.primary {
            Arm::Legacy => [&primary, &shadow],
            Arm::Candidate => [&shadow, &primary],
        };
        let difference = self.diff(call, method, by_arm);
        let repeat = noise.map(|noise| self.diff(call, method, [&primary, &observation(noise)]));
        let (Ok(difference), Ok(repeat)) = (difference, repeat.transpose()) else {
            return self.not_compared(call, "comparer_failed");
        };
        if let Some(misfit) = difference.misfit {
            let describe = &self.shared.describe;
            self.misfits
                .note(&call.label, misfit, Instant::now(), describe);
            // What neither arm's answer can be read by says nothing about the candidate.
            if misfit == Misfit::Undecodable {
                return self.not_compared(call, "descriptors");
            }
        }
        let mut core = self.core.borrow_mut();
        let pairs = core.stats.pairs(call.table.epoch, &call.label);
        let status = by_arm.map(|seen| seen.status);
        let durations = by_arm.map(|seen| seen.duration);
        let timed = (!call.copying.streams).then_some(durations);
        pairs.compared(status, timed, &difference);
        if let Some(repeat) = repeat {
            pairs.noise(&difference, &repeat);
        }
        let trace_id = call.trace.trace_id;
        let mut samples = self.samples.borrow_mut();
        samples.offer(&call.label, trace_id, call.primary, status, &difference);
    }

    /// A panic in the comparison is a defect of ours, and is nobody else's trouble: the pair is
    /// not compared, so it is no evidence, and the next one is.
    fn diff(
        &self,
        call: &MirrorCall,
        method: &Method,
        by_arm: [&Observation; 2],
    ) -> std::thread::Result<Comparison> {
        let rules = &call.table.route(&call.path).compare;
        let [legacy, candidate] = by_arm;
        let compared = catch_unwind(AssertUnwindSafe(|| {
            (self.comparer.0)(method, rules, legacy, candidate, &self.redaction)
        }));
        compared.inspect_err(|_| {
            let trace_id = format!("{:032x}", u128::from_be_bytes(call.trace.trace_id));
            tracing::error!(method = %call.label, trace_id, "the comparison panicked");
        })
    }

    fn not_compared(&self, call: &MirrorCall, reason: Reason) {
        let mut core = self.core.borrow_mut();
        core.stats
            .pairs(call.table.epoch, &call.label)
            .not_compared(reason);
    }
}
