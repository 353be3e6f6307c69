//! The engine as others see it: bytes cut anywhere, bytes that make no sense, and the `h2` crate as
//! a live peer on either side.
#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]

mod cuts;
mod differential;
mod differential_client;
mod drive;
mod frames;
mod hpack_peers;
mod peer_client;
mod peer_server;
mod tls;
