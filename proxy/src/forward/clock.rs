//! The only timer of a core: the deadlines of its calls, and once a second a look at its
//! connections (floods' budgets, clients that say nothing, that are slow, that read nothing).

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use slab::Slab;

use super::link::{Link, Side};
use super::{Call, Core};

const SECOND: Duration = Duration::from_secs(1);
/// A client that says nothing for so long is asked whether it lives, and closed if it isn't.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take for its preface, or for one header block.
const SLOW_HEADERS: Duration = Duration::from_secs(10);
/// How long an answer may wait for a client that takes nothing of it.
const STUCK: Duration = Duration::from_secs(300);
/// Entries of calls that have ended are swept out when there are more than twice as many entries as
/// calls, and these.
const SLACK: usize = 4_096;

/// Deadlines, soonest first. Those of calls that have ended stay until their time, or a sweep.
pub(super) struct Clock {
    deadlines: BinaryHeap<Reverse<(Instant, u32, u32)>>,
    next_look: Instant,
    waker: Option<Waker>,
}

impl Clock {
    pub(super) fn new(now: Instant) -> Clock {
        Clock {
            deadlines: BinaryHeap::new(),
            next_look: now + SECOND,
            waker: None,
        }
    }

    pub(super) fn add(&mut self, at: Instant, call: usize, serial: u32, calls: &Slab<Call>) {
        if self.deadlines.len() > calls.len() * 2 + SLACK {
            self.deadlines.retain(|Reverse((_, call, serial))| {
                let call = calls.get(*call as usize);
                call.is_some_and(|call| call.serial == *serial)
            });
        }
        let next = self.next();
        self.deadlines.push(Reverse((at, call as u32, serial)));
        if at < next
            && let Some(waker) = &self.waker
        {
            waker.wake_by_ref();
        }
    }

    fn next(&self) -> Instant {
        match self.deadlines.peek() {
            Some(Reverse((at, ..))) => self.next_look.min(*at),
            None => self.next_look,
        }
    }

    /// The next call whose time is over at `now`, if it still is the same.
    fn due(&mut self, now: Instant) -> Option<(usize, u32)> {
        let Reverse((at, call, serial)) = *self.deadlines.peek()?;
        if at > now {
            return None;
        }
        self.deadlines.pop();
        Some((call as usize, serial))
    }
}

/// Runs the clock.
pub(crate) async fn tick(core: Rc<RefCell<Core>>) {
    let mut sleep = pin!(tokio::time::sleep(SECOND));
    poll_fn(|cx| {
        loop {
            let next = {
                let core = &mut *core.borrow_mut();
                core.clock.waker = Some(cx.waker().clone());
                core.on_time(Instant::now());
                core.clock.next()
            };
            sleep.as_mut().reset(next.into());
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::<()>::Pending;
            }
        }
    })
    .await;
}

impl Core {
    fn on_time(&mut self, now: Instant) {
        self.begin(now);
        while let Some((index, serial)) = self.clock.due(now) {
            if self.calls.get(index).is_some_and(|c| c.serial == serial) {
                self.expire(index);
            }
        }
        if now >= self.clock.next_look {
            self.clock.next_look = now + SECOND;
            self.look();
        }
        self.dispatch();
    }

    fn look(&mut self) {
        let now = self.now;
        for (_, link) in &mut self.links {
            let Some(link) = link else { continue };
            link.engine.replenish();
            let idle = now.saturating_duration_since(link.heard);
            if idle > KEEPALIVE && link.engine.streams() == 0 {
                link.trim();
            }
            if link.side == Side::Client {
                look_at_client(link, now);
            }
        }
        let stuck: Vec<usize> = self
            .calls
            .iter()
            .filter(|(_, call)| call.unsent > 0 && now - call.stuck_since > STUCK)
            .map(|(index, _)| index)
            .collect();
        for index in stuck {
            let place = self.calls[index].client;
            if let Some(client) = self.link(place.link) {
                client
                    .engine
                    .reset(place.stream, cutover_wire::ErrorCode::ENHANCE_YOUR_CALM);
                client.wake();
            }
            self.cancel(index);
        }
    }
}

fn look_at_client(link: &mut Link, now: Instant) {
    if !link.engine.is_amid_headers() {
        link.progress = now;
    }
    let asked = link.pinged;
    let slow = now.saturating_duration_since(link.progress) >= SLOW_HEADERS;
    let gone = asked.is_some_and(|at| now.saturating_duration_since(at) >= KEEPALIVE_TIMEOUT);
    if slow || gone {
        link.closing = true;
        link.wake();
    } else if asked.is_none() && now.saturating_duration_since(link.heard) >= KEEPALIVE {
        link.pinged = Some(now);
        link.engine.ping(*b"alive?\0\0");
        link.wake();
    }
}
