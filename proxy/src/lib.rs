//! The data plane. A call's way is the order of the modules:
//! `accept` → `route` → `forward` → `mirror` → `observe` → `report`.
//!
//! Accept, route and forward run on one `current_thread` runtime per core that share nothing but
//! the route table; mirroring has a runtime of its own, and so have reports and telemetry, and the
//! [`journal`] a thread, so that none of them can delay a primary call. The proxy decodes nothing on the call's path.

mod accept;
mod admin;
mod call;
mod forward;
mod grpc;
pub mod journal;
mod mirror;
mod observe;
mod proxy;
pub mod reflection;
mod report;
mod route;
mod shared;
mod spans;
mod taps;

#[cfg(any(test, fuzzing))]
pub use forward::fuzzing;
pub use mirror::Comparer;
pub use proxy::{Proxy, ProxyOptions, StartError};
