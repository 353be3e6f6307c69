//! What the caller wants sent: headers, data, trailers, resets.

use bytes::Bytes;

use super::{Connection, Notice, Role};
use crate::error::{CommandError, ErrorCode};
use crate::event::{Cause, End, StreamKey};
use crate::frame::{END_STREAM, FrameKind};
use crate::headers::{Class, FieldRef, HeaderList};
use crate::stream::{Last, Phase};

impl Connection {
    /// Whether a client may open a stream now.
    ///
    /// # Errors
    ///
    /// Says why not: [`CommandError::NoSlot`] passes with time, [`CommandError::Closing`] does not.
    pub fn can_open(&self) -> Result<(), CommandError> {
        let closing = self.is_leaving() || self.next_local > 0x7fff_ffff;
        if self.role == Role::Server || closing {
            return Err(CommandError::Closing);
        }
        let allowed = self.peer.concurrent_streams.unwrap_or(u32::MAX);
        let taken = self.streams.len() >= allowed.min(self.limits.concurrent_streams) as usize;
        if taken || self.output.len() > self.limits.unread_bytes {
            return Err(CommandError::NoSlot);
        }
        Ok(())
    }

    /// Opens a stream with a request's headers, pseudo-headers first.
    ///
    /// # Errors
    ///
    /// Those of [`Connection::can_open`].
    pub fn open<'a>(
        &mut self,
        fields: impl IntoIterator<Item = FieldRef<'a>>,
        end: End,
    ) -> Result<StreamKey, CommandError> {
        self.can_open()?;
        let mut stream = self.new_stream(self.next_local);
        self.next_local = self.next_local.saturating_add(2);
        stream.send = after(end);
        let head_request = &mut stream.head_request;
        let fields = fields.into_iter().inspect(|field| {
            *head_request |= field.meta.class == Class::Method && field.value == b"HEAD";
        });
        write_headers!(self, stream.id, fields, end);
        self.abuse.stream_opened();
        Ok(self.streams.insert(stream))
    }

    /// Sends a response's headers, `:status` first.
    ///
    /// # Errors
    ///
    /// [`CommandError::Gone`], or [`CommandError::OutOfOrder`] if they were sent before.
    pub fn send_headers<'a>(
        &mut self,
        key: StreamKey,
        fields: impl IntoIterator<Item = FieldRef<'a>>,
        end: End,
    ) -> Result<(), CommandError> {
        let stream = self.streams.get_mut(key).ok_or(CommandError::Gone)?;
        if stream.send != Phase::Head {
            return Err(CommandError::OutOfOrder);
        }
        stream.send = after(end);
        write_headers!(self, key.id, fields, end);
        if end == End::Last {
            self.sent_last(key);
        }
        Ok(())
    }

    /// Sends an informational response (1xx); the response is still to come.
    ///
    /// # Errors
    ///
    /// Those of [`Connection::send_headers`].
    pub fn send_interim<'a>(
        &mut self,
        key: StreamKey,
        fields: impl IntoIterator<Item = FieldRef<'a>>,
    ) -> Result<(), CommandError> {
        let stream = self.streams.get_mut(key).ok_or(CommandError::Gone)?;
        if stream.send != Phase::Head {
            return Err(CommandError::OutOfOrder);
        }
        write_headers!(self, key.id, fields, End::More);
        Ok(())
    }

    /// Sends data. Returns how many of its bytes went into the output at once; the rest is queued,
    /// and [`Event::Sent`](crate::Event::Sent) tells when it leaves.
    ///
    /// # Errors
    ///
    /// [`CommandError::Gone`]; [`CommandError::OutOfOrder`] before headers and after the end;
    /// [`CommandError::QueueFull`], whereupon a relay can only reset the stream.
    pub fn send_data(
        &mut self,
        key: StreamKey,
        payload: Bytes,
        end: End,
    ) -> Result<usize, CommandError> {
        let length = payload.len();
        let stream = self.streams.get_mut(key).ok_or(CommandError::Gone)?;
        if stream.send != Phase::Body || stream.queue.is_ended() {
            return Err(CommandError::OutOfOrder);
        }
        let room = self
            .send_window
            .available()
            .min(stream.send_window.available());
        let whole = length <= room.min(self.peer.frame_bytes as usize)
            && self.line.is_empty()
            && self.output.len() < self.limits.output_bytes;
        if stream.queue.is_empty() && (whole || length == 0) {
            if length == 0 && end == End::More {
                return Ok(0);
            }
            stream.send_window.take(length);
            self.send_window.take(length);
            let flags = if end == End::Last { END_STREAM } else { 0 };
            self.output.data(flags, key.id, payload);
            self.abuse.data_sent();
            if end == End::Last {
                stream.send = Phase::Done;
                self.sent_last(key);
            }
            return Ok(length);
        }
        if stream.queue.bytes().saturating_add(length) > self.limits.queue_bytes {
            return Err(CommandError::QueueFull);
        }
        let is_first = stream.queue.is_empty();
        stream.queue.push(payload);
        if end == End::Last {
            stream.queue.end(Last::Data);
        }
        if !stream.in_line && stream.can_send() {
            stream.in_line = true;
            self.line.push_back(key);
        }
        // Nobody waits before it, nor anything of its own: what the windows let out leaves now, in
        // several frames.
        let mut sent = 0usize;
        while is_first
            && self.line.front() == Some(&key)
            && let Some(Notice::Sent { bytes, .. }) = self.pump()
        {
            sent = sent.saturating_add(bytes);
        }
        Ok(sent)
    }

    /// Sends trailers, which end the stream; behind queued data they wait for it.
    ///
    /// # Errors
    ///
    /// [`CommandError::Gone`]; [`CommandError::OutOfOrder`] before headers and after the end.
    pub fn send_trailers<'a>(
        &mut self,
        key: StreamKey,
        fields: impl IntoIterator<Item = FieldRef<'a>>,
    ) -> Result<(), CommandError> {
        let stream = self.streams.get_mut(key).ok_or(CommandError::Gone)?;
        if stream.send != Phase::Body || stream.queue.is_ended() {
            return Err(CommandError::OutOfOrder);
        }
        if !stream.queue.is_empty() {
            let list: HeaderList = fields.into_iter().collect();
            stream.queue.end(Last::Trailers(Box::new(list)));
            return Ok(());
        }
        stream.send = Phase::Done;
        write_headers!(self, key.id, fields, End::Last);
        self.sent_last(key);
        Ok(())
    }

    /// Ends a stream before its time, and drops what is queued for it. Does nothing to a stream
    /// that is gone.
    pub fn reset(&mut self, key: StreamKey, code: ErrorCode) {
        let Some(stream) = self.streams.get_mut(key) else {
            // It ended, and the caller no longer wants to hear of it.
            return self.notices.retain(|notice| !notice.is_reset_of(key));
        };
        if !stream.is_closed() {
            self.output
                .frame(FrameKind::RST_STREAM, 0, key.id, &code.0.to_be_bytes());
            self.streams.note_reset(key.id);
        }
        self.forget(key);
    }

    /// END_STREAM is in the output. A server's answer is complete then, and what is left of the
    /// request of no use (RFC 9113 section 8.1).
    pub(super) fn sent_last(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        if stream.is_closed() {
            return self.ended(key);
        }
        if self.role == Role::Server {
            let code = ErrorCode::NO_ERROR;
            self.reset(key, code);
            let notice = Notice::Reset {
                stream: key,
                code,
                cause: Cause::Answered,
            };
            self.notices.push_back(notice);
        }
    }
}

/// How far a direction is after its head.
fn after(end: End) -> Phase {
    match end {
        End::More => Phase::Body,
        End::Last => Phase::Done,
    }
}

/// Encodes fields straight into the output; a macro because encoder and output are two parts of
/// `self`, borrowed while a stream, a third one, still is.
macro_rules! write_headers {
    ($self:ident, $id:expr, $fields:expr, $end:expr) => {{
        let flags = if $end == End::Last { END_STREAM } else { 0 };
        let (encoder, frame_bytes) = (&mut $self.encoder, $self.peer.frame_bytes);
        $self
            .output
            .headers(flags, $id, frame_bytes, |out| encoder.encode($fields, out));
    }};
}
use write_headers;
