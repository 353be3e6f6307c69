//! Mirror: copies of calls, off the client's path, on a runtime of its own with connections,
//! memory and deadlines of its own. What happens here can't delay or fail a primary call.

mod observation;
mod samples;
mod shadow;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cutover_manifest::{Arm, RouteTable, Weight};
use http::{HeaderMap, Uri};
use tokio::sync::oneshot;

use crate::forward::Collected;
use crate::route::{Copying, TraceContext};
use crate::shared::Taken;

pub(crate) use samples::Samples;
pub(crate) use shadow::{Shadow, run};

/// Why a pair was not compared; the words of `not_compared` in reports.
pub(crate) type Reason = &'static str;

/// A call to be mirrored: its request, and where its answer will come from.
pub(crate) struct MirrorCall {
    pub(crate) table: Arc<RouteTable>,
    pub(crate) label: Arc<str>,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) weight: Weight,
    pub(crate) primary: Arm,
    pub(crate) trace: TraceContext,
    pub(crate) server_span: [u8; 8],
    /// As the caller set it. It counts anew for the copies, which start when the request is whole.
    pub(crate) timeout: Option<Duration>,
    pub(crate) copying: Copying,
    pub(crate) request: Collected,
    /// Ends without a value where the client went away.
    pub(crate) answer: oneshot::Receiver<Answer>,
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
