//! Mirror: copies of calls, off the client's path, on a runtime of its own with connections,
//! memory and deadlines of its own. What happens here can't delay or fail a primary call.

mod misfit;
mod observation;
mod samples;
mod shadow;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cutover_compare::{Comparison, Method, Observation, Redaction, compare};
use cutover_manifest::{Arm, CompareRules, RouteTable, Weight};
use cutover_wire::HeaderList;
use http::HeaderMap;
use tokio::sync::oneshot;

use crate::call::Call;
use crate::route::{Copying, TraceContext};
use crate::shared::Taken;
use crate::taps::{Chunks, RequestEnd};

pub(crate) use misfit::Misfits;
pub(crate) use samples::Samples;
pub(crate) use shadow::{Shadow, run};

/// How two observations of one call are compared, the legacy's first; [`compare`] by default.
#[derive(Clone, Copy, Debug)]
pub struct Comparer(
    /// Called on the shadow runtime. Where it panics, the pair is counted as not compared.
    pub fn(&Method, &CompareRules, &Observation, &Observation, &Redaction) -> Comparison,
);

impl Default for Comparer {
    fn default() -> Comparer {
        Comparer(compare)
    }
}

/// Why a pair was not compared; the words of `not_compared` in reports.
pub(crate) type Reason = &'static str;

/// A call to be mirrored: its request, and where its answer will come from.
pub(crate) struct MirrorCall {
    pub(crate) table: Arc<RouteTable>,
    pub(crate) path: Box<str>,
    pub(crate) label: Arc<str>,
    /// As it went to the primary arm.
    pub(crate) head: HeaderList,
    pub(crate) has_authority: bool,
    pub(crate) weight: Weight,
    pub(crate) primary: Arm,
    pub(crate) trace: TraceContext,
    pub(crate) server_span: [u8; 8],
    /// As the caller set it. It counts anew for the copies, which start when the request is whole.
    pub(crate) timeout: Option<Duration>,
    pub(crate) copying: Copying,
    pub(crate) request: Chunks,
    pub(crate) end: RequestEnd,
    /// Ends without a value where the client went away.
    pub(crate) answer: oneshot::Receiver<Result<Answer, Reason>>,
}

impl MirrorCall {
    pub(crate) fn new(
        call: &Call,
        timeout: Option<Duration>,
        copying: Copying,
        request: Chunks,
        answer: oneshot::Receiver<Result<Answer, Reason>>,
    ) -> MirrorCall {
        let kept = call.kept.as_deref();
        MirrorCall {
            table: call.method.table.clone(),
            path: call.method.path.clone(),
            label: call.method.label.clone(),
            head: kept.map_or_else(HeaderList::new, |kept| kept.head.clone()),
            has_authority: kept.is_some_and(|kept| kept.has_authority),
            weight: call.method.route.weight,
            primary: call.arm,
            trace: call.trace,
            server_span: call.server_span,
            timeout,
            copying,
            request,
            end: RequestEnd::HalfClosed,
            answer,
        }
    }
}

/// What an arm answered, undecoded.
pub(crate) struct Answer {
    pub(crate) status: u32,
    pub(crate) headers: HeaderMap,
    pub(crate) trailers: HeaderMap,
    pub(crate) chunks: Vec<Bytes>,
    /// Holds the memory of `chunks` until the comparison is done.
    pub(crate) _taken: Taken,
    /// The answer was larger than the bounds; `chunks` are not whole.
    pub(crate) overflow: bool,
    pub(crate) duration: Duration,
}

impl Answer {
    /// Length of its messages with their prefixes, where they are whole.
    pub(crate) fn bytes(&self) -> Option<usize> {
        let length = || self.chunks.iter().map(Bytes::len).sum();
        (!self.overflow).then(length)
    }
}
