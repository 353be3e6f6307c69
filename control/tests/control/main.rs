//! A real control plane over real sockets: a proxy, an exporter and an operator that are played.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod decisions;
mod gate;
mod held;
mod notify;
mod operator;
mod otlp;
mod otlp_http;
mod otlp_load;
mod postgres;
mod ramp;
mod reload;
mod replicas;
mod store;
mod support;
