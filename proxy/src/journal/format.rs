//! Entries one after the other in a file. gRFC A16 leaves the framing open: grpc-go writes the
//! length as 4 bytes, most significant first; grpc-java as a varint. Ours is grpc-go's; both are
//! read. The first byte tells them apart: no entry is empty, and none is 16 MiB long at the start.

use std::io::{self, ErrorKind, Read, Write};

use cutover_proto::grpc::binarylog::v1::GrpcLogEntry;
use prost::Message;

/// A longer entry is none.
const MAX_ENTRY_BYTES: u64 = 64 << 20;
/// A varint of 32 bits has at most so many bytes.
const MAX_VARINT_BYTES: u32 = 5;

/// Writes one entry with its length in front.
///
/// # Errors
/// What the writer says.
pub fn write_entry(out: &mut impl Write, entry: &GrpcLogEntry) -> io::Result<()> {
    let encoded = entry.encode_to_vec();
    let length = u32::try_from(encoded.len()).map_err(|_| io::Error::other("too long an entry"))?;
    out.write_all(&length.to_be_bytes())?;
    out.write_all(&encoded)
}

/// How lengths are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// 4 bytes, most significant first.
    Fixed,
    /// A varint, 7 bits a byte, least significant first.
    Varint,
}

/// What stands in one place of the file.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// An entry.
    Good(Box<GrpcLogEntry>),
    /// So many bytes that are no entry.
    Undecodable,
}

/// Why reading ended before the file's end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file ends in the middle of an entry, as after a process that was killed.
    #[error("it ends in the middle of the entry at byte {at}")]
    Truncated {
        /// Where the entry begins.
        at: u64,
    },
    /// A length that no entry has.
    #[error("there is no entry at byte {at}: its length would be {length}")]
    Corrupt {
        /// Where the entry should begin.
        at: u64,
        /// The length that is written there.
        length: u64,
    },
    /// Reading failed.
    #[error("reading failed at byte {at}")]
    Io {
        /// Where.
        at: u64,
        /// What the system said.
        source: io::Error,
    },
}

/// Reads entries one by one; memory stays at one entry.
#[derive(Debug)]
pub struct Entries<R> {
    reader: R,
    framing: Option<Framing>,
    at: u64,
}

impl<R: Read> Entries<R> {
    /// From a buffered reader at the file's start.
    pub fn new(reader: R) -> Entries<R> {
        Entries {
            reader,
            framing: None,
            at: 0,
        }
    }

    /// How many bytes have been read.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.at
    }

    /// The next entry; `None` at the file's end.
    ///
    /// # Errors
    /// Reading can't go on.
    pub fn read(&mut self) -> Result<Option<Entry>, ReadError> {
        let at = self.at;
        let length = match self.length() {
            Ok(None) => return Ok(None),
            Ok(Some(length)) if (1..=MAX_ENTRY_BYTES).contains(&length) => length,
            Ok(Some(length)) => return Err(ReadError::Corrupt { at, length }),
            Err(source) => return Err(failed(at, source)),
        };
        let mut encoded = Vec::new();
        let read = (&mut self.reader).take(length).read_to_end(&mut encoded);
        let read = read.map_err(|source| failed(at, source))? as u64;
        if read < length {
            return Err(ReadError::Truncated { at });
        }
        self.at += length;
        Ok(Some(match GrpcLogEntry::decode(encoded.as_slice()) {
            Ok(entry) => Entry::Good(Box::new(entry)),
            Err(_) => Entry::Undecodable,
        }))
    }

    fn length(&mut self) -> io::Result<Option<u64>> {
        let Some(first) = self.first_byte()? else {
            return Ok(None);
        };
        let framing = *self.framing.get_or_insert(match first {
            0 => Framing::Fixed,
            _ => Framing::Varint,
        });
        if framing == Framing::Fixed {
            let [a, b, c] = self.bytes()?;
            return Ok(Some(u64::from(u32::from_be_bytes([first, a, b, c]))));
        }
        let (mut byte, mut length) = (first, u64::from(first & 0x7f));
        for shift in 1..MAX_VARINT_BYTES {
            if byte < 0x80 {
                break;
            }
            [byte] = self.bytes()?;
            length |= u64::from(byte & 0x7f) << (7 * shift);
        }
        Ok(Some(length))
    }

    /// The first byte of an entry; `None` where the file ends before it.
    fn first_byte(&mut self) -> io::Result<Option<u8>> {
        match self.bytes() {
            Ok([byte]) => Ok(Some(byte)),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        self.at += N as u64;
        Ok(bytes)
    }
}

fn failed(at: u64, source: io::Error) -> ReadError {
    match source.kind() {
        ErrorKind::UnexpectedEof => ReadError::Truncated { at },
        _ => ReadError::Io { at, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(call_id: u64) -> GrpcLogEntry {
        GrpcLogEntry {
            timestamp: Some(prost_types::Timestamp {
                seconds: 1_795_358_449,
                nanos: 5,
            }),
            call_id,
            sequence_id_within_call: 1,
            ..GrpcLogEntry::default()
        }
    }

    fn fixed() -> Vec<u8> {
        let mut file = Vec::new();
        for id in 1..=3 {
            write_entry(&mut file, &entry(id)).unwrap();
        }
        file
    }

    /// The ids of the entries, and why reading ended.
    fn read(file: &[u8]) -> (Vec<u64>, Option<String>) {
        let mut entries = Entries::new(file);
        let mut ids = Vec::new();
        loop {
            match entries.read() {
                Ok(Some(Entry::Good(entry))) => ids.push(entry.call_id),
                Ok(Some(Entry::Undecodable)) => ids.push(0),
                Ok(None) => return (ids, None),
                Err(error) => return (ids, Some(error.to_string())),
            }
        }
    }

    #[test]
    fn reads_what_it_wrote_and_what_grpc_java_writes() {
        let varint: Vec<u8> = (1..=3)
            .flat_map(|id| entry(id).encode_length_delimited_to_vec())
            .collect();
        assert_eq!(fixed()[..3], [0, 0, 0]);
        assert_ne!(fixed(), varint);
        for file in [fixed(), varint] {
            assert_eq!(read(&file), (vec![1, 2, 3], None));
        }
        assert_eq!(read(&[]), (vec![], None));
    }

    #[test]
    fn a_long_entry_has_a_long_varint() {
        let mut long = entry(9);
        let data = bytes::Bytes::from(vec![7; 100_000]);
        long.payload = Some(
            cutover_proto::grpc::binarylog::v1::grpc_log_entry::Payload::Message(
                cutover_proto::grpc::binarylog::v1::Message { length: 7, data },
            ),
        );
        assert_eq!(
            read(&long.encode_length_delimited_to_vec()),
            (vec![9], None)
        );
    }

    #[test]
    fn a_file_cut_off_anywhere_gives_what_stands_before() {
        let file = fixed();
        let one = file.len() / 3;
        for end in 0..file.len() {
            let (ids, why) = read(&file[..end]);
            assert_eq!(ids.len(), end / one, "{end}");
            let expected = (!end.is_multiple_of(one)).then(|| {
                let at = end / one * one;
                format!("it ends in the middle of the entry at byte {at}")
            });
            assert_eq!(why, expected, "{end}");
        }
    }

    #[test]
    fn a_length_that_no_entry_has_ends_reading_and_allocates_nothing() {
        let one = fixed().len() / 3;
        for length in [[0xff; 4], [0; 4]] {
            let mut file = fixed();
            file[one..one + 4].copy_from_slice(&length);
            let (ids, why) = read(&file);
            assert_eq!(ids, [1]);
            let place = format!("there is no entry at byte {one}");
            assert!(why.is_some_and(|why| why.starts_with(&place)));
        }
    }

    #[test]
    fn bytes_of_the_right_length_that_are_no_entry_are_passed_over() {
        let mut file = fixed();
        let one = file.len() / 3;
        file[one + 4..2 * one].fill(0xff);
        assert_eq!(read(&file), (vec![1, 0, 3], None));
    }
}
