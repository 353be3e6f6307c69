//! A client or an arm: an engine that keeps the rules, and what it knows of its calls. And the
//! fuzzer's bytes, read as choices.

use std::collections::BTreeMap;
use std::io::IoSlice;

use bytes::Bytes;
use cutover_wire::{
    Connection, End, ErrorCode, Event, FieldRef, HeaderList, Limits, Role, StreamKey,
};

/// What is sent in one direction of a call at most.
const LONGEST: usize = 300_000;

/// One end of a connection, whose other end is the core's.
pub(super) struct Peer {
    /// The core's end.
    pub(super) link: usize,
    pub(super) engine: Connection,
    /// The core was sent something that this engine knows nothing of.
    pub(super) hostile: bool,
    calls: BTreeMap<StreamKey, Exchange>,
    broken: bool,
}

/// What a peer knows of a call.
#[derive(Debug, Default)]
struct Exchange {
    /// Travels in a header; `None` for a call that nobody began.
    number: Option<u8>,
    sent: usize,
    said: Said,
    heard: Said,
    /// An answer that says by its HTTP status how it ended.
    by_http: bool,
    got: usize,
    /// Not yet given back to the sender.
    credit: u32,
}

/// How far one direction is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Said {
    #[default]
    Nothing,
    Begun,
    All,
}

impl Peer {
    pub(super) fn new(link: usize, engine: Connection) -> Peer {
        Peer {
            link,
            engine,
            hostile: false,
            calls: BTreeMap::new(),
            broken: false,
        }
    }

    /// Something within the rules.
    pub(super) fn act(&mut self, script: &mut Script<'_>, calls: &mut u32) {
        let choice = script.choice();
        let end = [End::More, End::Last][choice >> 4 & 1];
        match (choice % 8, self.engine.role()) {
            (0..=1, Role::Client) => self.ask(script, calls, end),
            (0..=1, Role::Server) => self.answer(choice >> 5, script, end),
            (2..=3, _) => {
                let length = script.length();
                self.send(choice >> 5, length, end);
            }
            (4, Role::Server) => self.trailers(choice >> 5, script.choice()),
            (4, Role::Client) => self.send(choice >> 5, 0, End::Last),
            (5, _) => {
                if let Some(stream) = self.pick(choice >> 5) {
                    self.engine.reset(stream, ErrorCode((choice as u32) >> 5));
                    self.calls.remove(&stream);
                }
            }
            (6, _) => self.release(),
            _ if choice >> 4 == 15 => self.engine.leave(),
            _ => self.engine.ping(*b"fuzzing!"),
        }
    }

    fn ask(&mut self, script: &mut Script<'_>, calls: &mut u32, end: End) {
        let choice = script.choice();
        let number = [*calls as u8];
        let path = ["/a.S/Half", "/a.S/Whole"][choice & 1].as_bytes();
        let kind: &[u8] = match choice >> 1 & 7 {
            0 => b"text/plain",
            _ => b"application/grpc",
        };
        let timeout = ["", "", "100m", "1S"][choice >> 4 & 3].as_bytes();
        let mut fields = vec![
            FieldRef::new(b":method", b"POST"),
            FieldRef::new(b":scheme", b"http"),
            FieldRef::new(b":path", path),
            FieldRef::new(b"content-type", kind),
            FieldRef::new(b"x-number-bin", &number),
        ];
        if !timeout.is_empty() {
            fields.push(FieldRef::new(b"grpc-timeout", timeout));
        }
        if choice >> 6 & 1 == 1 {
            fields.push(FieldRef::new(b"x-user-id", &number));
        }
        if let Ok(stream) = self.engine.open(fields, end) {
            *calls += 1;
            let exchange = Exchange {
                number: Some(number[0]),
                said: after(end),
                ..Exchange::default()
            };
            self.calls.insert(stream, exchange);
        }
    }

    fn answer(&mut self, which: usize, script: &mut Script<'_>, end: End) {
        let Some(stream) = self.pick(which) else {
            return;
        };
        let choice = script.choice();
        let status: &[u8] = if choice % 16 == 15 { b"503" } else { b"200" };
        let mut fields = vec![
            FieldRef::new(b":status", status),
            FieldRef::new(b"content-type", b"application/grpc"),
        ];
        if end == End::Last && choice & 1 == 0 {
            fields.push(FieldRef::new(b"grpc-status", b"5"));
        }
        if self.engine.send_headers(stream, fields, end).is_ok() {
            self.calls.entry(stream).or_default().said = after(end);
        }
    }

    fn send(&mut self, which: usize, length: usize, end: End) {
        let Some(stream) = self.pick(which) else {
            return;
        };
        let exchange = self.calls.entry(stream).or_default();
        let length = length.min(LONGEST - exchange.sent);
        let from = content(exchange.number, self.engine.role());
        let bytes: Bytes = (exchange.sent..exchange.sent + length).map(from).collect();
        if self.engine.send_data(stream, bytes, end).is_ok() {
            exchange.sent += length;
            exchange.said = after(end);
        }
    }

    fn trailers(&mut self, which: usize, choice: usize) {
        let Some(stream) = self.pick(which) else {
            return;
        };
        let status = FieldRef::new(b"grpc-status", if choice & 1 == 0 { b"0" } else { b"9" });
        if self.engine.send_trailers(stream, [status]).is_ok() {
            self.calls.entry(stream).or_default().said = Said::All;
        }
    }

    fn release(&mut self) {
        for (stream, exchange) in &mut self.calls {
            let credit = std::mem::take(&mut exchange.credit);
            self.engine.release(*stream, credit);
        }
    }

    fn pick(&self, which: usize) -> Option<StreamKey> {
        let at = which.checked_rem(self.calls.len())?;
        self.calls.keys().nth(at).copied()
    }

    /// Says all that is still to be said, and gives all credit back; how much that was.
    pub(super) fn finish(&mut self) -> usize {
        self.release();
        let mut said = 0;
        let open: Vec<(StreamKey, Said)> = self
            .calls
            .iter()
            .filter(|(_, exchange)| exchange.said != Said::All)
            .map(|(stream, exchange)| (*stream, exchange.said))
            .collect();
        for (stream, so_far) in open {
            let done = match (self.engine.role(), so_far) {
                (Role::Client, _) => {
                    let sent = self.engine.send_data(stream, Bytes::new(), End::Last);
                    sent.map(|_| Said::All)
                }
                (Role::Server, Said::Nothing) => {
                    let ok = FieldRef::new(b":status", b"200");
                    let sent = self.engine.send_headers(stream, [ok], End::More);
                    sent.map(|()| Said::Begun)
                }
                (Role::Server, _) => {
                    let status = FieldRef::new(b"grpc-status", b"0");
                    let sent = self.engine.send_trailers(stream, [status]);
                    sent.map(|()| Said::All)
                }
            };
            if let (Ok(done), Some(exchange)) = (done, self.calls.get_mut(&stream)) {
                exchange.said = done;
                said += 1;
            }
        }
        said
    }

    /// Whether all calls that it began have their answer's end.
    pub(super) fn is_answered(&self) -> bool {
        let mut calls = self.calls.values();
        self.engine.role() == Role::Server || calls.all(|exchange| exchange.heard == Said::All)
    }

    /// Whether one end said that it takes no new calls.
    pub(super) fn has_left(&self) -> bool {
        self.engine.is_leaving()
    }

    /// What the core is to be given.
    pub(super) fn say(&mut self, most: usize) -> Bytes {
        take(&mut self.engine, most)
    }

    /// Takes in what the core says. `forged`: somebody, by role, sends what is none of its own.
    pub(super) fn hear(&mut self, bytes: Bytes, forged: [bool; 2]) {
        if self.broken {
            return;
        }
        self.engine.receive(bytes);
        let client = self.engine.role() == Role::Client;
        let trusted = !forged[usize::from(client)] && !self.hostile;
        loop {
            let event = match self.engine.poll_event() {
                Ok(Some(event)) => event,
                Ok(None) => return,
                Err(error) => {
                    assert!(self.hostile, "the core broke a rule: {error}");
                    self.broken = true;
                    return;
                }
            };
            match event {
                Event::Headers {
                    stream,
                    headers,
                    end,
                } => {
                    let exchange = self.calls.entry(stream).or_default();
                    exchange.heard = after(end);
                    if client {
                        exchange.by_http = headers.status() != Some(b"200");
                        let says = exchange.by_http || has_status(headers);
                        assert!(
                            !trusted || end == End::More || says,
                            "an end without a status"
                        );
                    } else {
                        let number = headers.get(b"x-number-bin");
                        exchange.number = number.and_then(|number| number.first()).copied();
                    }
                }
                Event::Data {
                    stream,
                    payload,
                    credit,
                    end,
                } => {
                    let Some(exchange) = self.calls.get_mut(&stream) else {
                        self.engine.release(stream, credit);
                        continue;
                    };
                    if end == End::Last {
                        exchange.heard = Said::All;
                        let says = exchange.by_http || !client;
                        assert!(!trusted || says, "an end without a status");
                    }
                    exchange.credit += credit;
                    let own = content(
                        exchange.number,
                        [Role::Client, Role::Server][usize::from(client)],
                    );
                    if trusted && !exchange.by_http {
                        let mut sent = (exchange.got..).map(own);
                        let same = payload.iter().all(|byte| Some(*byte) == sent.next());
                        assert!(same, "what came is not what was sent");
                    }
                    exchange.got += payload.len();
                }
                Event::Trailers { stream, headers } => {
                    if let Some(exchange) = self.calls.get_mut(&stream) {
                        exchange.heard = Said::All;
                        assert!(!trusted || !client || has_status(headers));
                    }
                }
                Event::Reset { stream, .. } => {
                    self.calls.remove(&stream);
                }
                _ => {}
            }
        }
    }
}

fn has_status(headers: &HeaderList) -> bool {
    headers.get(b"grpc-status").is_some()
}

fn after(end: End) -> Said {
    match end {
        End::More => Said::Begun,
        End::Last => Said::All,
    }
}

/// The bytes of a call from one side, so that none can be lost or exchanged unseen.
fn content(number: Option<u8>, from: Role) -> impl Fn(usize) -> u8 {
    let call = usize::from(number.unwrap_or(0)) * 2 + usize::from(from == Role::Server);
    move |offset| (call * 31 + offset + offset / 256 * 7) as u8
}

/// Takes up to `most` bytes out of an engine's output.
pub(super) fn take(engine: &mut Connection, most: usize) -> Bytes {
    let mut taken = Vec::new();
    while taken.len() < most && !engine.output().is_empty() {
        let mut slices = [IoSlice::new(&[]); 1];
        engine.output().slices(&mut slices);
        let part = slices[0].len().min(most - taken.len());
        taken.extend(&slices[0][..part]);
        engine.output().advance(part);
    }
    taken.into()
}

/// What is left of the fuzzer's bytes.
pub(super) struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Self(rest)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// The next byte, or 0 at the end.
    pub(super) fn choice(&mut self) -> usize {
        self.byte().unwrap_or(0).into()
    }

    /// A length: small ones exactly, larger ones in steps.
    pub(super) fn length(&mut self) -> usize {
        match self.choice() {
            small @ ..128 => small,
            middle @ ..192 => (middle - 127) * 100,
            large => (large - 191) * 1_000,
        }
    }

    /// A peer's limits: small enough to be reached, or wide.
    pub(super) fn limits(&mut self) -> Limits {
        let choice = self.choice();
        let of = |shift: usize, values: [u32; 4]| values[choice >> shift & 3];
        Limits {
            concurrent_streams: of(0, [200, 1, 3, 10]),
            stream_window_bytes: of(2, [65_535, 7, 1_000, 1 << 20]),
            connection_window_bytes: of(4, [1 << 20, 65_535, 70_000, 1 << 24]),
            encoder_table_bytes: of(6, [4_096, 0, 100, 1 << 16]),
            // Its own floods are no matter here.
            resets: u32::MAX,
            premature_resets: u32::MAX,
            refused: u32::MAX,
            window_updates: u32::MAX,
            unread_small_data: u32::MAX,
            empty_data: u32::MAX,
            queue_bytes: usize::MAX,
            ..Limits::default()
        }
    }

    /// A frame, or now and then bytes that are none.
    pub(super) fn frame(&mut self) -> Vec<u8> {
        let kind = self.choice() as u8;
        if kind == 0xff {
            let length = self.choice();
            return self.take(length).to_vec();
        }
        let (flags, stream) = (self.choice() as u8, self.choice() as u8);
        let length = self.length();
        let mut payload = self.take(length).to_vec();
        payload.resize(length, 0);
        let mut frame = (length as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind % 11, flags, 0, 0, 0, stream]);
        frame.extend(payload);
        frame
    }

    fn take(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        taken
    }
}
