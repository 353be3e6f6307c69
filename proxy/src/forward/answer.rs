//! What arms answer, on its way to the clients.

use bytes::Bytes;
use cutover_wire::{Cause, ConnectionError, End, ErrorCode, Event, HeaderList};

use super::Core;
use super::link::Link;
use crate::call::{Attempt, Progress};
use crate::grpc::{self, Failure, code};

/// Calls that may be sent a second time at once because an arm refused them, whatever the number of
/// calls; beyond it, one call in five. An arm that refuses everything is not asked twice as often.
const MOST_REFUSED_ANEW: usize = 10;

/// What became of a request whose stream broke off.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It may have been processed.
    Unknown,
    /// The arm says that it did not take it.
    Refused,
    /// It was left out by a GOAWAY, or never left.
    Untouched,
}

impl Core {
    /// Carries over what an arm sent.
    pub(super) fn upstream_turn(
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
                    if let Some(call) = self.call_of_upstream(id, &link.calls, stream) {
                        self.answer_headers(call, headers, end);
                        if end == End::Last {
                            self.end_stream(call, link);
                        }
                    }
                }
                Event::Interim { stream, headers } => {
                    if let Some(call) = self.call_of_upstream(id, &link.calls, stream) {
                        self.answer_interim(call, headers);
                    }
                }
                Event::Data {
                    stream,
                    payload,
                    credit,
                    end,
                } => {
                    let Some(call) = self.call_of_upstream(id, &link.calls, stream) else {
                        link.engine.release(stream, credit);
                        continue;
                    };
                    let release = self.answer_data(call, payload, credit, end);
                    link.engine.release(stream, release);
                    if end == End::Last {
                        self.end_stream(call, link);
                    }
                }
                Event::Trailers { stream, headers } => {
                    if let Some(call) = self.call_of_upstream(id, &link.calls, stream) {
                        self.answer_trailers(call, headers);
                        self.end_stream(call, link);
                    }
                }
                Event::Sent { stream, bytes } => {
                    if let Some(call) = self.call_of_upstream(id, &link.calls, stream) {
                        self.request_left(call, bytes);
                    }
                }
                Event::Reset {
                    stream,
                    code,
                    cause,
                } => {
                    if let Some(call) = self.call_of_upstream(id, &link.calls, stream) {
                        self.calls[call].upstream = None;
                        let fate = match (cause, code) {
                            (Cause::Unprocessed, _) => Fate::Untouched,
                            (Cause::Peer, ErrorCode::REFUSED_STREAM) => Fate::Refused,
                            _ => Fate::Unknown,
                        };
                        self.answer_broken(call, &Failure::reset(code), fate);
                    }
                }
                Event::GoAway { .. } => self.leaving(id, link),
                Event::Settings => self.greeted(id, link),
                Event::TooLarge { .. } | Event::Pong { .. } => {}
            }
        }
        Ok(())
    }

    fn answer_headers(&mut self, index: usize, headers: &HeaderList, end: End) {
        let call = &mut self.calls[index];
        call.status = match headers.get(b"grpc-status") {
            Some(status) => Some(grpc::status(status)),
            None => headers.status().and_then(grpc::http_status),
        };
        call.answer = Progress::Begun;
        if let Some(taps) = &mut call.taps {
            taps.headers(headers, call.status);
        }
        let kept = call.kept.take();
        let (place, status) = (call.client, call.status);
        // An answer that is only headers and says no status gets one behind them.
        let whole = end == End::Last && status.is_some();
        if let Some(client) = self.link(place.link) {
            let end = if whole { End::Last } else { End::More };
            // To a stream that is gone there is nothing to say, here and below: its event is coming.
            let _ = client
                .engine
                .send_headers(place.stream, headers.iter(), end);
            client.wake();
        }
        if let Some(kept) = kept {
            self.give_back(kept);
        }
        match (end, whole) {
            (End::More, _) => {}
            (End::Last, true) => self.calls[index].answer = Progress::Ended,
            (End::Last, false) => self.answer_statusless(index),
        }
    }

    fn answer_interim(&mut self, index: usize, headers: &HeaderList) {
        let place = self.calls[index].client;
        if let Some(client) = self.link(place.link) {
            let _ = client.engine.send_interim(place.stream, headers.iter());
            client.wake();
        }
    }

    /// Carries over a part of an answer; returns how much of its credit is used up already.
    fn answer_data(&mut self, index: usize, payload: Bytes, credit: u32, end: End) -> u32 {
        let call = &mut self.calls[index];
        if let Some(taps) = &mut call.taps {
            taps.answer(&payload);
        }
        // Only an answer that isn't gRPC has its status by now and ends with data.
        let whole = end == End::Last && call.status.is_some();
        let place = call.client;
        let queued = payload.len();
        let last = if whole { End::Last } else { End::More };
        let mut unsent = 0;
        if let Some(client) = self.links.get_mut(place.link).and_then(Option::as_mut) {
            let sent = client.engine.send_data(place.stream, payload, last);
            client.wake();
            unsent = queued - sent.unwrap_or(queued);
        }
        if call.unsent == 0 {
            call.stuck_since = self.now;
        }
        call.unsent += unsent;
        match (end, whole) {
            (End::More, _) => {}
            (End::Last, true) => call.answer = Progress::Ended,
            (End::Last, false) => self.answer_statusless(index),
        }
        credit - unsent as u32
    }

    fn answer_trailers(&mut self, index: usize, headers: &HeaderList) {
        let call = &mut self.calls[index];
        let status = headers.get(b"grpc-status").map(grpc::status);
        call.status = status.or(call.status).or(Some(code::UNKNOWN));
        call.answer = Progress::Ended;
        if let Some(taps) = &mut call.taps {
            taps.trailers(headers);
        }
        let place = call.client;
        if let Some(client) = self.link(place.link) {
            let _ = client.engine.send_trailers(place.stream, headers.iter());
            client.wake();
        }
    }

    /// A clean end without a status would make a truncated answer look whole.
    fn answer_statusless(&mut self, index: usize) {
        let why = "the arm ended its answer without a status";
        self.fail(index, &Failure::new(code::UNKNOWN, why));
    }

    /// The arm's stream is over before its answer was whole. What it provably did not process is
    /// sent once more, if nothing of it is lost; its body is then still whole.
    pub(super) fn answer_broken(&mut self, index: usize, failure: &Failure, fate: Fate) {
        let anew = self.sent_anew;
        let call = &mut self.calls[index];
        let whole = call.kept.as_ref().is_some_and(|kept| kept.whole);
        let allowed = match fate {
            Fate::Unknown => false,
            Fate::Refused => anew < MOST_REFUSED_ANEW || anew * 5 < self.calls.len(),
            Fate::Untouched => true,
        };
        if allowed && whole && self.calls[index].attempt == Attempt::First {
            self.calls[index].attempt = Attempt::Second;
            self.sent_anew += 1;
            return self.wait(index);
        }
        self.fail_and_finish(index, failure);
    }

    /// The arm has said all: what is left of the request is of no use to it.
    fn end_stream(&mut self, index: usize, link: &mut Link) {
        let call = &mut self.calls[index];
        if call.request != Progress::Ended
            && let Some(place) = call.upstream.take()
        {
            link.engine.reset(place.stream, ErrorCode::CANCEL);
        }
        if call.is_over() {
            self.finish(index);
        }
    }

    /// Bytes of an answer have left: the arm may send as many more.
    pub(super) fn answer_left(&mut self, index: usize, bytes: usize) {
        let call = &mut self.calls[index];
        call.unsent = call.unsent.saturating_sub(bytes);
        call.stuck_since = self.now;
        if let Some(place) = call.upstream
            && let Some(upstream) = self.links.get_mut(place.link).and_then(Option::as_mut)
        {
            upstream.engine.release(place.stream, bytes as u32);
            upstream.wake_to_write();
        }
        if call.is_over() {
            self.finish(index);
        }
    }
}
