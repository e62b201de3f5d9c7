//! The target `kallsyms` as a libFuzzer binary.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oriel_fuzz::kallsyms::run(data));
