//! Every bound of a connection, by name.

use crate::flow::{DEFAULT_WINDOW, MAX_WINDOW};
use crate::frame::settings::Settings;
use crate::frame::{DEFAULT_FRAME_BYTES, MAX_FRAME_BYTES};
use crate::hpack::encoder::Strings;

/// The bounds of one connection. A breach of the peer's ends its stream or the connection, as
/// each says; [`Rule`](crate::Rule) names them.
///
/// Floods are counted against budgets, because the engine has no clock: a budget starts full, every
/// frame of the kind takes one, useful work gives some back, and
/// [`Connection::replenish`](crate::Connection::replenish) fills all of them, which a caller with a
/// clock does once a second. A budget that runs out ends the connection with ENHANCE_YOUR_CALM.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Streams that the peer may have open at once, and that we hold at once in any case; default
    /// 200. One more is refused (REFUSED_STREAM).
    pub concurrent_streams: u32,
    /// Bytes that the peer may send on a stream before they are released; default 65,535, at most
    /// 2^31-1. More ends the connection.
    pub stream_window_bytes: u32,
    /// The same for the whole connection; default 1 MiB, at least 65,535.
    pub connection_window_bytes: u32,
    /// The largest payload that the peer may send in a frame; default 16,384, at most 2^24-1. A
    /// frame cut in two by a read is held until it is whole.
    pub frame_bytes: u32,
    /// The largest header list, as RFC 9113 section 6.5.2 counts; default 16 KiB. A larger request
    /// is handed over cut, to be answered; larger responses and trailers reset their stream.
    pub header_list_bytes: u32,
    /// The largest compressed header block; default 128 KiB. More ends the connection.
    pub header_block_bytes: u32,
    /// CONTINUATION frames in one header block; default 16. More end the connection.
    pub continuations: u32,
    /// The decoder's dynamic table; default and least 4,096.
    pub decoder_table_bytes: u32,
    /// The encoder's dynamic table, if the peer allows as much; default 4,096.
    pub encoder_table_bytes: u32,
    /// How the encoder writes strings.
    pub strings: Strings,
    /// Bytes queued on a stream because no window was open; default 1 MiB. To a command that would
    /// queue more the answer is [`CommandError::QueueFull`](crate::CommandError::QueueFull): a
    /// relay that releases credit as bytes go out never comes near.
    pub queue_bytes: usize,
    /// Output not yet written, above which no DATA is added to it; default 128 KiB.
    pub output_bytes: usize,
    /// Output of whatever kind that the peer has not read; default 4 MiB. Answers without data fit
    /// into no window, so a peer that goes on asking above it loses the connection, and no stream
    /// is opened above it ([`CommandError::NoSlot`](crate::CommandError::NoSlot)).
    pub unread_bytes: usize,
    /// Replies (to PING, SETTINGS and broken rules) that the peer has not read; default 1,000.
    pub queued_replies: u32,
    /// Budget of DATA frames without data and END_STREAM; default 100. DATA gives one back.
    pub empty_data: u32,
    /// Pieces of data of less than 256 bytes on a stream of which nothing was released; default
    /// 32,768. More reset the stream, not the connection.
    pub unread_small_data: u32,
    /// Budget of streams reset before anything was answered; default 1,000. A stream that ends well
    /// gives one back.
    pub premature_resets: u32,
    /// Budget of all resets by the peer; default 10,000. A stream that ends well gives one back.
    pub resets: u32,
    /// Budget of resets that the peer provokes by breaking a rule on a stream; default 200. A
    /// stream that ends well gives one back.
    pub provoked_resets: u32,
    /// Budget of streams over the maximum; default 1,000. A stream that ends well gives one back.
    pub refused: u32,
    /// Budget of informational responses; default 100. A stream that ends well gives one back.
    pub interim_responses: u32,
    /// Budget of PING frames; default 1,000. DATA and HEADERS, either way, give one back.
    pub pings: u32,
    /// Budget of SETTINGS frames; default 100.
    pub settings: u32,
    /// Budget of WINDOW_UPDATE frames; default 5,000. Each DATA frame sent gives ten back, each
    /// stream opened two.
    pub window_updates: u32,
    /// Budget of PRIORITY frames; default 1,000. Each stream opened gives ten back.
    pub priorities: u32,
    /// Budget of GOAWAY frames; default 100.
    pub goaways: u32,
    /// Budget of frames of unknown kinds; default 1,000.
    pub unknown_frames: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            concurrent_streams: 200,
            stream_window_bytes: DEFAULT_WINDOW,
            connection_window_bytes: 1 << 20,
            frame_bytes: DEFAULT_FRAME_BYTES,
            header_list_bytes: 16 << 10,
            header_block_bytes: 128 << 10,
            continuations: 16,
            decoder_table_bytes: 4_096,
            encoder_table_bytes: 4_096,
            strings: Strings::Plain,
            queue_bytes: 1 << 20,
            output_bytes: 128 << 10,
            unread_bytes: 4 << 20,
            queued_replies: 1_000,
            empty_data: 100,
            unread_small_data: 32_768,
            premature_resets: 1_000,
            resets: 10_000,
            provoked_resets: 200,
            refused: 1_000,
            interim_responses: 100,
            pings: 1_000,
            settings: 100,
            window_updates: 5_000,
            priorities: 1_000,
            goaways: 100,
            unknown_frames: 1_000,
        }
    }
}

impl Limits {
    /// The same with every value brought into the range that the RFC gives it.
    pub(crate) fn within_range(mut self) -> Self {
        self.stream_window_bytes = self.stream_window_bytes.min(MAX_WINDOW);
        self.connection_window_bytes = self
            .connection_window_bytes
            .clamp(DEFAULT_WINDOW, MAX_WINDOW);
        self.frame_bytes = self.frame_bytes.clamp(DEFAULT_FRAME_BYTES, MAX_FRAME_BYTES);
        self.decoder_table_bytes = self.decoder_table_bytes.clamp(4_096, 1 << 20);
        self
    }

    /// What the peer is told of them.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            header_table_bytes: self.decoder_table_bytes,
            concurrent_streams: Some(self.concurrent_streams),
            stream_window: self.stream_window_bytes,
            frame_bytes: self.frame_bytes,
            header_list_bytes: Some(self.header_list_bytes),
        }
    }
}
