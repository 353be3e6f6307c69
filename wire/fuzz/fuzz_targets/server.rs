//! A server whose peer sends any frames, and whose caller gives any commands: see
//! `cutover_wire_fuzz::end`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cutover_wire_fuzz::end::run(
    cutover_wire::Role::Server,
    data
));
