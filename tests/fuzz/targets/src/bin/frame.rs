//! The target `frame` as a libFuzzer binary.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oriel_fuzz::frame::run(data));
