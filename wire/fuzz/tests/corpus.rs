//! Every input that is kept in `corpus/` keeps the promises of its target.

use std::path::Path;

use cutover_wire::Role;
use cutover_wire_fuzz::{end, frames, hpack, relay};

fn check(target: &str, run: impl Fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    let mut inputs = 0;
    for file in std::fs::read_dir(corpus).unwrap() {
        run(&std::fs::read(file.unwrap().path()).unwrap());
        inputs += 1;
    }
    assert!(inputs > 10, "{target} has a corpus");
}

#[test]
fn frames_read_the_same_however_they_are_cut() {
    check("frames", frames::run);
}

#[test]
fn header_blocks_survive_being_written_again() {
    check("hpack", hpack::run);
}

#[test]
fn a_server_keeps_its_promises() {
    check("server", |data| end::run(Role::Server, data));
}

#[test]
fn a_client_keeps_its_promises() {
    check("client", |data| end::run(Role::Client, data));
}

#[test]
fn a_relay_loses_and_invents_nothing() {
    check("relay", relay::run);
}
