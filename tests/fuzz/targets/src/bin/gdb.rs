//! The target `gdb` as a libFuzzer binary.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oriel_fuzz::gdb::run(data));
