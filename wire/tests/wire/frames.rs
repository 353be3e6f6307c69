//! Frames written by hand, with header blocks of plain literals.

#[derive(Default)]
pub(crate) struct Frames {
    pub(crate) bytes: Vec<u8>,
}

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

impl Frames {
    /// A client's preface and empty SETTINGS.
    pub(crate) fn greeting() -> Self {
        let mut frames = Self {
            bytes: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        };
        frames.frame(4, 0, 0, &[]);
        frames
    }

    /// What a server begins with.
    pub(crate) fn settings() -> Self {
        let mut frames = Self::default();
        frames.frame(4, 0, 0, &[]);
        frames
    }

    pub(crate) fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = (payload.len() as u32).to_be_bytes();
        self.bytes.extend_from_slice(&length[1..]);
        self.bytes.extend_from_slice(&[kind, flags]);
        self.bytes.extend_from_slice(&stream.to_be_bytes());
        self.bytes.extend_from_slice(payload);
    }

    pub(crate) fn request(&mut self, stream: u32, more: &[(&str, &str)], end: bool) {
        let flags = if end { END_STREAM } else { 0 };
        self.frame(1, flags | END_HEADERS, stream, &request_block(more));
    }

    /// The same in one HEADERS and as many CONTINUATION frames as it takes.
    pub(crate) fn request_in_pieces(&mut self, stream: u32, more: &[(&str, &str)], piece: usize) {
        self.block_in_pieces(stream, &request_block(more), piece);
    }

    /// A response's headers.
    pub(crate) fn fields(&mut self, stream: u32, flags: u8, status: &str, more: &[(&str, &str)]) {
        self.frame(
            1,
            flags | END_HEADERS,
            stream,
            &response_block(status, more),
        );
    }

    /// The same in pieces.
    pub(crate) fn fields_in_pieces(
        &mut self,
        stream: u32,
        status: &str,
        more: &[(&str, &str)],
        piece: usize,
    ) {
        self.block_in_pieces(stream, &response_block(status, more), piece);
    }

    fn block_in_pieces(&mut self, stream: u32, block: &[u8], piece: usize) {
        let last = block.len().div_ceil(piece) - 1;
        for (count, part) in block.chunks(piece).enumerate() {
            let kind = if count == 0 { 1 } else { 9 };
            let flags = if count == last { END_HEADERS } else { 0 };
            self.frame(kind, flags, stream, part);
        }
    }

    pub(crate) fn data(&mut self, stream: u32, payload: &[u8], end: bool) {
        self.frame(0, u8::from(end), stream, payload);
    }

    pub(crate) fn padded_data(&mut self, stream: u32, payload: &[u8], padding: u8, end: bool) {
        let zeros = vec![0; usize::from(padding)];
        self.frame(
            0,
            PADDED | u8::from(end),
            stream,
            &[&[padding], payload, &zeros].concat(),
        );
    }

    pub(crate) fn trailers(&mut self, stream: u32, fields: &[(&str, &str)]) {
        self.frame(1, END_STREAM | END_HEADERS, stream, &block(fields));
    }
}

fn request_block(more: &[(&str, &str)]) -> Vec<u8> {
    // POST, http, and a path that enters the table.
    [&[0x83, 0x86, 0x44, 4][..], b"/s/m", &block(more)].concat()
}

fn response_block(status: &str, more: &[(&str, &str)]) -> Vec<u8> {
    // Name 8 of the static table; not indexed.
    [&[0x08, 3], status.as_bytes(), &block(more)].concat()
}

fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.extend_from_slice(&[0x40, name.len() as u8]);
        block.extend_from_slice(name.as_bytes());
        block.push(value.len() as u8);
        block.extend_from_slice(value.as_bytes());
    }
    block
}
