//! What clients send, on its way to the arms.

use bytes::Bytes;
use cutover_manifest::Role;
use cutover_wire::{Cause, ConnectionError, End, Event, HeaderList, StreamKey};
use rand::RngCore;

use super::Core;
use super::link::Link;
use super::refuse::{Content, Refusal, end_refusal};
use crate::call::{Attempt, Call, Kept, Place, Progress};
use crate::grpc::{Failure, code};
use crate::route::{Asked, MirrorRule, TraceContext};
use crate::taps::Taps;

impl Core {
    /// Carries over what a client sent.
    pub(super) fn client_turn(
        &mut self,
        id: usize,
        link: &mut Link,
    ) -> Result<(), ConnectionError> {
        while let Some(event) = link.engine.poll_event()? {
            match event {
                Event::Headers {
                    stream,
                    headers,
                    end,
                } => {
                    link.progress = self.now;
                    match self.request((id, stream), headers, end) {
                        Ok(call) => link.calls.join(stream, call),
                        Err(refusal) => refusal.send(&mut link.engine, stream),
                    }
                }
                Event::Data {
                    stream,
                    payload,
                    credit,
                    end,
                } => {
                    link.progress = self.now;
                    let release = match self.call_of_client(id, &link.calls, stream) {
                        Some(call) => self.request_data(call, payload, credit, end),
                        None => {
                            end_refusal(&mut link.engine, stream, end);
                            credit
                        }
                    };
                    link.engine.release(stream, release);
                }
                Event::Trailers { stream, .. } => {
                    // gRPC knows none in requests; they end it.
                    match self.call_of_client(id, &link.calls, stream) {
                        Some(call) => {
                            self.request_data(call, Bytes::new(), 0, End::Last);
                        }
                        None => end_refusal(&mut link.engine, stream, End::Last),
                    }
                }
                Event::TooLarge { stream, .. } => {
                    self.stats.refused("headers_too_large");
                    let failure = Failure::new(
                        code::RESOURCE_EXHAUSTED,
                        "the request's headers are larger than the proxy takes",
                    );
                    Refusal::Failed(failure).send(&mut link.engine, stream);
                }
                Event::Sent { stream, bytes } => {
                    if let Some(call) = self.call_of_client(id, &link.calls, stream) {
                        self.answer_left(call, bytes);
                    }
                }
                Event::Reset { stream, cause, .. } => {
                    if let Some(call) = self.call_of_client(id, &link.calls, stream) {
                        match cause {
                            // The answer is whole; nobody wants the rest of the request.
                            Cause::Answered => self.abandon(call),
                            _ => self.cancel(call),
                        }
                    }
                }
                Event::Interim { .. }
                | Event::GoAway { .. }
                | Event::Settings
                | Event::Pong { .. } => {}
            }
        }
        Ok(())
    }

    /// Makes a call of a request's headers and sends them to an arm.
    fn request(
        &mut self,
        (link, stream): (usize, StreamKey),
        headers: &HeaderList,
        end: End,
    ) -> Result<usize, Refusal> {
        let Some(table) = self.methods.table() else {
            self.stats.refused("no_table");
            let why = "the proxy has no route table yet";
            return Err(Refusal::Failed(Failure::new(code::UNAVAILABLE, why)));
        };
        let mut kept = self.spare.pop().unwrap_or_default();
        let asked = Asked::read(headers, table, &mut kept.head);
        let method = match asked.path.filter(|_| asked.is_grpc) {
            Some(path) => self.methods.find(&self.shared, path),
            None => None,
        };
        let Some(method) = method else {
            self.stats.refused("not_grpc");
            self.give_back(kept);
            let content = match headers.method() {
                Some(b"HEAD") => Content::Forbidden,
                _ => Content::Allowed,
            };
            let request = end;
            return Err(Refusal::NotGrpc { request, content });
        };
        kept.has_authority = asked.has_authority;
        kept.whole = true;
        let mut trace = match asked.trace {
            Some(trace) => trace,
            None => {
                let mut trace_id = [0; 16];
                self.chance.fill_bytes(&mut trace_id);
                TraceContext::new(trace_id)
            }
        };
        let arm = asked.arm(&method, &trace, self.chance.next_u64());
        let copying = method.mirror.choose(&mut self.chance);
        if method.mirror == MirrorRule::Unknown {
            let pairs = self.stats.pairs(method.table.epoch, &method.label);
            pairs.not_compared("no_descriptor");
        }
        trace.sampled |= copying.is_some();
        let server_span = self.span_id();
        let mut call = Call {
            serial: self.next_serial(),
            client: Place { link, stream },
            upstream: None,
            arm,
            role: Role::Primary,
            started: self.now,
            deadline: asked.timeout.and_then(|left| self.now.checked_add(left)),
            trace,
            server_span,
            client_span: self.span_id(),
            request: match end {
                End::More => Progress::Begun,
                End::Last => Progress::Ended,
            },
            answer: Progress::Awaited,
            status: None,
            owed: 0,
            unsent: 0,
            stuck_since: self.now,
            sent_behind: 0,
            attempt: Attempt::First,
            kept: Some(kept),
            taps: None,
            method,
        };
        call.taps = Taps::primary(&self.shared, &call, asked.timeout, copying, headers);
        let (serial, deadline) = (call.serial, call.deadline);
        let index = self.calls.insert(call);
        if let Some(deadline) = deadline {
            self.clock.add(deadline, index, serial, &self.calls);
        }
        match self.place(index) {
            Ok(()) => Ok(index),
            Err(failure) => {
                let call = &mut self.calls[index];
                call.status = Some(failure.code);
                if let Some(taps) = &mut call.taps {
                    taps.trailers(&failure.fields());
                }
                self.finish(index);
                Err(Refusal::Failed(failure))
            }
        }
    }

    /// Carries over a part of a request; returns how much of its credit is used up already.
    fn request_data(&mut self, index: usize, payload: Bytes, credit: u32, end: End) -> u32 {
        let call = &mut self.calls[index];
        if let Some(taps) = &mut call.taps {
            taps.request(&payload, end, &mut self.stats);
        }
        if end == End::Last {
            call.request = Progress::Ended;
        }
        let queued = payload.len() as u32;
        let Some(place) = call.upstream else {
            // It waits, with its credit: a window is all that can come.
            if let Some(kept) = &mut call.kept {
                kept.body.extend_from_slice(&payload);
                call.owed += queued;
                return credit - queued;
            }
            return credit;
        };
        if let Some(kept) = &mut call.kept {
            kept.add(&payload);
        }
        let Some(upstream) = self.links.get_mut(place.link).and_then(Option::as_mut) else {
            return credit;
        };
        let sent = upstream.engine.send_data(place.stream, payload, end);
        upstream.wake();
        // A stream that is gone takes no more; the event that says so is on its way.
        let sent = sent.map_or(queued, |sent| sent as u32);
        call.owed += queued - sent;
        credit - queued + sent
    }

    /// Bytes of a request have left: the client may send as many more.
    pub(super) fn request_left(&mut self, index: usize, bytes: usize) {
        let call = &mut self.calls[index];
        let bytes = (bytes as u32).min(call.owed);
        call.owed -= bytes;
        let place = call.client;
        if let Some(client) = self.link(place.link) {
            client.engine.release(place.stream, bytes);
            client.wake_to_write();
        }
    }

    pub(super) fn give_back(&mut self, mut kept: Box<Kept>) {
        if kept.clear() && self.spare.len() < super::MOST_SPARE {
            self.spare.push(kept);
        }
    }

    pub(super) fn next_serial(&mut self) -> u32 {
        self.serial = self.serial.wrapping_add(1);
        self.serial
    }

    fn span_id(&mut self) -> [u8; 8] {
        self.chance.next_u64().max(1).to_be_bytes()
    }
}
