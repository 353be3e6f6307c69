//! Forward: one core's connections and calls. Each connection is an HTTP/2 engine without I/O
//! ([`cutover_wire`]) and a task; the events of one side become commands on the other. Everything
//! here belongs to one thread: no lock, no task and no allocation for a call.
//!
//! `link` reads, takes turns and writes; `request` carries what clients send (`refuse` answers what
//! is no call), `answer` what arms do; `upstream` finds each call a connection, `connect` makes it,
//! `open` begins the call there; `copy` sends mirrored calls again; `end` ends calls, however that
//! comes about; `clock` is the only timer.
//!
//! **Back-pressure.** What came in is released to its sender only when it has left on the other
//! side ([`cutover_wire::Event::Sent`]): whoever reads slowly stops whoever sends, and no stream
//! holds more than its window.

mod answer;
mod clock;
mod connect;
mod copy;
mod end;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod link;
mod open;
mod refuse;
mod request;
mod upstream;

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;

use cutover_wire::{Connection, StreamKey};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use slab::Slab;
use tokio::net::TcpStream;

use self::clock::Clock;
use self::link::{CallsBySlot, Link, Side};
use self::upstream::Pool;
use crate::call::{Call, Kept};
use crate::observe::Stats;
use crate::route::Methods;
use crate::shared::Shared;

/// Requests' memory that waits for the next ones.
const MOST_SPARE: usize = 256;

/// One core: its connections, calls and counters are its own.
pub(crate) struct Core {
    pub(crate) shared: Arc<Shared>,
    pub(crate) stats: Stats,
    methods: Methods,
    /// A link is out while its own turn lasts, so that it can reach all others.
    links: Slab<Option<Box<Link>>>,
    calls: Slab<Call>,
    serial: u32,
    /// Calls under way that were sent a second time.
    sent_anew: usize,
    /// By arm.
    pools: [Pool; 2],
    clock: Clock,
    /// For routing without a key, and for ids of traces and spans.
    chance: SmallRng,
    #[expect(
        clippy::vec_box,
        reason = "a call takes one over, and gives it back, as it is"
    )]
    spare: Vec<Box<Kept>>,
    /// Shared by all connections: what was read lasts until its turn is over.
    buffer: BytesMut,
    /// The time of this turn.
    now: Instant,
    clients: usize,
    /// Begins to connect.
    dial: Box<dyn FnMut(connect::Attempt)>,
}

impl Core {
    pub(crate) fn new(shared: Arc<Shared>, seed: u64) -> Rc<RefCell<Core>> {
        let now = Instant::now();
        Rc::new_cyclic(|me: &Weak<RefCell<Core>>| {
            let me = me.clone();
            RefCell::new(Core {
                shared,
                stats: Stats::default(),
                methods: Methods::default(),
                links: Slab::new(),
                calls: Slab::new(),
                serial: 0,
                sent_anew: 0,
                pools: Default::default(),
                clock: Clock::new(now),
                chance: SmallRng::seed_from_u64(seed),
                spare: Vec::new(),
                buffer: BytesMut::new(),
                now,
                clients: 0,
                dial: Box::new(move |attempt| {
                    tokio::task::spawn_local(attempt.run(me.clone()));
                }),
            })
        })
    }

    /// All that was counted so far.
    pub(crate) fn counted(&mut self) -> Stats {
        self.methods.drain(&mut self.stats);
        self.stats.clone()
    }

    /// Connections of clients that are open.
    pub(crate) fn clients(&self) -> usize {
        self.clients
    }

    /// Begins a turn: takes note of the time, and of a table that came into force.
    fn begin(&mut self, now: Instant) {
        self.now = now;
        if self.methods.refresh(&self.shared) {
            self.readdress();
        }
    }

    fn link(&mut self, id: usize) -> Option<&mut Link> {
        self.links.get_mut(id)?.as_deref_mut()
    }

    fn add(&mut self, engine: Connection, side: Side) -> usize {
        let link = Link::new(engine, side, self.now);
        self.links.insert(Some(Box::new(link)))
    }

    /// Carries over all events of a connection.
    fn turn(&mut self, id: usize) {
        let Some(mut link) = self.links.get_mut(id).and_then(Option::take) else {
            return;
        };
        let carried = match link.side {
            Side::Client => self.client_turn(id, &mut link),
            Side::Upstream { .. } => self.upstream_turn(id, &mut link),
        };
        if let Err(error) = carried {
            tracing::debug!(%error, "a peer broke a rule of HTTP/2");
            link.closing = true;
        }
        self.links[id] = Some(link);
        self.dispatch();
    }

    /// The call of a client's stream, if it still is.
    fn call_of_client(&self, id: usize, calls: &CallsBySlot, stream: StreamKey) -> Option<usize> {
        let index = calls.get(stream);
        let client = self.calls.get(index)?.client;
        (client.link == id && client.stream == stream).then_some(index)
    }

    /// The call of a stream to an arm, if it still is.
    fn call_of_upstream(&self, id: usize, calls: &CallsBySlot, stream: StreamKey) -> Option<usize> {
        let index = calls.get(stream);
        let upstream = self.calls.get(index)?.upstream?;
        (upstream.link == id && upstream.stream == stream).then_some(index)
    }
}

/// Serves a client's connection until it is over.
pub(crate) async fn serve(core: Rc<RefCell<Core>>, engine: Connection, mut socket: TcpStream) {
    let id = {
        let core = &mut *core.borrow_mut();
        core.now = Instant::now();
        core.clients += 1;
        core.add(engine, Side::Client)
    };
    link::drive(&core, id, &mut socket).await;
}

/// Ends calls at their deadlines and looks after connections, for as long as the core lives.
pub(crate) use clock::tick;
