//! HTTP/2 (RFC 9113) and HPACK (RFC 7541) for relays, without I/O.
//!
//! A [`Connection`] is one end of a connection, as a server or as a client. It opens no socket,
//! reads no clock and starts no thread:
//!
//! ```text
//! bytes read ──▶ receive() ─▶ poll_event() ──▶ events    commands ──▶ output() ──▶ bytes to write
//! ```
//!
//! A turn of whoever owns the socket is: read once, [`Connection::receive`],
//! [`Connection::poll_event`] until it gives `None`, write what is in [`Connection::output`] once,
//! and poll again while [`Connection::wants_poll`] says so. A relay owns two kinds of
//! connections and carries the events of one over as commands to the other; `examples/relay.rs`
//! shows it whole.
//!
//! **Back-pressure.** Data is taken over as far as the peer's windows and [`Limits::output_bytes`]
//! let it out; the rest is queued, and [`Event::Sent`] tells when it left. A relay calls
//! [`Connection::release`] on the source for exactly what left the sink, so that a slow reader
//! stops the sender, and no more than a window is ever held for a stream.
//!
//! **Floods.** Every bound has a name in [`Limits`], every breach one in [`Rule`].
//!
//! What is absent on purpose: server push (refused), priorities (read and ignored), upgrades from
//! HTTP/1.1, timers (keep-alive and deadlines are the caller's, who has a clock).
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    warn(clippy::arithmetic_side_effects, clippy::indexing_slicing)
)]

mod abuse;
mod connection;
mod error;
mod event;
mod flow;
mod frame;
mod headers;
mod hpack;
mod input;
mod limits;
mod output;
mod stream;
mod streams;

pub use connection::{Connection, Role};
pub use error::{CommandError, ConnectionError, ErrorCode, Rule};
pub use event::{Cause, End, Event, StreamKey};
pub use frame::FrameKind;
pub use frame::settings::Settings;
pub use headers::{FieldRef, HeaderList, Sensitivity};
pub use hpack::encoder::Strings;
pub use limits::Limits;
pub use output::Output;
