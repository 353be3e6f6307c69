//! HEADERS and CONTINUATION as they come (RFC 9113 sections 6.2, 6.10 and 8): blocks become lists,
//! lists become requests, responses and trailers.

use super::lists::Lists;
use super::{Acknowledged, Connection, Leaving, Notice, Role};
use crate::error::{Breach, Rule};
use crate::event::{End, StreamKey};
use crate::flow::{DEFAULT_WINDOW, ReceiveWindow, SendWindow};
use crate::frame::{END_HEADERS, END_STREAM, Head, padding};
use crate::headers::message::{self, Message, Shape};
use crate::stream::{Phase, Stream};
use crate::streams::Fate;

/// A header block that is not whole yet.
#[derive(Debug)]
pub(super) struct Block {
    opening: Opening,
    bytes: Vec<u8>,
    continuations: u32,
}

/// What the HEADERS frame of a block said.
#[derive(Clone, Copy, Debug)]
struct Opening {
    stream: u32,
    end: End,
    /// A rule that was broken already; the block is decoded all the same, for the table's sake.
    broken: Option<Rule>,
}

/// Whether a list was cut at the limit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Size {
    Whole,
    Cut,
}

impl Connection {
    pub(super) fn on_headers(
        &mut self,
        head: Head,
        payload: &[u8],
    ) -> Result<Option<Notice>, Breach> {
        if head.stream == 0 {
            return Err(Rule::NeedsStream.into());
        }
        let (fragment, broken) = padding::headers(head, payload)?;
        if fragment.len() > self.limits.header_block_bytes as usize {
            return Err(Rule::HeaderBlockTooLarge.into());
        }
        let end = if head.has(END_STREAM) {
            End::Last
        } else {
            End::More
        };
        let opening = Opening {
            stream: head.stream,
            end,
            broken,
        };
        if head.has(END_HEADERS) {
            return self.on_block(opening, fragment);
        }
        self.block = Some(Block {
            opening,
            bytes: fragment.to_vec(),
            continuations: 0,
        });
        Ok(None)
    }

    pub(super) fn on_continuation(
        &mut self,
        head: Head,
        payload: &[u8],
    ) -> Result<Option<Notice>, Breach> {
        let Some(mut block) = self.block.take() else {
            return Err(Rule::StrayContinuation.into());
        };
        if block.opening.stream != head.stream {
            return Err(Rule::BlockInterrupted.into());
        }
        block.continuations = block.continuations.saturating_add(1);
        if block.continuations > self.limits.continuations {
            return Err(Rule::ContinuationFlood.into());
        }
        let length = block.bytes.len().saturating_add(payload.len());
        if length > self.limits.header_block_bytes as usize {
            return Err(Rule::HeaderBlockTooLarge.into());
        }
        block.bytes.extend_from_slice(payload);
        if head.has(END_HEADERS) {
            return self.on_block(block.opening, &block.bytes);
        }
        self.block = Some(block);
        Ok(None)
    }

    fn on_block(&mut self, opening: Opening, block: &[u8]) -> Result<Option<Notice>, Breach> {
        let limit = self.limits.header_list_bytes as usize;
        let before = self.decoder.generation();
        if !self.lists.recall(block, before) {
            self.decoder.decode(block, self.lists.fresh(), limit)?;
            if self.decoder.generation() == before {
                self.lists.remember(block, before);
            }
        }
        let size = match self.lists.current().size_bytes() > limit {
            true => Size::Cut,
            false => Size::Whole,
        };
        let Opening {
            stream: id, end, ..
        } = opening;
        if self.role == Role::Server && id > self.latest_peer {
            return self.on_request(opening, size);
        }
        match self.streams.find(id) {
            Some(key) => match opening.broken {
                Some(rule) => Err(Breach::Stream(rule)),
                None => self.on_more_fields(key, end, size),
            },
            None if self.is_idle(id) => Err(Rule::StreamId.into()),
            None => match self.streams.fate(id) {
                Fate::Reset => Ok(None),
                Fate::Ended if self.role == Role::Server => Err(Rule::StreamClosed.into()),
                // A mistake on one stream need not end a server's answers on all others.
                Fate::Ended | Fate::Forgotten => Err(Breach::Stream(Rule::StreamClosed)),
            },
        }
    }

    /// Fields that open a stream (RFC 9113 section 8.3.1).
    fn on_request(&mut self, opening: Opening, size: Size) -> Result<Option<Notice>, Breach> {
        let Opening {
            stream: id,
            end,
            broken,
        } = opening;
        if id.is_multiple_of(2) {
            return Err(Rule::StreamId.into());
        }
        self.latest_peer = id;
        if let Some(rule) = broken {
            return Err(Breach::Stream(rule));
        }
        if self.leaving == Leaving::Final {
            return Err(Breach::Stream(Rule::GoingAway));
        }
        if self.streams.len() >= self.limits.concurrent_streams as usize {
            return Err(Breach::Stream(Rule::StreamRefused));
        }
        let shape = checked(&mut self.lists, Message::Request)?;
        let mut stream = self.new_stream(id);
        receive_head(&mut stream, shape, end).map_err(Breach::Stream)?;
        let stream = self.streams.insert(stream);
        self.abuse.stream_opened();
        Ok(Some(match size {
            Size::Whole => Notice::Headers { stream, end },
            Size::Cut => Notice::TooLarge { stream, end },
        }))
    }

    /// A stream of this number in its first state.
    pub(super) fn new_stream(&self, id: u32) -> Stream {
        let window = self.limits.stream_window_bytes;
        let window = match self.acknowledged {
            Acknowledged::Yes => window,
            // The peer may not have heard of a smaller one.
            Acknowledged::NotYet => window.max(DEFAULT_WINDOW),
        };
        Stream {
            id,
            send_window: SendWindow::new(self.peer.stream_window),
            receive_window: ReceiveWindow::new(window),
            ..Stream::default()
        }
    }

    /// Fields on a stream that is open: a response, or trailers.
    fn on_more_fields(
        &mut self,
        key: StreamKey,
        end: End,
        size: Size,
    ) -> Result<Option<Notice>, Breach> {
        let Some(stream) = self.streams.get_mut(key) else {
            return Ok(None);
        };
        if stream.receive == Phase::Done {
            return Err(Breach::Stream(Rule::StreamClosed));
        }
        if size == Size::Cut {
            return Err(Breach::Stream(Rule::HeaderListTooLarge));
        }
        let notice = if stream.receive == Phase::Head {
            let shape = checked(&mut self.lists, Message::Response)?;
            if shape.interim {
                if end == End::Last {
                    return Err(Breach::Stream(Rule::InterimEnds));
                }
                self.abuse.interim_responses()?;
                return Ok(Some(Notice::Interim { stream: key }));
            }
            receive_head(stream, shape, end).map_err(Breach::Stream)?;
            Notice::Headers { stream: key, end }
        } else {
            if end == End::More {
                return Err(Breach::Stream(Rule::TrailersNotLast));
            }
            checked(&mut self.lists, Message::Trailers)?;
            if !stream.count_content(0, End::Last) {
                return Err(Breach::Stream(Rule::ContentLength));
            }
            stream.receive = Phase::Done;
            Notice::Trailers { stream: key }
        };
        if stream.is_closed() {
            self.ended(key);
        }
        Ok(Some(notice))
    }
}

/// Checks the current list, unless that was done when the same block came before.
fn checked(lists: &mut Lists, message: Message) -> Result<Shape, Breach> {
    if let Some(shape) = lists.checked(message) {
        return Ok(shape);
    }
    let shape = message::check(lists.current(), message).map_err(Breach::Stream)?;
    lists.set_checked(message, shape);
    Ok(shape)
}

/// Takes over what a head says of the content that follows it.
fn receive_head(stream: &mut Stream, shape: Shape, end: End) -> Result<(), Rule> {
    stream.receive = match end {
        End::More => Phase::Body,
        End::Last => Phase::Done,
    };
    if shape.no_content || stream.head_request {
        return Ok(());
    }
    stream.expected = shape.content_length;
    if stream.count_content(0, end) {
        Ok(())
    } else {
        Err(Rule::ContentLength)
    }
}
