//! HPACK (RFC 7541): both directions of header compression, each with its table.

pub(crate) mod decoder;
pub(crate) mod encoder;
mod finder;
pub(crate) mod huffman;
mod integer;
pub(crate) mod static_table;
mod table;
