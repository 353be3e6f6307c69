//! One end of a connection: its state, and the turn from bytes to events. What frames mean is in
//! the modules below, by kind; commands are in `commands`, queued data in `pump`.

mod closing;
mod commands;
mod control;
mod data;
mod fields;
mod gather;
mod lists;
mod notice;
mod pump;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use bytes::Bytes;

use self::fields::Block;
use self::gather::Gathered;
use self::lists::Lists;
use self::notice::Notice;
use crate::abuse::Abuse;
use crate::error::{Breach, ConnectionError, ErrorCode, Rule};
use crate::event::{Cause, Event, StreamKey};
use crate::flow::{DEFAULT_WINDOW, ReceiveWindow, SendWindow};
use crate::frame::settings::{Push, Settings};
use crate::frame::{self, FrameKind, Head};
use crate::hpack::decoder::Decoder;
use crate::hpack::encoder::Encoder;
use crate::input::{Frame, Input};
use crate::limits::Limits;
use crate::output::Output;
use crate::streams::Streams;

/// Which end of a connection we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Opens streams.
    Client,
    /// Answers them.
    Server,
}

/// One end of an HTTP/2 connection. See the [crate's page](crate) for how it is driven.
#[derive(Debug)]
pub struct Connection {
    role: Role,
    limits: Limits,
    input: Input,
    output: Output,
    decoder: Decoder,
    encoder: Encoder,
    /// The fields that the current event lends, and some before them.
    lists: Lists,
    /// A header block that goes on in CONTINUATION frames.
    block: Option<Block>,
    streams: Streams,
    /// Small data that is not told yet.
    gathered: Gathered,
    /// Streams with queued data whose own window is open.
    line: VecDeque<StreamKey>,
    /// Events that came in numbers, or of a command.
    notices: VecDeque<Notice>,
    send_window: SendWindow,
    receive_window: ReceiveWindow,
    peer: Settings,
    abuse: Abuse,
    greeting: Greeting,
    acknowledged: Acknowledged,
    /// The highest stream that the peer has opened.
    latest_peer: u32,
    /// The stream that we open next.
    next_local: u32,
    leaving: Leaving,
    /// The last stream of the peer's GOAWAY.
    peer_last: Option<u32>,
    failed: Option<ConnectionError>,
}

/// What must come first on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Greeting {
    /// The client's preface.
    Preface,
    /// A SETTINGS frame.
    Settings,
    /// It came.
    Over,
}

/// Whether the peer knows our settings: until then it goes by the defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Acknowledged {
    NotYet,
    Yes,
}

/// How far our own GOAWAY is (RFC 9113 section 6.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    No,
    /// Announced with the highest number; streams on their way are still welcome.
    Announced,
    /// The last stream is said.
    Final,
}

impl Connection {
    /// The server's end. Our SETTINGS are in the output.
    pub fn server(limits: Limits) -> Self {
        Self::new(Role::Server, limits)
    }

    /// The client's end. The preface and our SETTINGS are in the output; streams may be opened at
    /// once, though the peer's own maximum is known only with [`Event::Settings`].
    pub fn client(limits: Limits) -> Self {
        Self::new(Role::Client, limits)
    }

    fn new(role: Role, limits: Limits) -> Self {
        let limits = limits.within_range();
        let mut output = Output::default();
        let push = match role {
            Role::Client => {
                output.put(frame::PREFACE);
                Push::Off
            }
            Role::Server => Push::Unsaid,
        };
        let payload = limits.settings().payload(push);
        output.frame(FrameKind::SETTINGS, 0, 0, &payload);
        let more = limits
            .connection_window_bytes
            .saturating_sub(DEFAULT_WINDOW);
        if more > 0 {
            output.frame(FrameKind::WINDOW_UPDATE, 0, 0, &more.to_be_bytes());
        }
        Self {
            role,
            input: Input::default(),
            output,
            decoder: Decoder::new(limits.decoder_table_bytes as usize),
            encoder: Encoder::new(limits.encoder_table_bytes as usize, limits.strings),
            lists: Lists::default(),
            block: None,
            streams: Streams::default(),
            gathered: Gathered::default(),
            line: VecDeque::new(),
            notices: VecDeque::new(),
            send_window: SendWindow::new(DEFAULT_WINDOW),
            receive_window: ReceiveWindow::new(limits.connection_window_bytes),
            peer: Settings::default(),
            abuse: Abuse::new(&limits),
            greeting: match role {
                Role::Server => Greeting::Preface,
                Role::Client => Greeting::Settings,
            },
            acknowledged: Acknowledged::NotYet,
            latest_peer: 0,
            next_local: 1,
            leaving: Leaving::No,
            peer_last: None,
            failed: None,
            limits,
        }
    }

    /// Hands over what was read. Poll for events afterwards until there are none: what is left
    /// unpolled is kept, and copied by the next call.
    pub fn receive(&mut self, input: Bytes) {
        if self.failed.is_none() {
            self.input.push(input);
        }
    }

    /// The next event; `None` when more input, or room in the output, is needed first.
    ///
    /// # Errors
    ///
    /// The connection is over, with all its streams: no event tells of each, and commands find them
    /// gone. A GOAWAY is in the output. The same error comes again from then on.
    pub fn poll_event(&mut self) -> Result<Option<Event<'_>>, ConnectionError> {
        match self.next_notice()? {
            Some(notice) => Ok(Some(notice.into_event(self.lists.current()))),
            None => Ok(None),
        }
    }

    /// What is to be written.
    pub fn output(&mut self) -> &mut Output {
        &mut self.output
    }

    /// Whether [`Connection::poll_event`] has something to give or to send without more input: ask
    /// after a write, which may have made room in the output.
    pub fn wants_poll(&self) -> bool {
        let room = self.output.len() < self.limits.output_bytes;
        let sendable = !self.line.is_empty() && self.send_window.available() > 0 && room;
        self.failed.is_none() && (sendable || !self.notices.is_empty())
    }

    /// What the peer has set.
    pub fn peer(&self) -> &Settings {
        &self.peer
    }

    /// Which end this is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Whether the peer has said what must come first: a client its preface, either its SETTINGS.
    pub fn is_greeted(&self) -> bool {
        self.greeting == Greeting::Over
    }

    /// Whether a header block, or the greeting, has begun and is not whole: who takes long over it
    /// means no good.
    pub fn is_amid_headers(&self) -> bool {
        self.greeting != Greeting::Over || self.block.is_some() || self.input.is_amid_headers()
    }

    /// How many streams there are: open ones, and ended ones of which credit is not yet released.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Whether the engine said or heard GOAWAY: a connection that is only to be finished.
    pub fn is_leaving(&self) -> bool {
        self.leaving != Leaving::No || self.peer_last.is_some() || self.failed.is_some()
    }

    /// Whether nothing is left to do after a GOAWAY: close it.
    pub fn is_finished(&self) -> bool {
        let over = self.leaving == Leaving::Final || self.peer_last.is_some();
        (over && self.streams.len() == 0 || self.failed.is_some()) && self.output.is_empty()
    }

    /// A second has passed: the budgets against floods are full again. See [`Limits`].
    pub fn replenish(&mut self) {
        self.abuse.replenish();
    }

    /// Gives back memory that an idle connection does not need.
    pub fn trim(&mut self) {
        self.lists = Lists::default();
        self.output.trim();
        self.streams.trim();
        self.line.shrink_to_fit();
        self.notices.shrink_to_fit();
        self.gathered.trim();
    }

    fn next_notice(&mut self) -> Result<Option<Notice>, ConnectionError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if self.greeting == Greeting::Preface {
            match self.input.take_exactly(frame::PREFACE) {
                None => return Ok(None),
                Some(Ok(())) => self.greeting = Greeting::Settings,
                Some(Err(rule)) => return Err(self.fail(rule, None)),
            }
        }
        loop {
            if let Some(notice) = self.notices.pop_front() {
                return Ok(Some(notice));
            }
            if let Some(notice) = self.pump() {
                return Ok(Some(notice));
            }
            if let Some(notice) = self.next_gathered() {
                return Ok(Some(notice));
            }
            let frame = match self.input.next(self.limits.frame_bytes) {
                Ok(Some(frame)) => frame,
                _ if self.has_gathered() => {
                    self.tell_gathered();
                    continue;
                }
                Ok(None) => return Ok(None),
                Err((rule, head)) => return Err(self.fail(rule, Some(head))),
            };
            let head = frame.head;
            if self.output.len() > self.limits.unread_bytes {
                return Err(self.fail(Rule::OutputUnread, Some(head)));
            }
            if self.gather(&frame) {
                self.input.give_back(frame);
                continue;
            }
            if self.has_gathered() {
                self.input.take_back(frame);
                self.tell_gathered();
                continue;
            }
            let outcome = self.on_frame(&frame);
            self.input.give_back(frame);
            let outcome = match outcome {
                Err(Breach::Stream(rule)) => self.reset_for(rule, head.stream),
                outcome => outcome,
            };
            match outcome {
                Ok(None) => {}
                Ok(Some(notice)) => return Ok(Some(notice)),
                Err(Breach::Connection(rule) | Breach::Stream(rule)) => {
                    return Err(self.fail(rule, Some(head)));
                }
            }
        }
    }

    fn on_frame(&mut self, frame: &Frame) -> Result<Option<Notice>, Breach> {
        let head = frame.head;
        if self.greeting == Greeting::Settings {
            if head.kind != FrameKind::SETTINGS || head.has(frame::ACK) {
                return Err(Rule::Preface.into());
            }
            self.greeting = Greeting::Over;
        }
        if self.block.is_some() && head.kind != FrameKind::CONTINUATION {
            return Err(Rule::BlockInterrupted.into());
        }
        match head.kind {
            FrameKind::DATA => self.on_data(frame),
            FrameKind::HEADERS => self.on_headers(head, frame.payload()),
            FrameKind::CONTINUATION => self.on_continuation(head, frame.payload()),
            FrameKind::PRIORITY => self.on_priority(head, frame.payload()),
            FrameKind::RST_STREAM => self.on_reset(head, frame.payload()),
            FrameKind::SETTINGS => self.on_settings(head, frame.payload()),
            FrameKind::PUSH_PROMISE => Err(Rule::Push.into()),
            FrameKind::PING => self.on_ping(head, frame.payload()),
            FrameKind::GOAWAY => self.on_go_away(head, frame.payload()),
            FrameKind::WINDOW_UPDATE => self.on_window_update(head, frame.payload()),
            _ => self
                .abuse
                .unknown_frames()
                .map(|()| None)
                .map_err(Breach::from),
        }
    }

    /// Ends a stream on which the peer broke a rule (RFC 9113 section 5.4.2). The caller learns of
    /// it if it knows the stream.
    fn reset_for(&mut self, rule: Rule, id: u32) -> Result<Option<Notice>, Breach> {
        match rule {
            Rule::StreamRefused | Rule::GoingAway => self.abuse.refused()?,
            _ => self.abuse.provoked_resets()?,
        }
        let code = rule.code();
        self.reply(FrameKind::RST_STREAM, 0, id, &code.0.to_be_bytes())?;
        self.streams.note_reset(id);
        let Some(stream) = self.streams.find(id) else {
            return Ok(None);
        };
        self.forget(stream);
        Ok(Some(Notice::Reset {
            stream,
            code,
            cause: Cause::Breach(rule),
        }))
    }

    /// Takes a stream out, and the credit that is held for it back.
    fn forget(&mut self, key: StreamKey) {
        let held = self.streams.remove(key);
        self.credit_connection(held);
    }

    /// Takes a stream out if it is closed and its credit is released.
    fn settle(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        if stream.is_closed() && stream.held == 0 {
            self.streams.remove(key);
        }
    }

    /// Both directions ended in order.
    fn ended(&mut self, key: StreamKey) {
        self.abuse.stream_ended_well();
        self.settle(key);
    }

    /// Puts a reply into the output, unless the peer leaves too many unread.
    fn reply(
        &mut self,
        kind: FrameKind,
        flags: u8,
        stream: u32,
        payload: &[u8],
    ) -> Result<(), Breach> {
        let unread = self.output.reply(kind, flags, stream, payload);
        if unread > self.limits.queued_replies {
            return Err(Rule::RepliesUnread.into());
        }
        Ok(())
    }

    /// Whether a stream of this number was never opened.
    fn is_idle(&self, id: u32) -> bool {
        match self.role {
            Role::Server => id.is_multiple_of(2) || id > self.latest_peer,
            Role::Client => id.is_multiple_of(2) || id >= self.next_local,
        }
    }

    fn fail(&mut self, rule: Rule, head: Option<Head>) -> ConnectionError {
        let error = ConnectionError {
            rule,
            frame: head.map(|head| head.kind),
            stream: head.map_or(0, |head| head.stream),
        };
        self.failed = Some(error);
        // A command to one of them would write behind the GOAWAY.
        self.streams = Streams::default();
        self.line = VecDeque::new();
        self.say_go_away(self.latest_peer, error.rule.code(), rule.name().as_bytes());
        error
    }

    fn say_go_away(&mut self, last: u32, code: ErrorCode, debug: &[u8]) {
        let payload = [&last.to_be_bytes(), &code.0.to_be_bytes(), debug].concat();
        self.output.frame(FrameKind::GOAWAY, 0, 0, &payload);
    }
}
