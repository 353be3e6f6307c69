//! The bytes that came: cut into frames, whichever way reads have cut them. A frame that lies whole
//! in what was read is used where it lies; the pieces of a divided one are joined.

use bytes::Bytes;

use crate::error::Rule;
use crate::frame::{FrameKind, HEAD_BYTES, Head};

#[derive(Debug, Default)]
pub(crate) struct Input {
    /// What was read last, and how much of it is done.
    chunk: Bytes,
    done: usize,
    /// The beginning of a frame whose end has not come.
    partial: Vec<u8>,
}

/// One whole frame. `payload` is a place in `bytes`, so that DATA is shared and all else borrowed.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) head: Head,
    pub(crate) bytes: Bytes,
    start: usize,
    end: usize,
}

impl Frame {
    pub(crate) fn payload(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// A part of the payload, sharing its memory.
    pub(crate) fn share(&self, part: std::ops::Range<usize>) -> Bytes {
        let start = self.start.saturating_add(part.start);
        let end = self.start.saturating_add(part.end);
        if start >= end || end > self.end {
            return Bytes::new();
        }
        self.bytes.slice(start..end)
    }
}

impl Input {
    /// Takes over what was read. What is left of an earlier read is joined with it.
    pub(crate) fn push(&mut self, chunk: Bytes) {
        let rest = self.chunk.get(self.done..).unwrap_or_default();
        if rest.is_empty() {
            self.chunk = chunk;
        } else {
            self.chunk = [rest, &chunk].concat().into();
        }
        self.done = 0;
    }

    /// Takes `wanted`, which must come next; `None` while it has not come whole.
    pub(crate) fn take_exactly(&mut self, wanted: &[u8]) -> Option<Result<(), Rule>> {
        let missing = wanted.get(self.partial.len()..).unwrap_or_default();
        let rest = self.chunk.get(self.done..).unwrap_or_default();
        let common = rest
            .get(..missing.len().min(rest.len()))
            .unwrap_or_default();
        if !missing.starts_with(common) {
            return Some(Err(Rule::Preface));
        }
        self.done = self.done.saturating_add(common.len());
        if common.len() == missing.len() {
            self.partial.clear();
            return Some(Ok(()));
        }
        self.partial.extend_from_slice(common);
        None
    }

    /// The next whole frame. [`Input::give_back`] must follow before the next call.
    pub(crate) fn next(&mut self, limit: u32) -> Result<Option<Frame>, (Rule, Head)> {
        if !self.partial.is_empty() {
            return self.join(limit);
        }
        let rest = self.chunk.get(self.done..).unwrap_or_default();
        let Some(head) = Head::parse(rest) else {
            self.keep_rest();
            return Ok(None);
        };
        check_length(head, limit)?;
        let start = self.done.saturating_add(HEAD_BYTES);
        let end = start.saturating_add(head.length as usize);
        if end > self.chunk.len() {
            self.keep_rest();
            return Ok(None);
        }
        self.done = end;
        Ok(Some(Frame {
            head,
            bytes: std::mem::take(&mut self.chunk),
            start,
            end,
        }))
    }

    /// Whether a divided frame is HEADERS or CONTINUATION, as far as one can tell.
    pub(crate) fn is_amid_headers(&self) -> bool {
        let kind = self.partial.get(3).map(|kind| FrameKind(*kind));
        matches!(kind, Some(FrameKind::HEADERS | FrameKind::CONTINUATION))
    }

    /// Takes back the memory in which a frame lay.
    pub(crate) fn give_back(&mut self, frame: Frame) {
        // A joined frame has memory of its own; the chunk is then still here.
        if self.chunk.is_empty() && self.done < frame.bytes.len() {
            self.chunk = frame.bytes;
        }
    }

    /// Takes back a frame that lay whole in what was read, as if it had not been asked for.
    pub(crate) fn take_back(&mut self, frame: Frame) {
        self.done = frame.start.saturating_sub(HEAD_BYTES);
        self.chunk = frame.bytes;
    }

    /// Whether a frame of this kind follows the one that was taken.
    pub(crate) fn is_next(&self, kind: FrameKind, taken: &Frame) -> bool {
        let chunk = match self.chunk.is_empty() {
            true => &taken.bytes,
            false => &self.chunk,
        };
        chunk.get(self.done.saturating_add(3)) == Some(&kind.0)
    }

    /// Lets go of the chunk, so that its reader can use the memory again.
    fn keep_rest(&mut self) {
        let rest = self.chunk.get(self.done..).unwrap_or_default();
        self.partial.extend_from_slice(rest);
        self.drop_chunk();
    }

    fn drop_chunk(&mut self) {
        self.chunk = Bytes::new();
        self.done = 0;
    }

    /// Moves bytes from the chunk until the partial frame has `wanted` of them.
    fn fill(&mut self, wanted: usize) -> bool {
        let missing = wanted.saturating_sub(self.partial.len());
        let rest = self.chunk.get(self.done..).unwrap_or_default();
        let part = rest.get(..missing.min(rest.len())).unwrap_or_default();
        self.partial.extend_from_slice(part);
        self.done = self.done.saturating_add(part.len());
        part.len() == missing
    }

    fn join(&mut self, limit: u32) -> Result<Option<Frame>, (Rule, Head)> {
        if !self.fill(HEAD_BYTES) {
            self.drop_chunk();
            return Ok(None);
        }
        let Some(head) = Head::parse(&self.partial) else {
            return Ok(None);
        };
        check_length(head, limit)?;
        let end = HEAD_BYTES.saturating_add(head.length as usize);
        if !self.fill(end) {
            self.drop_chunk();
            return Ok(None);
        }
        let bytes = Bytes::from(std::mem::take(&mut self.partial));
        Ok(Some(Frame {
            head,
            bytes,
            start: HEAD_BYTES,
            end,
        }))
    }
}

fn check_length(head: Head, limit: u32) -> Result<(), (Rule, Head)> {
    if head.length > limit {
        Err((Rule::FrameTooLarge, head))
    } else {
        Ok(())
    }
}
