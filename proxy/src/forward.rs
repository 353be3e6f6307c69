//! Forward: connections to the arms, and the bodies that pass through them. HTTP/2 is hyper's
//! part; nothing outside this module and `accept` names it, so that another engine can take its
//! place.

mod body;
mod upstream;

pub(crate) use body::{
    AnswerBody, AnswerTap, Collected, Overflow, RequestBody, RequestTap, RequestTaps, Watch,
    upstream_failure,
};
pub(crate) use upstream::{ConnectError, Lease, SendError, Upstreams};
