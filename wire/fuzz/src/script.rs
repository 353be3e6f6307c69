//! The fuzzer's bytes read as choices. Frames are written shorter than on the wire (kind, flags,
//! stream, length in a byte each), so that a mutation of one leaves the others whole.

use cutover_wire::{Limits, Strings};

use crate::frame;

/// What is left of the fuzzer's bytes.
#[derive(Debug)]
pub struct Script<'a> {
    rest: &'a [u8],
}

impl<'a> Script<'a> {
    /// A script of these bytes.
    pub fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// The next byte; `None` at the end.
    pub fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// The next byte, or 0 at the end.
    pub fn choice(&mut self) -> usize {
        self.byte().unwrap_or(0).into()
    }

    /// Up to `most` bytes.
    pub fn take(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(most.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// All that is left.
    pub fn all(&mut self) -> &'a [u8] {
        self.take(usize::MAX)
    }

    /// A length: small ones exactly, larger ones in steps.
    pub fn length(&mut self) -> usize {
        match self.choice() {
            small @ ..128 => small,
            middle @ ..192 => (middle - 127) * 100,
            large => (large - 191) * 1_000,
        }
    }

    /// Limits, each of which is either small enough to be reached or the default.
    pub fn limits(&mut self) -> Limits {
        let choices = [self.choice(), self.choice(), self.choice()];
        let default = Limits::default();
        let of = |which: usize, shift: usize, values: [u32; 4]| values[choices[which] >> shift & 3];
        Limits {
            concurrent_streams: of(0, 0, [200, 1, 3, 10]),
            stream_window_bytes: of(0, 2, [65_535, 7, 1_000, 1 << 20]),
            connection_window_bytes: of(0, 4, [1 << 20, 65_535, 70_000, 1 << 24]),
            frame_bytes: of(0, 6, [16_384, 16_385, 20_000, 1 << 20]),
            header_list_bytes: of(1, 0, [16 << 10, 200, 1_000, 64 << 10]),
            decoder_table_bytes: of(1, 2, [4_096, 4_097, 10_000, 1 << 16]),
            encoder_table_bytes: of(1, 4, [4_096, 0, 100, 1 << 16]),
            output_bytes: of(1, 6, [128 << 10, 1, 1_000, 40_000]) as usize,
            queue_bytes: of(2, 0, [1 << 20, 1 << 20, 10, 30_000]) as usize,
            unread_bytes: [4 << 20, 500][choices[2] >> 7],
            strings: [Strings::Plain, Strings::Huffman][choices[2] >> 2 & 1],
            header_block_bytes: of(2, 3, [128 << 10, 64, 1_000, 17_000]),
            unread_small_data: of(2, 5, [32_768, 2, 10, 100]),
            ..default
        }
    }

    /// The next frame as on the wire, or now and then bytes that are none.
    pub fn frame(&mut self) -> Vec<u8> {
        let kind = self.choice() as u8;
        if kind == 0xff {
            let length = self.choice();
            return self.take(length).to_vec();
        }
        let (flags, stream) = (self.choice() as u8, self.choice() as u32);
        let length = self.length();
        let mut payload = self.take(length.min(255)).to_vec();
        payload.resize(length, 0);
        // Every kind is met often; few numbers are large.
        let stream = if stream == 0xff { 0x7fff_ffff } else { stream };
        frame(
            if kind < 0xf0 { kind % 11 } else { kind },
            flags,
            stream,
            &payload,
        )
    }
}
