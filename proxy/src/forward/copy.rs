//! Copies of calls: calls like others, whose answers go to whoever compares instead of a client.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use cutover_manifest::{Arm, Role};
use cutover_wire::{FieldRef, StreamKey};
use tokio::sync::oneshot;

use super::Core;
use crate::call::{Attempt, Call, Kept, Place, Progress};
use crate::mirror::{Answer, MirrorCall, Reason};
use crate::route;
use crate::taps::{Chunks, RequestEnd, Taps};

/// No client: what would go to it is only collected.
const NOBODY: Place = Place {
    link: usize::MAX,
    stream: StreamKey { id: 0, slot: 0 },
};

/// A copy under way; dropping it cancels the copy.
pub(crate) struct SentCopy {
    core: Rc<RefCell<Core>>,
    call: usize,
    serial: u32,
}

impl Core {
    /// Sends a copy to an arm; `to` is told what came of it, unless the copy is dropped before.
    pub(crate) fn send_copy(
        this: &Rc<RefCell<Core>>,
        call: &MirrorCall,
        (arm, role): (Arm, Role),
        deadline: Instant,
        span: [u8; 8],
        collected: Chunks,
        to: oneshot::Sender<Result<Answer, Reason>>,
    ) -> Option<SentCopy> {
        let core = &mut *this.borrow_mut();
        core.begin(Instant::now());
        let path = FieldRef::new(b":path", call.path.as_bytes());
        let Some(method) = core.methods.find(&core.shared, path) else {
            // Whoever waits has the reason from the other end.
            let _ = to.send(Err("connect"));
            return None;
        };
        let mut kept = Box::new(Kept {
            head: call.head.clone(),
            has_authority: call.has_authority,
            chunks: call.request.chunks.clone(),
            ..Kept::default()
        });
        route::mark_role(&mut kept.head, role);
        if call.timeout.is_none() {
            // The deadline takes its place.
            kept.head.push(b"grpc-timeout", b"0n");
        }
        let serial = core.next_serial();
        let index = core.calls.insert(Call {
            serial,
            client: NOBODY,
            upstream: None,
            method,
            arm,
            role,
            started: core.now,
            deadline: Some(deadline),
            trace: call.trace,
            server_span: call.server_span,
            client_span: span,
            request: match call.end {
                RequestEnd::HalfClosed => Progress::Ended,
                // The client might have had more to say: the stream stays open.
                RequestEnd::Cut => Progress::Begun,
            },
            answer: Progress::Awaited,
            status: None,
            owed: 0,
            unsent: 0,
            stuck_since: core.now,
            sent_behind: 0,
            attempt: Attempt::First,
            kept: Some(kept),
            taps: Some(Taps::copy(collected, to)),
        });
        core.clock.add(deadline, index, serial, &core.calls);
        if let Err(failure) = core.place(index) {
            core.fail_and_finish(index, &failure);
        }
        Some(SentCopy {
            core: this.clone(),
            call: index,
            serial,
        })
    }
}

impl Drop for SentCopy {
    fn drop(&mut self) {
        let core = &mut *self.core.borrow_mut();
        let call = core.calls.get(self.call);
        if call.is_some_and(|call| call.serial == self.serial) {
            core.cancel(self.call);
            core.dispatch();
        }
    }
}
