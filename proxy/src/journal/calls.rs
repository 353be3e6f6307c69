//! From entries back to calls: what is needed to send them again.

use std::collections::{BTreeMap, VecDeque};
use std::io::Read;
use std::time::Duration;

use bytes::Bytes;
use cutover_proto::grpc::binarylog::v1 as log;
use log::grpc_log_entry::{EventType, Payload};

use super::format::{Entries, Entry, ReadError};

/// Calls that may be open at one place of the file; beyond it the oldest one counts as incomplete.
const MAX_OPEN_CALLS: usize = 10_000;
/// Bytes of messages of all open calls, likewise.
const MAX_OPEN_BYTES: usize = 256 << 20;

/// Why a call can't be sent again as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Incomplete {
    /// Its beginning is missing.
    NoHeader,
    /// Some entry of it is missing, or is no entry.
    MissingEntry,
    /// A message was cut off or left out when it was recorded.
    CutMessage,
}

/// A recorded call's request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordedCall {
    /// The call's number in the file.
    pub id: u64,
    /// `/package.Service/Method`.
    pub method: String,
    /// The time that the client gave it.
    pub timeout: Option<Duration>,
    /// The application's metadata.
    pub metadata: Vec<(String, Bytes)>,
    /// The request's messages, without compression.
    pub messages: Vec<Bytes>,
    /// Whether the client had sent all it wanted to.
    pub half_closed: bool,
    /// Why it isn't whole.
    pub incomplete: Option<Incomplete>,
}

/// Reads calls in the order in which they ended; memory is bounded by the calls that overlap.
#[derive(Debug)]
pub struct Calls<R> {
    entries: Entries<R>,
    open: BTreeMap<u64, Open>,
    open_bytes: usize,
    ready: VecDeque<RecordedCall>,
    ended: bool,
    error: Option<ReadError>,
    undecodable: u64,
}

#[derive(Debug, Default)]
struct Open {
    call: RecordedCall,
    bytes: usize,
    last_sequence: u64,
}

impl<R: Read> Calls<R> {
    /// From a buffered reader at the file's start.
    pub fn new(reader: R) -> Calls<R> {
        Calls {
            entries: Entries::new(reader),
            open: BTreeMap::new(),
            open_bytes: 0,
            ready: VecDeque::new(),
            ended: false,
            error: None,
            undecodable: 0,
        }
    }

    /// The next call; `None` at the end, and then [`Calls::error`] says whether that was the end
    /// of the file.
    pub fn read(&mut self) -> Option<RecordedCall> {
        loop {
            if let Some(call) = self.ready.pop_front() {
                return Some(call);
            }
            if self.ended {
                let (_, open) = self.open.pop_first()?;
                return Some(open.call);
            }
            match self.entries.read() {
                Ok(Some(Entry::Good(entry))) if entry.call_id != 0 => {
                    self.entry(*entry);
                }
                Ok(Some(_)) => self.undecodable += 1,
                Ok(None) => self.ended = true,
                Err(error) => {
                    self.ended = true;
                    self.error = Some(error);
                }
            }
        }
    }

    /// Why reading ended early, if it did.
    #[must_use]
    pub fn error(&self) -> Option<&ReadError> {
        self.error.as_ref()
    }

    /// Why reading ended early, for good.
    #[must_use]
    pub fn into_error(self) -> Option<ReadError> {
        self.error
    }

    /// Entries that are none.
    #[must_use]
    pub fn undecodable(&self) -> u64 {
        self.undecodable
    }

    /// How many bytes have been read.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.entries.position()
    }

    fn entry(&mut self, entry: log::GrpcLogEntry) {
        let id = entry.call_id;
        let begins = entry.r#type() == EventType::ClientHeader;
        // What comes after a call's end, or without its beginning, says nothing of its request.
        if !begins && !self.open.contains_key(&id) && entry.sequence_id_within_call > 1 {
            return;
        }
        let open = self.open.entry(id).or_default();
        let before = open.bytes;
        let ends = open.take(entry);
        self.open_bytes += open.bytes - before;
        if ends {
            self.close(id, None);
        } else if self.open.len() > MAX_OPEN_CALLS || self.open_bytes > MAX_OPEN_BYTES {
            let oldest = self.open.keys().next().copied();
            if let Some(oldest) = oldest {
                self.close(oldest, Some(Incomplete::MissingEntry));
            }
        }
    }

    fn close(&mut self, id: u64, why: Option<Incomplete>) {
        if let Some(mut open) = self.open.remove(&id) {
            self.open_bytes -= open.bytes;
            open.call.incomplete = open.call.incomplete.or(why);
            self.ready.push_back(open.call);
        }
    }
}

impl Open {
    /// Takes the call's next entry; true where it is the last.
    fn take(&mut self, entry: log::GrpcLogEntry) -> bool {
        let event = entry.r#type();
        self.call.id = entry.call_id;
        if entry.sequence_id_within_call != self.last_sequence + 1 {
            self.incomplete(Incomplete::MissingEntry);
        }
        self.last_sequence = entry.sequence_id_within_call;
        match (event, entry.payload) {
            (EventType::ClientHeader, Some(Payload::ClientHeader(header))) => self.header(header),
            (EventType::ClientMessage, Some(Payload::Message(message))) => {
                if entry.payload_truncated || message.length as usize != message.data.len() {
                    self.incomplete(Incomplete::CutMessage);
                }
                self.bytes += message.data.len();
                self.call.messages.push(message.data);
            }
            // An empty message may have no payload at all.
            (EventType::ClientMessage, None) => self.call.messages.push(Bytes::new()),
            (EventType::ClientHalfClose, _) => self.call.half_closed = true,
            (EventType::ServerTrailer | EventType::Cancel, _) => {
                if self.call.method.is_empty() {
                    self.incomplete(Incomplete::NoHeader);
                }
                return true;
            }
            _ => {}
        }
        false
    }

    fn header(&mut self, header: log::ClientHeader) {
        self.call.method = header.method_name;
        self.call.timeout = header.timeout.and_then(|t| Duration::try_from(t).ok());
        let metadata = header.metadata.unwrap_or_default();
        self.call.metadata = metadata
            .entry
            .into_iter()
            .map(|entry| (entry.key, entry.value))
            .collect();
    }

    fn incomplete(&mut self, why: Incomplete) {
        self.call.incomplete.get_or_insert(why);
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::write_entry;
    use super::*;

    /// Entries of calls, as (call, sequence, event).
    fn file(entries: &[(u64, u64, EventType)]) -> Vec<u8> {
        let mut file = Vec::new();
        for (call_id, sequence, event) in entries {
            let payload = match event {
                EventType::ClientHeader => Some(Payload::ClientHeader(log::ClientHeader {
                    method_name: format!("/s/M{call_id}"),
                    ..log::ClientHeader::default()
                })),
                EventType::ClientMessage => Some(Payload::Message(log::Message {
                    length: 1,
                    data: Bytes::from(vec![*sequence as u8]),
                })),
                _ => None,
            };
            let entry = log::GrpcLogEntry {
                call_id: *call_id,
                sequence_id_within_call: *sequence,
                r#type: (*event).into(),
                payload,
                ..log::GrpcLogEntry::default()
            };
            write_entry(&mut file, &entry).unwrap();
        }
        file
    }

    fn read(file: &[u8]) -> (Vec<RecordedCall>, bool) {
        let mut calls = Calls::new(file);
        let read = std::iter::from_fn(|| calls.read()).collect();
        (read, calls.error().is_some())
    }

    use EventType::{
        ClientHalfClose as Close, ClientHeader as Header, ClientMessage as Message,
        ServerTrailer as Trailer,
    };

    #[test]
    fn calls_that_overlap_are_told_apart_and_come_as_they_end() {
        let (calls, _) = read(&file(&[
            (1, 1, Header),
            (2, 1, Header),
            (1, 2, Message),
            (2, 2, Message),
            (2, 3, Close),
            (2, 4, Trailer),
            (1, 3, Message),
            (1, 4, Close),
            (1, 5, Trailer),
        ]));
        let seen: Vec<_> = calls
            .iter()
            .map(|c| (c.id, c.method.as_str(), c.messages.len(), c.half_closed))
            .collect();
        assert_eq!(seen, [(2, "/s/M2", 1, true), (1, "/s/M1", 2, true)]);
        assert!(calls.iter().all(|call| call.incomplete.is_none()));
    }

    #[test]
    fn a_missing_entry_shows() {
        let (calls, _) = read(&file(&[(1, 1, Header), (1, 3, Close), (1, 4, Trailer)]));
        assert_eq!(calls[0].incomplete, Some(Incomplete::MissingEntry));
        let (calls, _) = read(&file(&[(1, 1, Close), (1, 2, Trailer)]));
        assert_eq!(calls[0].incomplete, Some(Incomplete::NoHeader));
    }

    #[test]
    fn a_message_that_was_left_out_shows() {
        let payload = Payload::Message(log::Message {
            length: 9,
            data: Bytes::new(),
        });
        let entry = log::GrpcLogEntry {
            call_id: 1,
            sequence_id_within_call: 2,
            r#type: Message.into(),
            payload: Some(payload),
            payload_truncated: true,
            ..log::GrpcLogEntry::default()
        };
        let mut bytes = file(&[(1, 1, Header)]);
        write_entry(&mut bytes, &entry).unwrap();
        bytes.extend(file(&[(1, 3, Close), (1, 4, Trailer)]));
        assert_eq!(read(&bytes).0[0].incomplete, Some(Incomplete::CutMessage));
    }

    #[test]
    fn what_is_open_when_the_file_is_cut_off_is_still_given() {
        let whole = file(&[
            (1, 1, Header),
            (1, 2, Message),
            (1, 3, Close),
            (1, 4, Trailer),
        ]);
        let (calls, cut) = read(&whole[..whole.len() - 1]);
        assert!(cut);
        assert_eq!((calls.len(), calls[0].half_closed), (1, true));
    }

    proptest::proptest! {
        #[test]
        fn no_damage_makes_calls_that_were_not_there(
            at in 0usize..200,
            byte in proptest::prelude::any::<u8>(),
            tail in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40),
        ) {
            let whole = [(1, 1, Header), (1, 2, Message), (2, 1, Header), (1, 3, Close)];
            let mut bytes = file(&whole);
            let at = at % bytes.len();
            bytes[at] = byte;
            bytes.extend(tail);
            // Each of the four entries, or one in the tail, may at worst begin a call.
            proptest::prop_assert!(read(&bytes).0.len() <= 5);
        }
    }

    #[test]
    fn what_follows_a_calls_end_makes_no_other_call() {
        let late = EventType::Cancel;
        let (calls, _) = read(&file(&[(1, 1, Header), (1, 2, Trailer), (1, 3, late)]));
        assert_eq!(calls.len(), 1);
    }
}
