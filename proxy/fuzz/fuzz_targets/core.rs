//! One core of the proxy between hostile clients and hostile arms: see `cutover_proxy::fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cutover_proxy::fuzzing::run(data));
