//! One engine between a peer without scruples and a caller without a plan.

use std::collections::BTreeMap;

use bytes::Bytes;
use cutover_wire::{Connection, End, ErrorCode, Event, FieldRef, Role, StreamKey};

use crate::script::Script;
use crate::watch::Watch;
use crate::{PREFACE, contents, frame, take_output};

/// What is not bounded as long as the peer asks for nothing: an answer to each stream, our pings.
const HEAD_BYTES: usize = 4_096;
const PING_BYTES: usize = 17;
/// The largest payload that goes out at once.
const LARGEST_DATA: usize = 1 << 20;

/// A stream as its caller sees it.
#[derive(Debug, Default)]
struct Stream {
    /// Bytes that `send_data` took over.
    given: usize,
    /// Bytes that it, or an event, said to be in the output.
    sent: usize,
    is_over: bool,
}

struct Run {
    end: Connection,
    watch: Watch,
    streams: BTreeMap<StreamKey, Stream>,
    is_broken: bool,
}

/// Drives an end of this role by the script.
pub fn run(role: Role, data: &[u8]) {
    let mut script = Script::new(data);
    let limits = script.limits();
    let output_bound = limits.output_bytes + limits.unread_bytes + LARGEST_DATA;
    let most_streams = limits.concurrent_streams as usize;
    let end = match role {
        Role::Server => Connection::server(limits),
        Role::Client => Connection::client(limits),
    };
    let mut run = Run {
        end,
        watch: Watch::default(),
        streams: BTreeMap::new(),
        is_broken: false,
    };
    if role == Role::Server {
        run.feed(PREFACE);
    }
    run.feed(&frame(4, 0, 0, &[]));
    let mut steps = 0;
    while let Some(step) = script.byte() {
        steps += 1;
        run.step(step, &mut script);
        assert!(run.end.streams() <= most_streams);
        let bound = output_bound + run.end.streams() * HEAD_BYTES + steps * PING_BYTES;
        assert!(
            run.end.output().len() <= bound,
            "{}",
            run.end.output().len()
        );
    }
    run.finish();
}

impl Run {
    fn step(&mut self, step: u8, script: &mut Script<'_>) {
        let which = usize::from(step >> 4);
        let end = [End::More, End::Last][which & 1];
        match step % 16 {
            0..=5 => {
                let frame = script.frame();
                self.feed(&frame);
            }
            6 => {
                let mut pieces = script.frame();
                let rest = pieces.split_off(pieces.len() * which / 16);
                self.feed(&pieces);
                self.feed(&rest);
            }
            7 => self.open(script, end),
            8 => self.answer(which, script, end),
            9 => {
                let length = script.length();
                self.send(which, length, end);
            }
            10 => {
                if let Some(key) = self.pick(which) {
                    let _refused = self.end.send_trailers(key, [FieldRef::new(b"x-t", b"1")]);
                }
            }
            11 => {
                if let Some(key) = self.pick(which) {
                    self.end.reset(key, ErrorCode(script.choice() as u32));
                    self.over(key);
                }
            }
            12 => {
                if let Some(key) = self.pick(which) {
                    self.end.release(key, script.length() as u32);
                }
            }
            13 => {
                let most = script.length();
                self.write(most);
            }
            14 => match which {
                0 => self.end.leave(),
                1 => self.end.leave_now(ErrorCode::NO_ERROR),
                2..6 => self.end.ping([which as u8; 8]),
                6..12 => self.end.replenish(),
                _ => self.end.trim(),
            },
            _ => self.poll(),
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.watch.tell(bytes);
        self.end.receive(Bytes::copy_from_slice(bytes));
        self.poll();
    }

    fn poll(&mut self) {
        let mut rounds = 0;
        loop {
            rounds += 1;
            assert!(rounds < 1_000_000, "it never ends");
            let event = match self.end.poll_event() {
                Ok(None) => break,
                Ok(Some(event)) => event,
                Err(error) => {
                    let again = self.end.poll_event().map(drop);
                    assert_eq!(again, Err(error), "it stays over");
                    self.is_broken = true;
                    break;
                }
            };
            assert!(!self.is_broken);
            match event {
                Event::Headers { stream, .. } | Event::TooLarge { stream, .. } => {
                    let known = self.streams.entry(stream).or_default();
                    assert!(!known.is_over);
                }
                Event::Data {
                    stream,
                    credit,
                    payload,
                    ..
                } => {
                    let known = &self.streams[&stream];
                    assert!(!known.is_over && payload.len() <= credit as usize);
                }
                Event::Interim { stream, .. } | Event::Trailers { stream, .. } => {
                    assert!(!self.streams[&stream].is_over);
                }
                Event::Sent { stream, bytes } => {
                    let known = self.streams.get_mut(&stream).unwrap();
                    known.sent += bytes;
                    assert!(!known.is_over && known.sent <= known.given);
                }
                Event::Reset { stream, .. } => {
                    let known = self.streams.get_mut(&stream).unwrap();
                    assert!(!known.is_over);
                    known.is_over = true;
                }
                Event::GoAway { .. } | Event::Settings | Event::Pong { .. } => {}
            }
        }
        assert!(!self.end.wants_poll(), "there is nothing more");
    }

    fn open(&mut self, script: &mut Script<'_>, end: End) {
        let value = script.choice();
        let value = script.take(value & 0x3f);
        let head = [
            FieldRef::new(b":method", if end == End::Last { b"HEAD" } else { b"POST" }),
            FieldRef::new(b":scheme", b"http"),
            FieldRef::new(b":path", b"/s/m"),
            FieldRef::new(b"x-v", value),
        ];
        let allowed = self.end.can_open();
        match self.end.open(head, end) {
            Ok(key) => {
                assert_eq!(allowed, Ok(()));
                assert!(self.streams.insert(key, Stream::default()).is_none());
            }
            Err(error) => assert_eq!(allowed, Err(error)),
        }
    }

    fn answer(&mut self, which: usize, script: &mut Script<'_>, end: End) {
        let length = script.choice();
        let value = script.take(length & 0x3f);
        if let Some(key) = self.pick(which) {
            let fields = [
                FieldRef::new(b":status", b"200"),
                FieldRef::new(b"x-v", value),
            ];
            let _refused = match length {
                0xf0.. => self.end.send_interim(key, fields),
                _ => self.end.send_headers(key, fields, end),
            };
        }
    }

    fn send(&mut self, which: usize, length: usize, end: End) {
        let Some(key) = self.pick(which) else {
            return;
        };
        let payload = contents(key.id, self.streams[&key].given, length);
        if let Ok(sent) = self.end.send_data(key, payload, end) {
            let stream = self.streams.get_mut(&key).unwrap();
            assert!(sent <= length);
            stream.given += length;
            stream.sent += sent;
            assert!(stream.sent <= stream.given);
        }
    }

    fn write(&mut self, most: usize) {
        let taken = take_output(&mut self.end, most);
        self.watch.say(&taken);
    }

    fn finish(&mut self) {
        self.write(usize::MAX);
        assert!(self.watch.is_whole(), "a frame is cut");
        for (key, stream) in &self.streams {
            assert_eq!(stream.sent, self.watch.sent(key.id), "stream {}", key.id);
        }
    }

    fn over(&mut self, key: StreamKey) {
        if let Some(stream) = self.streams.get_mut(&key) {
            stream.is_over = true;
        }
    }

    /// One of the streams, dead ones among them.
    fn pick(&self, which: usize) -> Option<StreamKey> {
        let place = which.checked_rem(self.streams.len())?;
        self.streams.keys().nth_back(place).copied()
    }
}
