//! What is kept of a primary call from its start to its end, and done with it then: counted,
//! traced, and handed to the comparison.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use cutover_manifest::{Arm, Role, Weight};
use tokio::sync::oneshot;

use crate::call::Core;
use crate::mirror::Answer;
use crate::observe::Ended;
use crate::route::TraceContext;
use crate::spans::CallSpan;

/// One primary call.
pub(crate) struct Record {
    pub(crate) core: Rc<Core>,
    pub(crate) epoch: u64,
    pub(crate) label: Arc<str>,
    pub(crate) weight: Weight,
    pub(crate) arm: Arm,
    pub(crate) started: Instant,
    pub(crate) trace: TraceContext,
    pub(crate) server_span: [u8; 8],
    pub(crate) client_span: [u8; 8],
    /// Where the comparison waits for the answer, where the call is mirrored.
    pub(crate) answer: Option<oneshot::Sender<Answer>>,
}

impl Record {
    /// Ends the record. `answer` is absent where the client went away first.
    pub(crate) fn end(&mut self, status: u32, answer: Option<Answer>) {
        self.count(self.arm, status);
        if self.trace.sampled {
            let spans = &self.core.shared.spans;
            let span = |id, parent, role| CallSpan {
                trace: &self.trace,
                id,
                parent,
                method: &self.label,
                arm: self.arm,
                role,
                status,
                started: self.trace.at,
                duration: self.started.elapsed(),
            };
            spans.client(&span(
                self.client_span,
                Some(self.server_span),
                Role::Primary,
            ));
            spans.server(&span(self.server_span, self.trace.parent, Role::Primary));
        }
        if let (Some(to), Some(answer)) = (self.answer.take(), answer) {
            // The comparison may have given up already; it has counted that itself.
            let _ = to.send(answer);
        }
    }

    /// Counts an ended call of `arm`.
    pub(crate) fn count(&self, arm: Arm, status: u32) {
        self.core.stats.borrow_mut().ended(&Ended {
            epoch: self.epoch,
            method: &self.label,
            weight: self.weight,
            arm,
            role: Role::Primary,
            status,
            duration: Some(self.started.elapsed()),
        });
    }
}
