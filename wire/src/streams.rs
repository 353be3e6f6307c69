//! The streams of a connection: slots that are used again, an index from numbers to slots, and a
//! memory of which streams we reset, because the peer's frames for those may still be on their way.

mod index;
mod resets;

use crate::event::StreamKey;
use crate::stream::Stream;

pub(crate) use resets::Fate;

#[derive(Debug, Default)]
pub(crate) struct Streams {
    slots: Vec<Stream>,
    free: Vec<u32>,
    index: index::Index,
    resets: resets::Resets,
}

impl Streams {
    /// How many slots are taken: open streams, and closed ones of which credit is held.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    pub(crate) fn insert(&mut self, stream: Stream) -> StreamKey {
        let id = stream.id;
        let slot = match self.free.pop() {
            Some(slot) => {
                if let Some(place) = self.slots.get_mut(slot as usize) {
                    *place = stream;
                }
                slot
            }
            None => {
                self.slots.push(stream);
                (self.slots.len() as u32).saturating_sub(1)
            }
        };
        self.index.insert(id, slot);
        self.resets.opened(id);
        StreamKey { id, slot }
    }

    pub(crate) fn get_mut(&mut self, key: StreamKey) -> Option<&mut Stream> {
        self.slots
            .get_mut(key.slot as usize)
            .filter(|stream| stream.id == key.id && key.id != 0)
    }

    pub(crate) fn find(&self, id: u32) -> Option<StreamKey> {
        self.index.get(id).map(|slot| StreamKey { id, slot })
    }

    /// Takes a stream out; gives the credit that was held for it.
    pub(crate) fn remove(&mut self, key: StreamKey) -> u32 {
        let Some(stream) = self.get_mut(key) else {
            return 0;
        };
        let held = stream.held;
        stream.id = 0;
        // The rest is written over by the next stream; what is queued is let go now.
        if !stream.queue.is_empty() {
            stream.queue = Default::default();
        }
        self.index.remove(key.id);
        self.free.push(key.slot);
        held
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (StreamKey, &mut Stream)> {
        let slots = self
            .slots
            .iter_mut()
            .enumerate()
            .filter(|(_, stream)| stream.id != 0);
        slots.map(|(slot, stream)| {
            (
                StreamKey {
                    id: stream.id,
                    slot: slot as u32,
                },
                stream,
            )
        })
    }

    /// Takes note that we reset this stream.
    pub(crate) fn note_reset(&mut self, id: u32) {
        self.resets.note(id);
    }

    /// What became of a stream that is no longer here.
    pub(crate) fn fate(&self, id: u32) -> Fate {
        self.resets.fate(id)
    }

    /// Gives unused memory back.
    pub(crate) fn trim(&mut self) {
        if self.len() == 0 {
            self.slots = Vec::new();
            self.free = Vec::new();
            self.index = index::Index::default();
        }
    }
}
