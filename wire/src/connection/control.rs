//! The frames that carry no message: SETTINGS, PING, WINDOW_UPDATE, RST_STREAM, PRIORITY (RFC 9113
//! section 6).

use super::{Acknowledged, Connection, Notice, Role};
use crate::error::{Breach, ErrorCode, Rule};
use crate::event::Cause;
use crate::frame::settings::Settings;
use crate::frame::{ACK, FrameKind, Head, be_u32, padding};
use crate::stream::Phase;

impl Connection {
    pub(super) fn on_settings(
        &mut self,
        head: Head,
        payload: &[u8],
    ) -> Result<Option<Notice>, Breach> {
        if head.stream != 0 {
            return Err(Rule::NeedsConnection.into());
        }
        self.abuse.settings()?;
        if head.has(ACK) {
            if !payload.is_empty() {
                return Err(Rule::FrameLength.into());
            }
            self.acknowledged = Acknowledged::Yes;
            return Ok(None);
        }
        let before = self.peer.stream_window;
        self.peer.apply(payload, self.role == Role::Server)?;
        for bytes in Settings::table_sizes(payload) {
            self.encoder.allow(bytes as usize);
        }
        let more = i64::from(self.peer.stream_window).saturating_sub(i64::from(before));
        if more != 0 {
            for (key, stream) in self.streams.iter_mut() {
                stream.send_window.grow(more)?;
                if !stream.in_line && stream.can_send() {
                    stream.in_line = true;
                    self.line.push_back(key);
                }
            }
        }
        self.reply(FrameKind::SETTINGS, ACK, 0, &[])?;
        Ok(Some(Notice::Settings))
    }

    pub(super) fn on_ping(&mut self, head: Head, payload: &[u8]) -> Result<Option<Notice>, Breach> {
        if head.stream != 0 {
            return Err(Rule::NeedsConnection.into());
        }
        let payload = *payload.as_array::<8>().ok_or(Rule::FrameLength)?;
        self.abuse.pings()?;
        if head.has(ACK) {
            return Ok(self.on_pong(payload));
        }
        self.reply(FrameKind::PING, ACK, 0, &payload)?;
        Ok(None)
    }

    pub(super) fn on_window_update(
        &mut self,
        head: Head,
        payload: &[u8],
    ) -> Result<Option<Notice>, Breach> {
        let payload = *payload.as_array::<4>().ok_or(Rule::FrameLength)?;
        let increment = i64::from(u32::from_be_bytes(payload) & 0x7fff_ffff);
        self.abuse.window_updates()?;
        if head.stream == 0 {
            if increment == 0 {
                return Err(Rule::ZeroIncrement.into());
            }
            self.send_window.grow(increment)?;
            return Ok(None);
        }
        if self.is_idle(head.stream) {
            return Err(Rule::IdleStream.into());
        }
        let Some(key) = self.streams.find(head.stream) else {
            return Ok(None);
        };
        if increment == 0 {
            return Err(Breach::Stream(Rule::ZeroIncrement));
        }
        let Some(stream) = self.streams.get_mut(key) else {
            return Ok(None);
        };
        stream.send_window.grow(increment).map_err(Breach::Stream)?;
        if !stream.in_line && stream.can_send() {
            stream.in_line = true;
            self.line.push_back(key);
        }
        Ok(None)
    }

    pub(super) fn on_reset(
        &mut self,
        head: Head,
        payload: &[u8],
    ) -> Result<Option<Notice>, Breach> {
        if head.stream == 0 {
            return Err(Rule::NeedsStream.into());
        }
        let payload = *payload.as_array::<4>().ok_or(Rule::FrameLength)?;
        if self.is_idle(head.stream) {
            return Err(Rule::IdleStream.into());
        }
        self.abuse.resets()?;
        let Some(key) = self.streams.find(head.stream) else {
            return Ok(None);
        };
        let Some(stream) = self.streams.get_mut(key) else {
            return Ok(None);
        };
        if stream.is_closed() {
            // Only credit is held for it, and that will be released.
            return Ok(None);
        }
        if self.role == Role::Server && stream.send == Phase::Head {
            self.abuse.premature_resets()?;
        }
        self.forget(key);
        let code = ErrorCode(u32::from_be_bytes(payload));
        Ok(Some(Notice::Reset {
            stream: key,
            code,
            cause: Cause::Peer,
        }))
    }

    /// Priorities are ignored, but for what even RFC 7540 forbade (RFC 9113 section 5.3.2).
    pub(super) fn on_priority(
        &mut self,
        head: Head,
        payload: &[u8],
    ) -> Result<Option<Notice>, Breach> {
        if head.stream == 0 {
            return Err(Rule::NeedsStream.into());
        }
        if payload.len() != 5 {
            return Err(Rule::FrameLength.into());
        }
        self.abuse.priorities()?;
        match padding::depends_on_itself(head, payload) {
            Some(rule) => Err(rule.into()),
            None => Ok(None),
        }
    }

    pub(super) fn on_go_away(
        &mut self,
        head: Head,
        payload: &[u8],
    ) -> Result<Option<Notice>, Breach> {
        if head.stream != 0 {
            return Err(Rule::NeedsConnection.into());
        }
        let (last, rest) = payload.split_at_checked(4).ok_or(Rule::FrameLength)?;
        let last = be_u32(last).ok_or(Rule::FrameLength)? & 0x7fff_ffff;
        let code = ErrorCode(be_u32(rest).ok_or(Rule::FrameLength)?);
        self.abuse.goaways()?;
        Ok(self.on_leave(last, code))
    }
}
