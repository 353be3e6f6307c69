//! The ends of calls: failed by the proxy, cancelled by the client, lost with a connection, or over.

use cutover_wire::{End, ErrorCode};

use super::Core;
use super::answer::Fate;
use super::connect::ConnectError;
use super::link::{Side, Stage};
use crate::call::{Attempt, Place, Progress};
use crate::grpc::{Failure, code};

impl Core {
    /// Ends an answer with a status of the proxy's own, and the arm's stream with it. The call is
    /// over once that has left.
    pub(super) fn fail(&mut self, index: usize, failure: &Failure) {
        let call = &mut self.calls[index];
        if call.answer == Progress::Ended {
            return;
        }
        call.status = Some(failure.code);
        let begun = std::mem::replace(&mut call.answer, Progress::Ended);
        let fields = failure.fields();
        if let Some(taps) = &mut call.taps {
            taps.trailers(&fields);
        }
        let place = call.client;
        if let Some(kept) = call.kept.take() {
            self.give_back(kept);
        }
        self.drop_upstream(index);
        if let Some(client) = self.link(place.link) {
            // To a stream that is gone there is nothing to say.
            let _ = match begun {
                Progress::Awaited => {
                    client
                        .engine
                        .send_headers(place.stream, fields.iter(), End::Last)
                }
                _ => client
                    .engine
                    .send_trailers(place.stream, fields.iter().skip(2)),
            };
            client.wake();
        }
    }

    /// The same, and the call is taken out if all has left already.
    pub(super) fn fail_and_finish(&mut self, index: usize, failure: &Failure) {
        self.fail(index, failure);
        if self.calls[index].is_over() {
            self.finish(index);
        }
    }

    /// The same for a call whose time is over.
    pub(super) fn expire(&mut self, index: usize) {
        let why = "deadline exceeded";
        self.fail_and_finish(index, &Failure::new(code::DEADLINE_EXCEEDED, why));
    }

    /// The client doesn't want the answer any more.
    pub(super) fn cancel(&mut self, index: usize) {
        self.drop_upstream(index);
        self.finish(index);
    }

    /// The client has the whole answer, and the rest of its request is of no use.
    pub(super) fn abandon(&mut self, index: usize) {
        self.drop_upstream(index);
        if self.calls[index].is_over() {
            self.finish(index);
        }
    }

    /// Resets the arm's stream, if there is one; one that ended only gives its credit back.
    pub(super) fn drop_upstream(&mut self, index: usize) {
        if let Some(Place { link, stream }) = self.calls[index].upstream
            && let Some(upstream) = self.link(link)
        {
            upstream.engine.reset(stream, ErrorCode::CANCEL);
            upstream.wake_to_write();
            self.calls[index].upstream = None;
        }
    }

    /// Takes a call out: it is counted, and gone.
    pub(super) fn finish(&mut self, index: usize) {
        let mut call = self.calls.remove(index);
        call.end(self.now, &self.shared.spans, &mut self.stats);
        if call.attempt == Attempt::Second {
            self.sent_anew -= 1;
        }
        if let Some(kept) = call.kept.take() {
            self.give_back(kept);
        }
    }

    /// A connection is over, and with it all its streams.
    pub(super) fn lose(&mut self, id: usize) {
        let Some(link) = self.links.try_remove(id).flatten() else {
            return;
        };
        match link.side {
            Side::Client => {
                self.clients -= 1;
                for index in link.calls.into_all() {
                    if self.calls.get(index).is_some_and(|c| c.client.link == id) {
                        self.cancel(index);
                    }
                }
            }
            Side::Upstream {
                arm,
                generation,
                stage,
            } => {
                for index in link.calls.into_all() {
                    let Some(call) = self.calls.get_mut(index) else {
                        continue;
                    };
                    if call.upstream.is_none_or(|place| place.link != id) {
                        continue;
                    }
                    call.upstream = None;
                    // Nothing of the request was written, not even to the socket.
                    let fate = match link.written <= call.sent_behind {
                        true => Fate::Untouched,
                        false => Fate::Unknown,
                    };
                    let why = "the connection to the arm was lost";
                    if call.answer != Progress::Ended {
                        self.answer_broken(index, &Failure::new(code::UNAVAILABLE, why), fate);
                    }
                }
                self.withdraw(arm, id);
                if stage == Stage::Greeting {
                    let authority = self.pools[arm.index()].authority.clone();
                    let error = ConnectError::Silent(authority);
                    self.not_connected(arm, generation, error);
                }
            }
        }
        self.dispatch();
    }

    /// The grace is over: every call that is left ends, and every client is told to go. Returns how
    /// many calls there were.
    pub(crate) fn cut(&mut self) -> usize {
        let all: Vec<usize> = self.calls.iter().map(|(index, _)| index).collect();
        let left = all.len();
        for index in all {
            let why = "the proxy is shutting down";
            self.fail_and_finish(index, &Failure::new(code::UNAVAILABLE, why));
        }
        self.leave_now();
        left
    }

    /// The grace of a client's connection that has grown too old is over: its calls end.
    pub(super) fn cut_client(&mut self, id: usize) {
        let calls = self.calls.iter();
        let left = calls.filter(|(_, call)| call.client.link == id);
        let left: Vec<usize> = left.map(|(index, _)| index).collect();
        for index in left {
            let why = "the connection has reached its greatest age";
            self.fail_and_finish(index, &Failure::new(code::UNAVAILABLE, why));
        }
    }

    /// Refuses new calls, whether clients have heard the announcement or not.
    pub(crate) fn leave_now(&mut self) {
        self.each_client(|link| link.engine.leave_now(ErrorCode::NO_ERROR));
    }

    /// Tells all clients that no new calls are taken, in the two steps of RFC 9113 section 6.8.
    pub(crate) fn leave(&mut self) {
        self.each_client(|link| match link.engine.is_greeted() {
            true => link.engine.leave(),
            false => link.closing = true,
        });
    }

    fn each_client(&mut self, mut act: impl FnMut(&mut super::Link)) {
        for (_, link) in &mut self.links {
            if let Some(link) = link.as_mut().filter(|link| link.side == Side::Client) {
                act(link);
                link.wake();
            }
        }
    }
}
