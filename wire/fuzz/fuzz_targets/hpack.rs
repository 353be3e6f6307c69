//! Header blocks, read, written and read again: see `cutover_wire_fuzz::hpack`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cutover_wire_fuzz::hpack::run(data));
