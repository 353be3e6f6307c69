//! One core without sockets and without a clock, between clients and arms that are engines of their
//! own: they keep the rules, until the script slips frames to the core that they never sent. What
//! the core owes to everybody whatever is sent to it:
//!
//! - Each call ends once, and is counted once; each that a client began gets one answer's end.
//! - What arrives is what was sent to that call, byte for byte.
//! - Whoever keeps the rules never sees one broken, whatever others do.
//! - What a call holds back is no more than a window.
//! - When all have said and read all, no call is left.
#![allow(clippy::unwrap_used, reason = "a finding is a panic")]

mod peer;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::{Buf, Bytes};
use cutover_manifest::{Manifest, RouteTable, Weights};
use cutover_wire::{Connection, Limits, Role};
use tokio::sync::{Notify, mpsc};

use self::peer::{Peer, Script};
use super::connect::{Attempt, ConnectError};
use super::link::{Greeting, Link, Side, Stage as Greeted, hear};
use super::{Core, MOST_SPARE};
use crate::call::Attempt as Sending;
use crate::observe::{Labels, Methods};
use crate::report::Tables;
use crate::shared::{Budget, Shared};
use crate::spans::Spans;

/// Above all windows and bounds of one call or connection together.
const MOST_HELD: usize = 1 << 20;
/// A connection's output: the engine's own bound and a frame, and what each step may add besides.
const MOST_OUTPUT: usize = 1 << 20;
const CONTROL_BYTES_PER_STEP: usize = 8 << 10;
const MOST_PEERS: usize = 8;
/// Turns after which everything must have come to its end.
const MOST_TURNS: usize = 10_000;
const MANIFEST: &str = "
apiVersion: cutover.dev/v1alpha1
kind: Cutover
metadata: { name: fuzzed }
spec:
  legacy: { url: \"http://127.0.0.1:1\" }
  candidate: { url: \"http://127.0.0.1:2\" }
  stickyKey: { metadata: x-user-id }
  rules:
  - matches: [{ method: { service: a.S, method: Half } }]
    weight: 50
    mirror: { percent: 50, acceptSideEffects: true }
  - weight: 100
  limits: { maxConnectionAge: 60s, maxConnectionAgeGrace: 30s, mirrorQueue: 4, mirrorMemory: 64KiB }
";

/// Read once.
static READ: OnceLock<Arc<Manifest>> = OnceLock::new();

/// Drives a core by the script.
///
/// # Panics
///
/// The core broke a promise.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let mut stage = Stage::new();
    while let Some(step) = script.byte() {
        stage.step(step, &mut script);
        stage.check();
    }
    if !stage.peers.iter().any(|peer| peer.hostile) && !stage.disturbed {
        stage.settle();
    }
    stage.end();
}

struct Stage {
    core: Rc<RefCell<Core>>,
    tables: Tables,
    attempts: Rc<RefCell<VecDeque<Attempt>>>,
    mirrored: mpsc::Receiver<Box<crate::mirror::MirrorCall>>,
    peers: Vec<Peer>,
    now: Instant,
    steps: usize,
    calls: u32,
    /// A hostile peer was here, a connection broke off or time passed: not every call ends well.
    disturbed: bool,
    /// By role of the peer: somebody has sent what it did not say, which others may get to see.
    forged: [bool; 2],
}

impl Stage {
    fn new() -> Stage {
        let (mirror, mirrored) = mpsc::channel(4);
        let shared = Arc::new(Shared {
            table: ArcSwapOption::empty(),
            descriptors: ArcSwapOption::empty(),
            describe: Notify::new(),
            labels: ArcSwap::from_pointee(Labels::default()),
            mirror,
            mirror_memory: Budget::new(64 << 10),
            journal: None,
            spans: Spans::default(),
            change: AtomicU64::new(0),
            draining: AtomicBool::new(false),
        });
        let tables = Tables {
            shared: shared.clone(),
        };
        let core = Core::new(shared, 7);
        let attempts = Rc::new(RefCell::new(VecDeque::new()));
        let dialled = attempts.clone();
        core.borrow_mut().dial = Box::new(move |attempt| dialled.borrow_mut().push_back(attempt));
        let now = core.borrow().now;
        let stage = Stage {
            core,
            tables,
            attempts,
            mirrored,
            peers: Vec::new(),
            now,
            steps: 0,
            calls: 0,
            disturbed: false,
            forged: [false; 2],
        };
        stage.apply(1);
        stage
    }

    fn apply(&self, generation: u64) {
        let manifest =
            READ.get_or_init(|| Manifest::parse("fuzzed.yaml", MANIFEST).unwrap().into());
        let table = RouteTable::build(
            manifest.clone(),
            &Weights::default(),
            generation,
            generation,
        );
        self.tables.apply(table);
    }

    fn step(&mut self, step: u8, script: &mut Script<'_>) {
        self.steps += 1;
        let which = usize::from(step >> 4);
        match step % 16 {
            0 => self.join(script),
            1 => self.connected(script),
            2..=4 => {
                let all = self.peers.len().max(1);
                if let Some(peer) = self.peers.get_mut(which % all) {
                    peer.act(script, &mut self.calls);
                }
            }
            5..=7 => drop(self.carry(which, script.length())),
            8..=9 => drop(self.carry_all()),
            10 => {
                let frame = script.frame();
                self.forge(which, &frame);
            }
            11 if which < 8 => {
                self.disturbed = true;
                self.close(which);
            }
            11 => self.pass(Duration::from_millis(script.length() as u64)),
            12 => self.pass(Duration::from_secs(which as u64 * 4)),
            13 => self.command(which),
            14 => {
                let _ = self.mirrored.try_recv();
            }
            _ => self.apply(self.steps as u64 + 1),
        }
    }

    /// A client connects.
    fn join(&mut self, script: &mut Script<'_>) {
        if self.peers.len() < MOST_PEERS {
            let engine = Connection::client(script.limits());
            let link = {
                let core = &mut *self.core.borrow_mut();
                core.begin(self.now);
                core.clients += 1;
                let limits = Limits {
                    concurrent_streams: 10,
                    ..Limits::default()
                };
                core.add(Connection::server(limits), Side::Client)
            };
            self.peers.push(Peer::new(link, engine));
        }
    }

    /// An attempt of the core to connect succeeds, or doesn't.
    fn connected(&mut self, script: &mut Script<'_>) {
        let Some(attempt) = self.attempts.borrow_mut().pop_front() else {
            return;
        };
        let Attempt {
            arm, generation, ..
        } = attempt;
        let core = &mut *self.core.borrow_mut();
        core.begin(self.now);
        if script.choice() >= 240 || self.peers.len() >= 2 * MOST_PEERS {
            self.disturbed = true;
            let refused = ConnectError::Connect(attempt.authority, String::from("refused"));
            core.not_connected(arm, generation, refused);
            return core.dispatch();
        }
        let side = Side::Upstream {
            arm,
            generation,
            stage: Greeted::Greeting,
        };
        let link = core.add(Connection::client(super::connect::limits()), side);
        self.peers
            .push(Peer::new(link, Connection::server(script.limits())));
    }

    /// Sends the core a frame that the peer's engine knows nothing of.
    fn forge(&mut self, which: usize, frame: &[u8]) {
        self.carry(which, usize::MAX);
        let all = self.peers.len().max(1);
        if let Some(peer) = self.peers.get_mut(which % all) {
            peer.hostile = true;
            self.disturbed = true;
            self.forged[role(peer)] = true;
            self.pump(which % all, Bytes::copy_from_slice(frame), usize::MAX);
        }
    }

    /// What operators and the clock of the process do.
    fn command(&mut self, which: usize) {
        self.disturbed = true;
        let core = &mut *self.core.borrow_mut();
        core.begin(self.now);
        match which {
            0 => core.leave(),
            1 => core.leave_now(),
            2 => drop(core.cut()),
            _ => {}
        }
    }

    fn pass(&mut self, time: Duration) {
        self.disturbed = true;
        self.now += time;
        self.core.borrow_mut().on_time(self.now);
    }

    fn close(&mut self, which: usize) {
        if !self.peers.is_empty() {
            let peer = self.peers.swap_remove(which % self.peers.len());
            let core = &mut *self.core.borrow_mut();
            core.begin(self.now);
            core.lose(peer.link);
        }
    }

    /// Carries bytes both ways between a peer and the core; gives how many.
    fn carry(&mut self, which: usize, most: usize) -> usize {
        if self.peers.is_empty() {
            return 0;
        }
        let at = which % self.peers.len();
        let said = self.peers[at].say(most);
        let heard = said.len();
        heard + self.pump(at, said, most)
    }

    fn carry_all(&mut self) -> usize {
        (0..self.peers.len())
            .map(|at| self.carry(at, usize::MAX))
            .sum()
    }

    /// A turn of a connection's task, as `link` has it; gives how many bytes the peer was told.
    fn pump(&mut self, at: usize, input: Bytes, most: usize) -> usize {
        let peer = &mut self.peers[at];
        let (told, over) = {
            let core = &mut *self.core.borrow_mut();
            core.begin(self.now);
            if let Some(link) = core.link(peer.link) {
                link.woken = false;
            }
            if !input.is_empty() {
                hear(core, peer.link, input);
            }
            core.turn(peer.link);
            let link = core.link(peer.link).unwrap();
            let told = said(link, most);
            let over = link.closing || link.engine.is_finished();
            core.dispatch();
            if over {
                core.lose(peer.link);
            }
            (told, over)
        };
        let bytes = told.len();
        peer.hear(told, self.forged);
        if over {
            // Only after GOAWAY, which may have left calls out, or the grace, is a peer lost.
            assert!(self.disturbed || peer.has_left(), "a connection was closed");
            self.peers.swap_remove(at);
        }
        bytes
    }

    fn check(&mut self) {
        let core = &mut *self.core.borrow_mut();
        for (_, call) in &core.calls {
            let kept = call.kept.as_ref().map_or(0, |kept| kept.body.len());
            let held = call.owed as usize + call.unsent + kept;
            assert!(held <= MOST_HELD, "a call holds {held} bytes");
        }
        let anew = core
            .calls
            .iter()
            .filter(|(_, call)| call.attempt == Sending::Second);
        assert_eq!(core.sent_anew, anew.count());
        assert!(core.spare.len() <= MOST_SPARE);
        for link in core.links.iter_mut().filter_map(|(_, link)| link.as_mut()) {
            let output = link.engine.output().len();
            assert!(output <= MOST_OUTPUT + self.steps * CONTROL_BYTES_PER_STEP);
        }
        if self.steps.is_multiple_of(16) {
            ended_once(core);
        }
    }

    /// Everybody says and reads all there is; then no call is left.
    fn settle(&mut self) {
        for _ in 0..MOST_TURNS {
            while !self.attempts.borrow().is_empty() {
                self.connected(&mut Script::new(&[]));
            }
            let said = self.peers.iter_mut().map(Peer::finish).sum::<usize>();
            if said + self.carry_all() == 0 {
                break;
            }
        }
        let core = &mut *self.core.borrow_mut();
        assert!(core.calls.is_empty(), "{} calls are left", core.calls.len());
        assert!(
            self.peers.iter().all(Peer::is_answered),
            "a call has no end"
        );
    }

    /// All connections end, and with them everything.
    fn end(mut self) {
        while !self.peers.is_empty() {
            self.close(0);
        }
        let core = &mut *self.core.borrow_mut();
        ended_once(core);
        assert!(core.calls.is_empty(), "{} calls are left", core.calls.len());
        assert!(core.links.is_empty() && core.clients == 0 && core.sent_anew == 0);
    }
}

fn role(peer: &Peer) -> usize {
    usize::from(peer.engine.role() == Role::Server)
}

/// What the socket of a connection would be given.
fn said(link: &mut Link, most: usize) -> Bytes {
    let bytes = match &mut link.greeting {
        Greeting::Silent => Bytes::new(),
        Greeting::Http1(rest) => rest.copy_to_bytes(rest.len().min(most)),
        Greeting::Http2 => peer::take(&mut link.engine, most),
    };
    link.written += bytes.len() as u64;
    bytes
}

/// Every call that began was counted once, unless it still goes on.
fn ended_once(core: &mut Core) {
    let counted = core.counted();
    let calls = |methods: &Methods| -> u64 {
        let cells = methods.0.values().flat_map(|method| &method.cells);
        cells.flat_map(|cell| cell.by_status).sum()
    };
    let ended = calls(&counted.current) + calls(&counted.retired) - counted.fallbacks;
    assert_eq!(ended + core.calls.len() as u64, u64::from(core.serial));
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn the_core_keeps_its_promises_for_every_input_in_the_corpus() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/core");
        let mut inputs = 0;
        for file in std::fs::read_dir(corpus).unwrap() {
            super::run(&std::fs::read(file.unwrap().path()).unwrap());
            inputs += 1;
        }
        assert!(inputs > 10, "there is a corpus");
    }
}
