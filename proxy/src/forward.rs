//! Forward: connections to the arms, and the bodies that pass through them. HTTP/2 is hyper's
//! part; nothing outside this module and `accept` names it, so that another engine can take its
//! place.

mod body;
mod tap;
mod upstream;

pub(crate) use body::{AnswerBody, CopyBody, RequestBody, Watch, upstream_failure};
pub(crate) use tap::{AnswerTap, Chunks, Collected, RequestTap, RequestTaps, SharedTap};
pub(crate) use upstream::{ConnectError, Lease, SendError, Upstreams};
