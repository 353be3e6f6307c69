//! The commands that talk to a running control plane over `cutover.v1.OperatorService`: what
//! stands where, and how to move it.

mod client;
mod explain;
mod json;
mod moves;
mod report;
pub(crate) mod scope;
mod status;
mod view;
mod weight;

pub(crate) use explain::run as explain;
pub(crate) use moves::{abort, pause, promote, resume};
pub(crate) use report::run as report;
pub(crate) use status::run as status;
pub(crate) use weight::run as weight;
