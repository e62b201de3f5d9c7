//! Writes the conversations of `oriel_fuzz::seeds` into the corpus, over those that are there.

use std::{fs, io, path::Path};

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for seed in oriel_fuzz::seeds::all() {
        let folder = corpus.join(seed.target);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(seed.file), seed.bytes)?;
    }
    Ok(())
}
