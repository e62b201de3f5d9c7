//! Compiling C sources to a core module: bindings from the WIT of a world, clang, wasm-ld. There is no C
//! library: what the bindings need of one, the sources bring.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use wit_bindgen_core::{Files, wit_parser::Resolve};

use crate::child;

/// Programs that are needed, and the Debian packages that have them.
pub const PROGRAMS: [(&str, &str); 2] = [("clang", "clang"), ("wasm-ld", "lld")];

/// Code of at most this size for the stack, below everything else: what overflows it traps.
const STACK: &str = "-Wl,--stack-first,-z,stack-size=65536";

/// A policy in C.
#[derive(Debug)]
pub struct Sources {
    /// The directory with the world: `world.wit`, and in `deps` the packages that it names.
    pub wit: PathBuf,
    /// What is compiled.
    pub sources: Vec<PathBuf>,
    /// Where headers are.
    pub include: PathBuf,
    /// Where to work.
    pub work: PathBuf,
}

/// Compiles it and gives the bytes of its module. What the compiler says goes to stderr.
///
/// # Errors
/// If a program is missing, the world cannot be understood, or the compiler does not succeed.
pub fn module(policy: &Sources) -> Result<Vec<u8>> {
    let missing = missing();
    ensure!(
        missing.is_none(),
        "C needs {}, which is not here: install what Debian calls {}",
        missing.map_or("", |(program, _)| program),
        PROGRAMS.map(|(_, package)| package).join(" and ")
    );
    fs::create_dir_all(&policy.work)
        .with_context(|| format!("{} cannot be made", policy.work.display()))?;
    let generated = bindings(&policy.wit, &policy.work)?;
    let module = policy.work.join("module.wasm");
    child::run(&mut compile(policy, &generated, &module))
        .context("it does not compile; what the compiler says stands above")?;
    fs::read(&module).with_context(|| format!("reading {}", module.display()))
}

/// The first program that is not here, if any.
pub fn missing() -> Option<(&'static str, &'static str)> {
    let is_missing = |(program, _): &(&str, &str)| child::find(program).is_none();
    PROGRAMS.into_iter().find(is_missing)
}

/// Writes the bindings; answers with what is to be compiled or linked of them.
fn bindings(wit: &Path, into: &Path) -> Result<Vec<PathBuf>> {
    let mut resolve = Resolve::default();
    let understood = || format!("the world in {} cannot be understood", wit.display());
    let (package, _) = resolve.push_dir(wit).with_context(understood)?;
    let world = resolve
        .select_world(&[package], None)
        .with_context(understood)?;
    let mut files = Files::default();
    let options = wit_bindgen_c::Opts {
        rename_world: Some("policy".into()),
        ..wit_bindgen_c::Opts::default()
    };
    options
        .build()
        .generate(&mut resolve, world, &mut files)
        .context("generating the bindings")?;
    let mut units = Vec::new();
    for (name, bytes) in files.iter() {
        let path = into.join(name);
        fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))?;
        if !name.ends_with(".h") {
            units.push(path);
        }
    }
    Ok(units)
}

fn compile(policy: &Sources, generated: &[PathBuf], module: &Path) -> Command {
    let mut clang = Command::new("clang");
    clang
        .args([
            "--target=wasm32-unknown-unknown",
            "-std=c17",
            "-O2",
            "-Wall",
        ])
        .args([
            "-ffreestanding",
            "-fno-builtin",
            "-nostdlib",
            "-Wl,--no-entry",
            STACK,
        ])
        .arg("-I")
        .arg(&policy.include)
        .arg("-I")
        .arg(&policy.work)
        .args(&policy.sources)
        .args(generated)
        .arg("-o")
        .arg(module);
    clang
}
