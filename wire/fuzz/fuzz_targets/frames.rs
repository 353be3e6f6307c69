//! Bytes in either role, cut anywhere: see `cutover_wire_fuzz::frames`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cutover_wire_fuzz::frames::run(data));
