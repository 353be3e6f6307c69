//! Four engines in a row: a caller, the two halves of a relay, an arm. Caller and arm keep the
//! rules, and check that what comes is what the other one sent, byte for byte and in order. Frames
//! that nobody sent may be slipped to one half of the relay: the other half must not notice.

use std::collections::BTreeMap;

use bytes::Bytes;
use cutover_wire::{Connection, End, ErrorCode, Event, FieldRef, Limits, Role, StreamKey};

use crate::script::Script;
use crate::watch::Watch;
use crate::{content, contents, take_output};

/// A step's share of the output besides data; see `end`.
const CONTROL_BYTES_PER_STEP: usize = 8_192;
const LARGEST_DATA: usize = 1 << 20;
/// Turns after which everything must have come to its end.
const MOST_TURNS: usize = 1_000_000;

const CALLER: usize = 0;
const SERVER: usize = 1;
const CLIENT: usize = 2;
const ARM: usize = 3;

/// Whom a connection's bytes go to.
fn peer(end: usize) -> usize {
    [SERVER, CALLER, ARM, CLIENT][end]
}

/// What the caller or the arm knows of a call.
#[derive(Debug, Default)]
struct Call {
    /// Its number, which travels in a header; `None` for one that nobody sent.
    number: Option<u32>,
    /// Bytes given to the engine, and whether the end was.
    sent: usize,
    has_headers: bool,
    has_ended: bool,
    got: usize,
    got_end: bool,
    /// It was reset, by whomever.
    is_over: bool,
}

impl Call {
    /// What it sends, as `contents` names messages.
    fn message(&self, role: Role) -> u32 {
        self.number.unwrap_or(0) * 2 + u32::from(role == Role::Server)
    }
}

struct Run {
    ends: Vec<Connection>,
    watches: Vec<Watch>,
    /// Of the caller and of the arm.
    calls: [BTreeMap<StreamKey, Call>; 2],
    /// By the stream of either half: the stream of the other half.
    partners: [BTreeMap<StreamKey, StreamKey>; 2],
    /// Bytes that each half of the relay holds back, by stream, and may hold.
    queued: [BTreeMap<StreamKey, usize>; 2],
    bounds: [usize; 2],
    headers: Vec<Vec<u8>>,
    /// Whether somebody interferes with the connection to the caller, and to the arm.
    is_hostile: [bool; 2],
    is_broken: [bool; 4],
}

/// Drives the four by the script.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let mut limits = || Limits {
        queue_bytes: 1 << 25,
        header_block_bytes: 128 << 10,
        unread_bytes: 4 << 20,
        // Nobody floods here: steps are few, and there is no clock.
        resets: u32::MAX,
        premature_resets: u32::MAX,
        refused: u32::MAX,
        window_updates: u32::MAX,
        ..script.limits()
    };
    let limits = [limits(), limits(), limits(), limits()];
    let bounds = [SERVER, CLIENT].map(|end| limits[end].connection_window_bytes as usize);
    let outputs = [SERVER, CLIENT].map(|end| limits[end].output_bytes);
    let [caller, server, client, arm] = limits;
    let mut run = Run {
        ends: vec![
            Connection::client(caller),
            Connection::server(server),
            Connection::client(client),
            Connection::server(arm),
        ],
        watches: (0..4).map(|_| Watch::default()).collect(),
        calls: Default::default(),
        partners: Default::default(),
        queued: Default::default(),
        bounds,
        headers: Vec::new(),
        is_hostile: [false; 2],
        is_broken: [false; 4],
    };
    let mut steps = 0;
    while let Some(step) = script.byte() {
        steps += 1;
        run.step(step, &mut script);
        for (half, output) in outputs.into_iter().enumerate() {
            let bound = output + LARGEST_DATA + steps * CONTROL_BYTES_PER_STEP;
            assert!(run.ends[half + 1].output().len() <= bound);
            // What is held back is no more than the other half's window lets in.
            let queued: usize = run.queued[1 - half].values().sum();
            assert!(queued <= run.bounds[half], "{:?}", run.queued);
        }
    }
    if run.is_hostile == [false; 2] {
        run.settle();
    }
}

impl Run {
    fn step(&mut self, step: u8, script: &mut Script<'_>) {
        let which = usize::from(step >> 4);
        let end = [End::More, End::Last][which & 1];
        match step % 16 {
            0 => self.open(script, end),
            1 => self.send(CALLER, which, script.length(), end),
            2 => self.send(ARM, which, script.length(), end),
            3 => self.trailers(which % 2 * ARM, which / 2, script.choice()),
            4 => self.answer(which, script, end),
            5 => self.reset(which % 2 * ARM, which / 2, script.choice() as u32),
            6 => self.release(which % 2 * ARM, which / 2, script.length()),
            7..=8 => self.carry(which % 4, script.length()),
            9 => self.carry(which % 4, usize::MAX),
            10 => drop(self.all()),
            11 if which < 4 => self.ends[which].leave(),
            11 if which < 8 => self.ends[which - 4].trim(),
            11 => self.ends.iter_mut().for_each(Connection::replenish),
            12 => {
                let bytes = script.frame();
                self.interfere(which, &bytes);
            }
            _ => {
                self.carry(CALLER, 1_000);
                self.carry(CLIENT, 1_000);
                self.carry(ARM, 1_000);
                self.carry(SERVER, 1_000);
            }
        }
    }

    fn open(&mut self, script: &mut Script<'_>, end: End) {
        let number = self.headers.len() as u32;
        let digits = number.to_string();
        let length = script.choice();
        let value = script.take(length & 0x3f);
        // No control characters: those are another target's.
        let value: Vec<u8> = value.iter().map(|byte| byte | 0x20).collect();
        let head = [
            FieldRef::new(b":method", b"POST"),
            FieldRef::new(b":scheme", b"http"),
            FieldRef::new(b":path", b"/s/m"),
            FieldRef::new(b"x-v", &value),
            FieldRef::new(b"x-n", digits.as_bytes()),
        ];
        if let Ok(key) = self.ends[CALLER].open(head, end) {
            let call = Call {
                number: Some(number),
                has_headers: true,
                has_ended: end == End::Last,
                ..Call::default()
            };
            self.calls[0].insert(key, call);
            self.headers.push(value);
        }
    }

    /// One of the calls of the caller or the arm.
    fn pick(&self, end: usize, which: usize) -> Option<StreamKey> {
        let calls = &self.calls[end / ARM];
        let place = which.checked_rem(calls.len())?;
        calls.keys().nth_back(place).copied()
    }

    fn call(&mut self, end: usize, key: StreamKey) -> &mut Call {
        self.calls[end / ARM].entry(key).or_default()
    }

    fn send(&mut self, end: usize, which: usize, length: usize, last: End) {
        let Some(key) = self.pick(end, which) else {
            return;
        };
        let role = self.ends[end].role();
        let call = self.call(end, key);
        let payload = contents(call.message(role), call.sent, length);
        if self.ends[end].send_data(key, payload, last).is_ok() {
            let call = self.call(end, key);
            call.sent += length;
            call.has_ended |= last == End::Last;
        }
    }

    fn trailers(&mut self, end: usize, which: usize, value: usize) {
        let Some(key) = self.pick(end, which) else {
            return;
        };
        let value = value.to_string();
        let fields = [FieldRef::new(b"x-t", value.as_bytes())];
        if self.ends[end].send_trailers(key, fields).is_ok() {
            self.call(end, key).has_ended = true;
        }
    }

    fn answer(&mut self, which: usize, script: &mut Script<'_>, end: End) {
        let Some(key) = self.pick(ARM, which) else {
            return;
        };
        let value = script.choice().to_string();
        let fields = [
            FieldRef::new(b":status", b"200"),
            FieldRef::new(b"x-v", value.as_bytes()),
        ];
        if self.ends[ARM].send_headers(key, fields, end).is_ok() {
            let call = self.call(ARM, key);
            call.has_headers = true;
            call.has_ended |= end == End::Last;
        }
    }

    fn reset(&mut self, end: usize, which: usize, code: u32) {
        if let Some(key) = self.pick(end, which) {
            self.ends[end].reset(key, ErrorCode(code));
            self.call(end, key).is_over = true;
        }
    }

    fn release(&mut self, end: usize, which: usize, bytes: usize) {
        if let Some(key) = self.pick(end, which) {
            self.ends[end].release(key, bytes as u32);
        }
    }

    /// Slips bytes to a half of the relay.
    fn interfere(&mut self, which: usize, bytes: &[u8]) {
        let half = which & 1;
        self.is_hostile[half] = true;
        self.deliver([SERVER, CLIENT][half], bytes);
    }

    /// Carries up to `most` bytes from an end to its peer.
    fn carry(&mut self, from: usize, most: usize) {
        let bytes = take_output(&mut self.ends[from], most);
        self.watches[from].say(&bytes);
        self.deliver(peer(from), &bytes);
        self.poll(from);
    }

    fn deliver(&mut self, to: usize, bytes: &[u8]) {
        self.watches[to].tell(bytes);
        self.ends[to].receive(Bytes::copy_from_slice(bytes));
        self.poll(to);
    }

    fn poll(&mut self, end: usize) {
        let outcome = match end {
            CALLER | ARM => self.poll_outer(end),
            _ => self.poll_relay(end),
        };
        if let Err(error) = outcome {
            assert!(self.is_hostile[end / 2], "end {end}: {error}");
            if !std::mem::replace(&mut self.is_broken[end], true) && end != CALLER && end != ARM {
                self.lose(end);
            }
        }
    }

    /// Events of the caller or the arm.
    fn poll_outer(&mut self, end: usize) -> Result<(), cutover_wire::ConnectionError> {
        let role = self.ends[end].role();
        let is_hostile = self.is_hostile[0] || self.is_hostile[1];
        let calls = &mut self.calls[end / ARM];
        while let Some(event) = self.ends[end].poll_event()? {
            match event {
                Event::Headers {
                    stream,
                    headers,
                    end,
                } => {
                    let call = calls.entry(stream).or_default();
                    call.got_end |= end == End::Last;
                    let number = headers
                        .get(b"x-n")
                        .map(|n| String::from_utf8_lossy(n).parse());
                    if role == Role::Server
                        && let Some(Ok(number)) = number
                    {
                        let number: u32 = number;
                        call.number = Some(number);
                        if !is_hostile {
                            let names: Vec<_> = headers.iter().map(|field| field.name).collect();
                            let expected = [":method", ":scheme", ":path", "x-v", "x-n"];
                            assert_eq!(names, expected.map(str::as_bytes));
                            let sent = &self.headers[number as usize];
                            assert_eq!(headers.get(b"x-v"), Some(&sent[..]));
                        }
                    }
                }
                Event::Data {
                    stream,
                    payload,
                    end,
                    ..
                } => {
                    let call = calls.get_mut(&stream).unwrap();
                    assert!(!call.is_over && !call.got_end);
                    let message = call.number.unwrap_or(0) * 2 + u32::from(role == Role::Client);
                    for byte in payload {
                        assert!(is_hostile || byte == content(message, call.got));
                        call.got += 1;
                    }
                    call.got_end |= end == End::Last;
                }
                Event::Trailers { stream, .. } => {
                    calls.get_mut(&stream).unwrap().got_end = true;
                }
                Event::Reset { stream, .. } => {
                    calls.get_mut(&stream).unwrap().is_over = true;
                }
                Event::TooLarge { stream, .. } => {
                    self.ends[end].reset(stream, ErrorCode::CANCEL);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Events of a half of the relay, carried over to the other half.
    fn poll_relay(&mut self, end: usize) -> Result<(), cutover_wire::ConnectionError> {
        let (head, tail) = self.ends.split_at_mut(CLIENT);
        let (own, other) = match end {
            SERVER => (&mut head[SERVER], &mut tail[0]),
            _ => (&mut tail[0], &mut head[SERVER]),
        };
        let half = end - SERVER;
        let partners = &mut self.partners;
        while let Some(event) = own.poll_event()? {
            let to = |stream: &StreamKey| partners[half].get(stream).copied();
            match event {
                Event::Headers {
                    stream,
                    headers,
                    end,
                } if half == 0 => match other.open(headers.iter(), end) {
                    Ok(at) => {
                        partners[0].insert(stream, at);
                        partners[1].insert(at, stream);
                    }
                    Err(_) => own.reset(stream, ErrorCode::REFUSED_STREAM),
                },
                Event::TooLarge { stream, .. } => own.reset(stream, ErrorCode::CANCEL),
                Event::Headers {
                    stream,
                    headers,
                    end,
                } => {
                    if let Some(at) = to(&stream) {
                        let _gone = other.send_headers(at, headers.iter(), end);
                    }
                }
                Event::Interim { stream, headers } => {
                    if let Some(at) = to(&stream) {
                        let _gone = other.send_interim(at, headers.iter());
                    }
                }
                Event::Trailers { stream, headers } => {
                    if let Some(at) = to(&stream) {
                        let _gone = other.send_trailers(at, headers.iter());
                    }
                }
                Event::Data {
                    stream,
                    payload,
                    credit,
                    end,
                } => {
                    let length = payload.len();
                    let sent = to(&stream).map(|at| (at, other.send_data(at, payload, end)));
                    let mut left = 0;
                    if let Some((at, Ok(sent))) = sent {
                        left = length - sent;
                        *self.queued[1 - half].entry(at).or_default() += left;
                    }
                    own.release(stream, credit - left as u32);
                }
                Event::Sent { stream, bytes } => {
                    *self.queued[half].get_mut(&stream).unwrap() -= bytes;
                    if let Some(at) = to(&stream) {
                        other.release(at, bytes as u32);
                    }
                }
                Event::Reset { stream, code, .. } => {
                    self.queued[half].remove(&stream);
                    if let Some(at) = to(&stream) {
                        self.queued[1 - half].remove(&at);
                        other.reset(at, code);
                    }
                }
                Event::GoAway { .. } | Event::Settings | Event::Pong { .. } => {}
            }
        }
        Ok(())
    }

    /// A half of the relay is broken: the streams of the other are over.
    fn lose(&mut self, end: usize) {
        let half = end - SERVER;
        self.queued = Default::default();
        for at in std::mem::take(&mut self.partners[half]).into_values() {
            self.ends[[CLIENT, SERVER][half]].reset(at, ErrorCode::CANCEL);
        }
    }

    /// Carries everything everywhere once; whether anything moved.
    fn all(&mut self) -> bool {
        let mut moved = false;
        for end in [CALLER, CLIENT, ARM, SERVER] {
            moved |= !self.ends[end].output().is_empty();
            self.carry(end, usize::MAX);
        }
        moved
    }

    /// Ends all calls in order, and sees that all of them came through.
    fn settle(&mut self) {
        for end in [CALLER, ARM, CALLER, ARM] {
            let mut turns = 0;
            while self.all() || self.release_all() {
                turns += 1;
                assert!(turns < MOST_TURNS, "it never comes to rest");
            }
            for which in 0..self.calls[end / ARM].len() {
                let key = self.pick(end, which).unwrap();
                let call = &self.calls[end / ARM][&key];
                if call.is_over || call.has_ended {
                    continue;
                }
                if !call.has_headers {
                    self.answer(which, &mut Script::new(&[]), End::More);
                }
                self.trailers(end, which, 7);
            }
        }
        while self.all() || self.release_all() {}
        let [callers, arms] = &self.calls;
        for call in callers.values().filter(|call| !call.is_over) {
            let arm = arms.values().find(|arm| arm.number == call.number);
            let arm = arm.unwrap_or_else(|| panic!("{call:?} never came: {arms:?}"));
            assert!(
                arm.is_over || arm.got == call.sent && arm.got_end,
                "{call:?} {arm:?}"
            );
            assert!(call.got == arm.sent && call.got_end, "{call:?} {arm:?}");
        }
        for end in &mut self.ends {
            assert_eq!(end.streams(), 0);
        }
    }

    /// Gives all credit back; whether that made anything to write.
    fn release_all(&mut self) -> bool {
        for end in [CALLER, ARM] {
            for key in self.calls[end / ARM].keys() {
                self.ends[end].release(*key, u32::MAX);
            }
        }
        self.ends.iter_mut().any(|end| !end.output().is_empty())
    }
}
