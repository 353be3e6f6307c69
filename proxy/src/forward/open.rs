//! A request's way onto a connection to its arm: its headers as the arm gets them, and as much of
//! its body as has come.

use cutover_wire::{End, FieldRef, HeaderList};

use super::Core;
use crate::call::{Place, Progress};
use crate::grpc::TimeoutText;

impl Core {
    /// Sends a call's request on this connection, as far as it has come.
    pub(super) fn open(&mut self, index: usize, id: usize) {
        let call = &mut self.calls[index];
        let Some(link) = self.links.get_mut(id).and_then(Option::as_mut) else {
            return;
        };
        let left = call.left(self.now).map(TimeoutText::new);
        let Some(kept) = call.kept.as_mut() else {
            return;
        };
        let body = match kept.body.is_empty() {
            true => Vec::new(),
            false => kept.take_body(call.attempt),
        };
        let chunks = std::mem::take(&mut kept.chunks);
        let last = match call.request {
            Progress::Ended => End::Last,
            _ => End::More,
        };
        let only = body.is_empty() && chunks.is_empty();
        let end = if only { last } else { End::More };
        call.sent_behind = link.written + link.engine.output().len() as u64;
        let authority = (!kept.has_authority).then(|| {
            call.method
                .table
                .manifest
                .arm(call.arm)
                .authority
                .as_bytes()
        });
        let text = call.trace.text(call.client_span);
        let fields = Onwards {
            head: &kept.head,
            timeout: left.as_ref().map(TimeoutText::as_bytes),
            traceparent: &text,
        };
        let opened = match authority {
            None => link.engine.open(fields.iter(), end),
            Some(authority) => link.engine.open(fields.with_authority(authority), end),
        };
        let Ok(stream) = opened else {
            // It was asked whether it could a moment ago.
            tracing::error!("a connection took no stream although it said it would");
            return;
        };
        link.calls.join(stream, index);
        call.upstream = Some(Place { link: id, stream });
        link.wake();
        let mut sent = 0;
        if !body.is_empty() {
            let queued = body.len();
            let gone = link.engine.send_data(stream, body.into(), last);
            sent = gone.unwrap_or(queued);
        }
        let most = chunks.len();
        for (at, chunk) in chunks.into_iter().enumerate() {
            let end = if at + 1 == most { last } else { End::More };
            // A new stream takes data, and a copy has no client that waits for credit.
            let _ = link.engine.send_data(stream, chunk, end);
        }
        if sent > 0 {
            self.request_left(index, sent);
        }
    }
}

/// A request's headers as they go to an arm.
struct Onwards<'a> {
    head: &'a HeaderList,
    /// Replaces the caller's.
    timeout: Option<&'a [u8]>,
    traceparent: &'a [u8],
}

impl<'a> Onwards<'a> {
    fn iter(&self) -> impl Iterator<Item = FieldRef<'a>> + use<'a> {
        let timeout = self.timeout;
        let replaced = self.head.iter().map(move |field| match timeout {
            Some(left) if field.name == b"grpc-timeout" => FieldRef::passing(field.name, left),
            _ => field,
        });
        replaced.chain(std::iter::once(FieldRef::passing(
            b"traceparent",
            self.traceparent,
        )))
    }

    /// With an `:authority`, where the client sent none.
    fn with_authority(&self, authority: &'a [u8]) -> Vec<FieldRef<'a>> {
        let mut fields: Vec<_> = self.iter().collect();
        let regular = fields.iter().position(|field| !field.is_pseudo());
        let authority = FieldRef::new(b":authority", authority);
        fields.insert(regular.unwrap_or(fields.len()), authority);
        fields
    }
}
