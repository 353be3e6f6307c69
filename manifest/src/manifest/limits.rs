//! `spec.limits`: the proxy's named bounds.

use std::time::Duration;

use crate::raw::{RawDuration, RawLimits, RawSize, RawTimeout};

/// Named bounds of the proxy, with safe defaults. Those on clients' connections are looked at once a
/// second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Streams that one client connection may have open; default 1,000.
    pub max_concurrent_streams: u32,
    /// Size of a header list; default 64 KiB.
    pub max_header_list_bytes: usize,
    /// A larger message is forwarded but not compared; default 4 MiB.
    pub max_compared_message_bytes: usize,
    /// Calls that wait to be mirrored; beyond it they are dropped and counted; default 1,024.
    pub mirror_queue: usize,
    /// Memory of all mirrored calls together; default 128 MiB.
    pub mirror_memory_bytes: usize,
    /// Longest life of a shadow call; default 10 s.
    pub mirror_deadline: Duration,
    /// Longest wait for a connection to an arm; default 1 s.
    pub connect_timeout: Duration,
    /// Longest wait for calls in flight at shutdown; default 10 s.
    pub shutdown_grace: Duration,
    /// How long a client may take over its greeting, or over one header block, before its connection
    /// is closed; default 10 s.
    pub header_timeout: Duration,
    /// How long a client may say nothing before it is asked by PING whether it lives; default 30 s.
    pub keepalive_time: Duration,
    /// How long it may take to answer before its connection is closed; default 10 s.
    pub keepalive_timeout: Duration,
    /// How long an answer may wait for a client that takes nothing of it before the call is
    /// cancelled; default 5 min.
    pub stuck_timeout: Duration,
    /// Age, give or take a tenth, at which a client's connection is sent GOAWAY, so that clients
    /// spread over proxies anew; default none.
    pub max_connection_age: Option<Duration>,
    /// How long calls may then go on before they end with UNAVAILABLE; default as long as they like.
    pub max_connection_age_grace: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_concurrent_streams: 1_000,
            max_header_list_bytes: 64 << 10,
            max_compared_message_bytes: 4 << 20,
            mirror_queue: 1_024,
            mirror_memory_bytes: 128 << 20,
            mirror_deadline: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(1),
            shutdown_grace: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            keepalive_time: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(10),
            stuck_timeout: Duration::from_secs(300),
            max_connection_age: None,
            max_connection_age_grace: None,
        }
    }
}

impl From<RawLimits> for Limits {
    fn from(raw: RawLimits) -> Self {
        let default = Limits::default();
        let size = |given: Option<RawSize>, default| given.map_or(default, |size| size.0);
        let time = |given: Option<RawDuration>, default| given.map_or(default, |time| time.0);
        let above_0 = |given: Option<RawTimeout>, default| given.map_or(default, |time| time.0);
        Limits {
            max_concurrent_streams: raw
                .max_concurrent_streams
                .unwrap_or(default.max_concurrent_streams),
            max_header_list_bytes: size(raw.max_header_list_bytes, default.max_header_list_bytes),
            max_compared_message_bytes: size(
                raw.max_compared_message_bytes,
                default.max_compared_message_bytes,
            ),
            mirror_queue: raw.mirror_queue.unwrap_or(default.mirror_queue),
            mirror_memory_bytes: size(raw.mirror_memory, default.mirror_memory_bytes),
            mirror_deadline: time(raw.mirror_deadline, default.mirror_deadline),
            connect_timeout: time(raw.connect_timeout, default.connect_timeout),
            shutdown_grace: time(raw.shutdown_grace, default.shutdown_grace),
            header_timeout: above_0(raw.header_timeout, default.header_timeout),
            keepalive_time: above_0(raw.keepalive_time, default.keepalive_time),
            keepalive_timeout: above_0(raw.keepalive_timeout, default.keepalive_timeout),
            stuck_timeout: above_0(raw.stuck_timeout, default.stuck_timeout),
            max_connection_age: raw.max_connection_age.map(|age| age.0),
            max_connection_age_grace: raw.max_connection_age_grace.map(|grace| grace.0),
        }
    }
}
