//! The gazetteer in Rust: the candidate arm, as a library so that it can be wrapped.
//!
//! A call goes `server → calls → service → domain` (answers from memory) or `→ store` (answers
//! from the database); `errors` makes every status, `telemetry` every span.

mod allocator;
mod calls;
pub mod config;
pub mod domain;
pub mod errors;
pub mod server;
pub mod service;
pub mod store;
pub mod telemetry;
