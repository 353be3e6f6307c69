//! The header lists of the latest blocks. Responses and trailers repeat byte for byte once the
//! HPACK table is warm; a block that comes again, with the table as it was, has its list already.

use crate::headers::HeaderList;
use crate::headers::message::{Message, Shape};

/// How many blocks are remembered: those of the calls that alternate on a connection.
const REMEMBERED: usize = 4;
/// A longer block has literals in it, and seldom comes again.
const LONGEST: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Lists {
    entries: [Entry; REMEMBERED],
    current: usize,
}

#[derive(Debug, Default)]
struct Entry {
    list: HeaderList,
    /// Empty if the block cannot be remembered.
    block: Vec<u8>,
    /// The state of the decoder's table that the block was decoded with.
    generation: u64,
    /// What the list was found to be.
    checked: Option<(Message, Shape)>,
}

impl Lists {
    /// Makes the list of this block the current one, if it is known.
    pub(super) fn recall(&mut self, block: &[u8], generation: u64) -> bool {
        let same = |entry: &Entry| entry.generation == generation && entry.block == block;
        match self.entries.iter().position(same) {
            Some(place) if !block.is_empty() => {
                self.current = place;
                true
            }
            _ => false,
        }
    }

    /// An empty list, which is the current one from now on.
    pub(super) fn fresh(&mut self) -> &mut HeaderList {
        self.current = self.current.wrapping_add(1) % REMEMBERED;
        let entry = self.entry();
        entry.block.clear();
        entry.checked = None;
        entry.list.clear();
        &mut entry.list
    }

    /// Remembers the block of the current list, which left the table as it was.
    pub(super) fn remember(&mut self, block: &[u8], generation: u64) {
        if block.len() <= LONGEST {
            let entry = self.entry();
            entry.block.extend_from_slice(block);
            entry.generation = generation;
        }
    }

    /// The current list.
    pub(super) fn current(&self) -> &HeaderList {
        const NONE: &HeaderList = &HeaderList::NONE;
        self.entries
            .get(self.current)
            .map_or(NONE, |entry| &entry.list)
    }

    /// What the current list was found to be, if it was checked as this kind of message.
    pub(super) fn checked(&self, message: Message) -> Option<Shape> {
        let (checked, shape) = self.entries.get(self.current)?.checked?;
        (checked == message).then_some(shape)
    }

    pub(super) fn set_checked(&mut self, message: Message, shape: Shape) {
        self.entry().checked = Some((message, shape));
    }

    fn entry(&mut self) -> &mut Entry {
        let [first, second, third, fourth] = &mut self.entries;
        match self.current {
            0 => first,
            1 => second,
            2 => third,
            _ => fourth,
        }
    }
}
