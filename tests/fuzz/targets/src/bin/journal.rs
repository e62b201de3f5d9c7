//! The target `journal` as a libFuzzer binary.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oriel_fuzz::journal::run(data));
