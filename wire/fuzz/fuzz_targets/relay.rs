//! A relay between a caller and an arm: see `cutover_wire_fuzz::relay`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cutover_wire_fuzz::relay::run(data));
