//! The connections of one core to both arms: few and wide, opened when needed, streams capped on
//! each. A call for which there is no room waits, in order and within a bound.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use cutover_manifest::{Arm, Role};

use super::Core;
use super::connect::{Attempt, ConnectError};
use super::link::{Link, Side, Stage};
use crate::grpc::{Failure, code};

/// Streams on a connection before another one is opened.
const STREAMS_PER_CONNECTION: usize = 100;
/// Connections of one core to one arm. When all are full, streams go above the cap as far as the
/// arm allows: a stream may last for days, and must not keep others waiting.
const MOST_CONNECTIONS: usize = 8;
/// Calls of one core that may wait for one arm; beyond it: RESOURCE_EXHAUSTED.
pub(super) const MOST_WAITING: usize = 20_000;
/// How long a failed connection attempt speaks for the ones right after it.
const FAILURE_STANDS: Duration = Duration::from_millis(100);

/// The connections to one arm, and who waits for them.
#[derive(Default)]
pub(super) struct Pool {
    pub(super) authority: String,
    /// Rises when the address changes.
    generation: u32,
    /// Those that take calls.
    ready: Vec<usize>,
    connecting: usize,
    /// Attempts so far, to take several addresses in turn.
    attempts: usize,
    failed: Option<(Instant, ConnectError)>,
    waiting: VecDeque<(usize, u32)>,
}

/// Where a call can go now.
enum Choice {
    Link(usize),
    Wait,
    Failed(ConnectError),
}

impl Core {
    /// Sends a call to its arm, or has it wait. A candidate that can't be connected to has processed
    /// nothing, so the legacy answers instead; the candidate's failure is counted as its own.
    pub(super) fn place(&mut self, index: usize) -> Result<(), Failure> {
        loop {
            let arm = self.calls[index].arm;
            let error = match self.choose(arm) {
                Choice::Link(id) => {
                    self.open(index, id);
                    return Ok(());
                }
                Choice::Wait if self.pools[arm.index()].waiting.len() < MOST_WAITING => {
                    self.wait(index);
                    return Ok(());
                }
                Choice::Wait => {
                    let full = ConnectError::Full(self.pools[arm.index()].authority.clone());
                    return Err(Failure::new(code::RESOURCE_EXHAUSTED, full.to_string()));
                }
                Choice::Failed(error) => error,
            };
            let call = &mut self.calls[index];
            if call.role != Role::Primary
                && let Some(taps) = &mut call.taps
            {
                taps.not_connected();
            }
            if arm == Arm::Legacy || call.role != Role::Primary {
                return Err(Failure::new(code::UNAVAILABLE, error.to_string()));
            }
            tracing::debug!(%error, "the candidate cannot be connected to");
            self.stats.fallbacks += 1;
            let call = &mut self.calls[index];
            let lasted = self.now.saturating_duration_since(call.started);
            call.method.ended(Arm::Candidate, code::UNAVAILABLE, lasted);
            call.arm = Arm::Legacy;
            if let Some(taps) = &mut call.taps {
                taps.fell_over();
            }
        }
    }

    /// Puts a call behind those that wait for its arm; [`Core::dispatch`] follows at the turn's end.
    pub(super) fn wait(&mut self, index: usize) {
        let call = &self.calls[index];
        let pool = &mut self.pools[call.arm.index()];
        pool.waiting.push_back((index, call.serial));
    }

    /// Sends those that wait, as far as there is room.
    pub(super) fn dispatch(&mut self) {
        for arm in Arm::BOTH {
            while let Some(&(index, serial)) = self.pools[arm.index()].waiting.front() {
                let waits = self.calls.get(index).is_some_and(|call| {
                    call.serial == serial && call.upstream.is_none() && call.kept.is_some()
                });
                let choice = match waits {
                    true => self.choose(arm),
                    false => Choice::Wait,
                };
                if waits && matches!(choice, Choice::Wait) {
                    break;
                }
                self.pools[arm.index()].waiting.pop_front();
                if !waits {
                    continue;
                }
                if let Choice::Link(id) = choice {
                    self.open(index, id);
                } else if let Err(failure) = self.place(index) {
                    self.fail_and_finish(index, &failure);
                }
            }
        }
    }

    /// The least busy connection, unless it is better to wait for another one, which is then on its
    /// way.
    fn choose(&mut self, arm: Arm) -> Choice {
        let pool = &self.pools[arm.index()];
        let mut best = None;
        let mut busy = pool.waiting.len();
        for &id in &pool.ready {
            let Some(link) = self.links.get(id).and_then(Option::as_ref) else {
                continue;
            };
            let streams = link.engine.streams();
            busy += streams;
            if link.engine.can_open().is_ok() && best.is_none_or(|(least, _)| streams < least) {
                best = Some((streams, id));
            }
        }
        if let Some((streams, id)) = best
            && streams < STREAMS_PER_CONNECTION
        {
            return Choice::Link(id);
        }
        let connections = pool.ready.len() + pool.connecting;
        let failed = pool.failed.as_ref();
        let failed = failed
            .filter(|(at, _)| self.now.saturating_duration_since(*at) < FAILURE_STANDS)
            .map(|(_, error)| error.clone());
        if connections < MOST_CONNECTIONS
            && failed.is_none()
            && pool.connecting <= busy / STREAMS_PER_CONNECTION
        {
            self.connect(arm);
        }
        let pool = &self.pools[arm.index()];
        match (best, failed) {
            // Where one connection lives, a call too many on it beats an error.
            (Some((_, id)), failed) if failed.is_some() || pool.connecting == 0 => Choice::Link(id),
            (Some(_), _) => Choice::Wait,
            (None, Some(error)) if connections == 0 => Choice::Failed(error),
            (None, _) => Choice::Wait,
        }
    }

    fn connect(&mut self, arm: Arm) {
        let Some(table) = self.methods.table() else {
            return;
        };
        let timeout = table.manifest.limits.connect_timeout;
        let pool = &mut self.pools[arm.index()];
        pool.connecting += 1;
        pool.attempts += 1;
        let attempt = Attempt {
            arm,
            generation: pool.generation,
            authority: pool.authority.clone(),
            number: pool.attempts,
            timeout,
        };
        (self.dial)(attempt);
    }

    /// An attempt to connect has failed.
    pub(super) fn not_connected(&mut self, arm: Arm, generation: u32, error: ConnectError) {
        let pool = &mut self.pools[arm.index()];
        if pool.generation == generation {
            pool.connecting -= 1;
            pool.failed = Some((self.now, error));
        }
    }

    /// The arm has said its SETTINGS: it speaks HTTP/2, and says how many streams it takes.
    pub(super) fn greeted(&mut self, id: usize, link: &mut Link) {
        let Side::Upstream {
            arm,
            generation,
            stage: stage @ Stage::Greeting,
        } = &mut link.side
        else {
            return;
        };
        let pool = &mut self.pools[arm.index()];
        if pool.generation == *generation {
            *stage = Stage::Ready;
            pool.connecting -= 1;
            pool.failed = None;
            pool.ready.push(id);
        } else {
            *stage = Stage::Leaving;
            link.closing = true;
        }
    }

    /// The arm has said GOAWAY: the streams that are left end here, new ones go elsewhere.
    pub(super) fn leaving(&mut self, id: usize, link: &mut Link) {
        if let Side::Upstream { arm, stage, .. } = &mut link.side
            && *stage == Stage::Ready
        {
            *stage = Stage::Leaving;
            self.pools[arm.index()].ready.retain(|ready| *ready != id);
        }
    }

    /// A connection is gone.
    pub(super) fn withdraw(&mut self, arm: Arm, id: usize) {
        self.pools[arm.index()].ready.retain(|ready| *ready != id);
    }

    /// Follows a table that names another address: calls on the old connections end there.
    pub(super) fn readdress(&mut self) {
        let Some(table) = self.methods.table().cloned() else {
            return;
        };
        for arm in Arm::BOTH {
            let authority = &table.manifest.arm(arm).authority;
            let pool = &mut self.pools[arm.index()];
            if pool.authority == *authority {
                continue;
            }
            pool.authority = authority.clone();
            pool.generation = pool.generation.wrapping_add(1);
            pool.connecting = 0;
            pool.failed = None;
            for id in std::mem::take(&mut pool.ready) {
                if let Some(link) = self.link(id) {
                    if let Side::Upstream { stage, .. } = &mut link.side {
                        *stage = Stage::Leaving;
                    }
                    link.engine.leave();
                    link.wake();
                }
            }
        }
    }
}
