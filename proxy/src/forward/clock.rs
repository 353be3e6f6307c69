//! The only timer of a core: the deadlines of its calls, and once a second a look at its
//! connections (floods' budgets, clients that say nothing, that are slow, that read nothing, that
//! stay for long).

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use cutover_manifest::Limits;
use cutover_wire::ErrorCode;
use slab::Slab;

use super::link::{Link, Side};
use super::{Call, Core};

const SECOND: Duration = Duration::from_secs(1);
/// A connection to which nothing has been said or heard for so long gives memory back.
const IDLE: Duration = Duration::from_secs(30);
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
    pub(super) fn on_time(&mut self, now: Instant) {
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
        let table = self.methods.table();
        let limits = table.map_or_else(Limits::default, |table| table.manifest.limits);
        let mut outlived = Vec::new();
        for (id, link) in &mut self.links {
            let Some(link) = link else { continue };
            link.engine.replenish();
            let idle = now.saturating_duration_since(link.heard);
            if idle > IDLE && link.engine.streams() == 0 {
                link.trim();
            }
            if link.side == Side::Client {
                look_at_client(link, now, &limits);
                if look_at_age(id, link, now, &limits) == Age::Over {
                    outlived.push(id);
                }
            }
        }
        let stuck: Vec<usize> = self
            .calls
            .iter()
            .filter(|(_, call)| call.unsent > 0 && now - call.stuck_since > limits.stuck_timeout)
            .map(|(index, _)| index)
            .collect();
        for index in stuck {
            let place = self.calls[index].client;
            if let Some(client) = self.link(place.link) {
                client
                    .engine
                    .reset(place.stream, ErrorCode::ENHANCE_YOUR_CALM);
                client.wake();
            }
            self.cancel(index);
        }
        for id in outlived {
            self.cut_client(id);
        }
    }
}

/// What a connection's age means for its calls.
#[derive(PartialEq, Eq)]
enum Age {
    /// They go on.
    Allowed,
    /// Those that are left end.
    Over,
}

fn look_at_client(link: &mut Link, now: Instant, limits: &Limits) {
    if !link.engine.is_amid_headers() {
        link.progress = now;
    }
    let asked = link.pinged;
    let slow = now.saturating_duration_since(link.progress) >= limits.header_timeout;
    let answers = |at| now.saturating_duration_since(at) < limits.keepalive_timeout;
    let gone = asked.is_some_and(|at| !answers(at));
    if slow || gone {
        link.closing = true;
        link.wake();
    } else if asked.is_none() && now.saturating_duration_since(link.heard) >= limits.keepalive_time
    {
        link.pinged = Some(now);
        link.engine.ping(*b"alive?\0\0");
        link.wake();
    }
}

/// Announces to a client whose connection is too old that it takes no new calls (RFC 9113 section
/// 6.8), and a second later that it has taken its last.
fn look_at_age(id: usize, link: &mut Link, now: Instant, limits: &Limits) -> Age {
    let Some(retired) = link.retired else {
        let age = now.saturating_duration_since(link.born);
        let most = limits.max_connection_age.map(|most| spread(id, most));
        if link.engine.is_greeted() && most.is_some_and(|most| age >= most) {
            link.retired = Some(now);
            link.engine.leave();
            link.wake();
        }
        return Age::Allowed;
    };
    let since = now.saturating_duration_since(retired);
    if since >= SECOND {
        link.engine.leave_now(ErrorCode::NO_ERROR);
        link.wake();
    }
    let over = |grace: Duration| since >= grace.max(SECOND);
    match limits.max_connection_age_grace {
        Some(grace) if over(grace.saturating_add(SECOND)) => {
            // Who has not read the last words by now won't.
            link.closing = true;
            Age::Allowed
        }
        Some(grace) if over(grace) => Age::Over,
        _ => Age::Allowed,
    }
}

/// Connections that were opened together, as after a restart, don't end together: a tenth more or
/// less.
fn spread(id: usize, most: Duration) -> Duration {
    let share = (id as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 44;
    most.mul_f64(0.9 + 0.2 * share as f64 / f64::from(1 << 20))
}
