//! SETTINGS (RFC 9113 section 6.5): reading what a peer sets, writing what we set.

use crate::error::{Breach, Rule};
use crate::flow::MAX_WINDOW;
use crate::frame::{DEFAULT_FRAME_BYTES, MAX_FRAME_BYTES};

const HEADER_TABLE_SIZE: u16 = 0x1;
const ENABLE_PUSH: u16 = 0x2;
const MAX_CONCURRENT_STREAMS: u16 = 0x3;
const INITIAL_WINDOW_SIZE: u16 = 0x4;
const MAX_FRAME_SIZE: u16 = 0x5;
const MAX_HEADER_LIST_SIZE: u16 = 0x6;

/// What one end allows the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The size of the other's HPACK encoder table, in bytes. Default 4,096.
    pub header_table_bytes: u32,
    /// Streams that the other may have open at once. `None`: no maximum was set.
    pub concurrent_streams: Option<u32>,
    /// The window of each new stream, in bytes. Default 65,535.
    pub stream_window: u32,
    /// The largest payload of a frame, in bytes. Default 16,384.
    pub frame_bytes: u32,
    /// The largest header list, by RFC 9113's count. `None`: advice was not given.
    pub header_list_bytes: Option<u32>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            header_table_bytes: 4_096,
            concurrent_streams: None,
            stream_window: 65_535,
            frame_bytes: DEFAULT_FRAME_BYTES,
            header_list_bytes: None,
        }
    }
}

impl Settings {
    /// Takes over what the payload of a SETTINGS frame says. Of a value given twice the last
    /// counts (but see [`Settings::table_sizes`]), so a frame costs one pass over the streams at
    /// most. `push_allowed`: the sender is a
    /// client, and so may speak of pushes.
    pub(crate) fn apply(&mut self, payload: &[u8], push_allowed: bool) -> Result<(), Breach> {
        let (entries, rest) = payload.as_chunks::<6>();
        if !rest.is_empty() {
            return Err(Rule::FrameLength.into());
        }
        for &[n0, n1, v0, v1, v2, v3] in entries {
            let value = u32::from_be_bytes([v0, v1, v2, v3]);
            match u16::from_be_bytes([n0, n1]) {
                HEADER_TABLE_SIZE => self.header_table_bytes = value,
                ENABLE_PUSH if value > 1 || (value == 1 && !push_allowed) => {
                    return Err(Rule::SettingValue.into());
                }
                MAX_CONCURRENT_STREAMS => self.concurrent_streams = Some(value),
                INITIAL_WINDOW_SIZE if value > MAX_WINDOW => {
                    return Err(Rule::SettingWindow.into());
                }
                INITIAL_WINDOW_SIZE => self.stream_window = value,
                MAX_FRAME_SIZE if !(DEFAULT_FRAME_BYTES..=MAX_FRAME_BYTES).contains(&value) => {
                    return Err(Rule::SettingValue.into());
                }
                MAX_FRAME_SIZE => self.frame_bytes = value,
                MAX_HEADER_LIST_SIZE => self.header_list_bytes = Some(value),
                _ => {}
            }
        }
        Ok(())
    }

    /// Every table size that a payload names, in order: an encoder must answer for the smallest, not
    /// only for the last (RFC 7541 section 4.2).
    pub(crate) fn table_sizes(payload: &[u8]) -> impl Iterator<Item = u32> {
        let (entries, _) = payload.as_chunks::<6>();
        entries.iter().filter_map(|&[n0, n1, v0, v1, v2, v3]| {
            let is_size = u16::from_be_bytes([n0, n1]) == HEADER_TABLE_SIZE;
            is_size.then_some(u32::from_be_bytes([v0, v1, v2, v3]))
        })
    }

    /// The payload that tells a peer of these settings; what is at its default is left out.
    pub(crate) fn payload(&self, push: Push) -> Vec<u8> {
        let default = Self::default();
        let mut out = Vec::with_capacity(36);
        let mut put = |name: u16, value: u32| {
            out.extend_from_slice(&name.to_be_bytes());
            out.extend_from_slice(&value.to_be_bytes());
        };
        if self.header_table_bytes != default.header_table_bytes {
            put(HEADER_TABLE_SIZE, self.header_table_bytes);
        }
        if push == Push::Off {
            put(ENABLE_PUSH, 0);
        }
        if let Some(streams) = self.concurrent_streams {
            put(MAX_CONCURRENT_STREAMS, streams);
        }
        if self.stream_window != default.stream_window {
            put(INITIAL_WINDOW_SIZE, self.stream_window);
        }
        if self.frame_bytes != default.frame_bytes {
            put(MAX_FRAME_SIZE, self.frame_bytes);
        }
        if let Some(bytes) = self.header_list_bytes {
            put(MAX_HEADER_LIST_SIZE, bytes);
        }
        out
    }
}

/// Whether a SETTINGS frame of ours speaks of pushes: a client turns them off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Push {
    Off,
    Unsaid,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(payload: &[u8]) -> Result<Settings, Breach> {
        let mut settings = Settings::default();
        settings.apply(payload, false).map(|()| settings)
    }

    #[test]
    fn settings_survive_writing_and_reading() {
        let settings = Settings {
            header_table_bytes: 0,
            concurrent_streams: Some(7),
            stream_window: 1 << 20,
            frame_bytes: 32_768,
            header_list_bytes: Some(9),
        };
        assert_eq!(applied(&settings.payload(Push::Off)), Ok(settings));
        assert!(Settings::default().payload(Push::Unsaid).is_empty());
    }

    #[test]
    fn values_out_of_range_break_a_rule() {
        let check = |name: u8, value: u32, rule: Rule| {
            let [a, b, c, d] = value.to_be_bytes();
            assert_eq!(
                applied(&[0, name, a, b, c, d]),
                Err(Breach::Connection(rule)),
                "{name}"
            );
        };
        check(2, 2, Rule::SettingValue);
        check(2, 1, Rule::SettingValue);
        check(4, 1 << 31, Rule::SettingWindow);
        check(5, 16_383, Rule::SettingValue);
        check(5, 1 << 24, Rule::SettingValue);
        assert_eq!(applied(&[0; 5]), Err(Breach::Connection(Rule::FrameLength)));
    }

    #[test]
    fn an_unknown_setting_is_ignored() {
        assert_eq!(applied(&[0xff, 0xff, 1, 2, 3, 4]), Ok(Settings::default()));
    }
}
