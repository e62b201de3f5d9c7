//! Replays the corpus: what a fuzzer has found once is tried in every run of the tests.

use std::{fs, path::PathBuf};

use oriel_fuzz::{TARGETS, seeds};

/// The files of a target, with what is in them.
fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    let entries = fs::read_dir(&folder).expect("each target has a corpus");
    let files = entries.map(|entry| entry.expect("a file").path());
    let read = |file: PathBuf| {
        (
            file.clone(),
            fs::read(file).expect("a file that can be read"),
        )
    };
    files.map(read).collect()
}

#[test]
fn every_input_of_the_corpus_keeps_every_promise() {
    for (target, run) in TARGETS {
        let files = corpus(target);
        assert!(!files.is_empty(), "{target}");
        for (file, bytes) in files {
            eprintln!("{}", file.display());
            run(&bytes);
        }
    }
}

#[test]
fn inputs_that_are_cut_anywhere_keep_them_too() {
    for seed in seeds::all() {
        let run = TARGETS.iter().find(|(name, _)| *name == seed.target);
        let (_, run) = run.expect("a seed is for a target");
        for length in 0..seed.bytes.len() {
            run(&seed.bytes[..length]);
        }
    }
}

#[test]
fn the_conversations_are_in_the_corpus_as_the_codec_writes_them_now() {
    for seed in seeds::all() {
        let files = corpus(seed.target);
        let kept = files.iter().find(|(file, _)| file.ends_with(&seed.file));
        let kept = kept.map(|(_, bytes)| bytes.as_slice());
        assert!(
            kept == Some(&*seed.bytes),
            "{}/{} is another: run `cargo run -p oriel-fuzz --example seeds`",
            seed.target,
            seed.file
        );
    }
}
