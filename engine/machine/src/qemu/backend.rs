//! The file behind guest RAM: finds it by what the monitor says and among what QEMU has open, and
//! makes sure that it is the one.

use std::{
    fs,
    path::{Path, PathBuf},
    str::FromStr,
};

use serde_json::{Value, json};

use super::{
    blocks::Block,
    gdb::Gdb,
    memory::Source,
    qmp::Qmp,
    ram::{Ram, RamError},
};

/// How many places of RAM are compared with what the guest sees.
const SAMPLES: u64 = 64;
const SAMPLE: usize = 64;
/// How often a place is looked at that changes meanwhile, and how often it has to differ while it
/// does not.
const LOOKS: u32 = 32;
const ENOUGH: u32 = 3;

/// How guest memory is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RamChoice {
    /// In the memory backend that QEMU has, if it is shared; else by gdb, with a warning.
    #[default]
    Auto,
    /// By gdb, whatever there is.
    Gdb,
    /// In this file.
    File(PathBuf),
}

impl FromStr for RamChoice {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "auto" => Self::Auto,
            "gdb" => Self::Gdb,
            path => Self::File(path.into()),
        })
    }
}

/// Who says what the guest sees, for a file to be compared with.
pub(super) trait Witness {
    /// Fills `to` with physical memory.
    fn see(&mut self, qmp: &mut Qmp, gpa: u64, to: &mut [u8]) -> Result<(), RamError>;
}

/// The stub, whose world stands.
impl Witness for Gdb {
    fn see(&mut self, _: &mut Qmp, gpa: u64, to: &mut [u8]) -> Result<(), RamError> {
        let read = self.read_memory(gpa, to);
        read.map_err(|error| RamError::Missing(error.to_string()))
    }
}

/// The monitor, which stops nothing.
pub(super) struct Monitor;

impl Witness for Monitor {
    fn see(&mut self, qmp: &mut Qmp, gpa: u64, to: &mut [u8]) -> Result<(), RamError> {
        let read = qmp.read_memory(gpa, to);
        read.map_err(|error| RamError::Missing(error.to_string()))
    }
}

/// Where reads go.
pub(super) fn source(
    choice: &RamChoice,
    blocks: &[Block],
    qmp: &mut Qmp,
    gdb: &mut Gdb,
) -> Result<Source, RamError> {
    let by_gdb = || Source::Gdb(blocks.to_vec());
    match choice {
        RamChoice::Gdb => Ok(by_gdb()),
        RamChoice::File(path) => named(path, blocks, qmp, gdb).map(Source::File),
        RamChoice::Auto => Ok(match find(blocks, qmp, gdb) {
            Ok(ram) => Source::File(ram),
            Err(error) => {
                tracing::warn!(
                    reason = words(&error),
                    "guest memory is read by gdb, which is slow"
                );
                by_gdb()
            }
        }),
    }
}

/// The RAM in a file that somebody has named.
pub(super) fn named(
    path: &Path,
    blocks: &[Block],
    qmp: &mut Qmp,
    witness: &mut dyn Witness,
) -> Result<Ram, RamError> {
    let main = of_region(blocks, main_region(blocks));
    open(path, main, qmp, witness)
}

fn words(error: &RamError) -> String {
    let cause = std::error::Error::source(error);
    cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

/// The region that most RAM is in.
fn main_region(blocks: &[Block]) -> &str {
    let bytes = |region: &str| -> u64 {
        let mine = blocks.iter().filter(|block| block.region == region);
        mine.map(|block| block.length).sum()
    };
    let main = blocks.iter().max_by_key(|block| bytes(&block.region));
    main.map_or("", |block| block.region.as_str())
}

fn of_region(blocks: &[Block], region: &str) -> Vec<Block> {
    let mine = blocks.iter().filter(|block| block.region == region);
    mine.cloned().collect()
}

/// The memory backend, if it can be read in place.
pub(super) fn find(
    blocks: &[Block],
    qmp: &mut Qmp,
    witness: &mut dyn Witness,
) -> Result<Ram, RamError> {
    let region = main_region(blocks);
    let backend = backend(region, qmp)?;
    let main = of_region(blocks, region);
    let mut last = RamError::Missing(format!(
        "the file of the memory backend {region:?} is not among what QEMU has open here: name it with `--ram FILE` (it may be /proc/PID/fd/N)"
    ));
    for path in candidates(region, &backend, qmp) {
        match open(&path, main.clone(), qmp, witness) {
            Ok(ram) => return Ok(ram),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// What the monitor says of the backend of this region.
fn backend(region: &str, qmp: &mut Qmp) -> Result<Value, RamError> {
    let all = qmp.ask("query-memdev", json!({}));
    let all = all.map_err(|error| RamError::Missing(error.to_string()))?;
    let all = all.as_array().map(Vec::as_slice).unwrap_or_default();
    let is_it = |backend: &&Value| backend.get("id").and_then(Value::as_str) == Some(region);
    let Some(found) = all.iter().find(is_it) else {
        return Err(RamError::Missing(format!(
            "the VM's RAM ({region:?}) has no memory backend: start QEMU with `-object memory-backend-memfd,id=mem0,size=SIZE,share=on -machine memory-backend=mem0`"
        )));
    };
    if found.get("share").and_then(Value::as_bool) != Some(true) {
        return Err(RamError::Missing(format!(
            "the memory backend {region:?} is not shared: give it `share=on`"
        )));
    }
    Ok(found.clone())
}

/// Files that may be the backend's.
fn candidates(region: &str, backend: &Value, qmp: &mut Qmp) -> Vec<PathBuf> {
    let process = qmp.process();
    let named = json!({ "path": format!("/objects/{region}"), "property": "mem-path" });
    let named = qmp.ask("qom-get", named).ok();
    let named = named.and_then(|path| path.as_str().map(PathBuf::from));
    // QEMU's own working directory is meant.
    let named = named.map(|path| match process {
        Some(process) if path.is_relative() => {
            Path::new(&format!("/proc/{process}/cwd")).join(path)
        }
        Some(_) | None => path,
    });
    let size = backend
        .get("size")
        .and_then(Value::as_u64)
        .unwrap_or(u64::MAX);
    let open = process.map(|process| open_files(process, size));
    let named = named.filter(|path| path.is_file());
    named
        .into_iter()
        .chain(open.into_iter().flatten())
        .collect()
}

/// What a process has open that is as large as this.
fn open_files(process: u32, size: u64) -> Vec<PathBuf> {
    let folder = fs::read_dir(format!("/proc/{process}/fd"));
    let files = folder.into_iter().flatten().flatten();
    let large = |path: &PathBuf| {
        let found = fs::metadata(path);
        found.is_ok_and(|found| found.is_file() && found.len() == size)
    };
    files.map(|file| file.path()).filter(large).collect()
}

/// The RAM in this file, if it holds what the guest sees.
fn open(
    path: &Path,
    blocks: Vec<Block>,
    qmp: &mut Qmp,
    witness: &mut dyn Witness,
) -> Result<Ram, RamError> {
    let ram = Ram::open(path, blocks)?;
    for gpa in samples(ram.blocks()) {
        if !agrees(&ram, gpa, qmp, witness)? {
            let path = path.to_owned();
            return Err(RamError::Content { path, gpa });
        }
    }
    Ok(ram)
}

/// Whether both are the same at this place. The guest may run: a place that has changed before it
/// was compared is looked at again, and of one that changes all the time nothing can be said.
fn agrees(ram: &Ram, gpa: u64, qmp: &mut Qmp, witness: &mut dyn Witness) -> Result<bool, RamError> {
    let mut differed = 0;
    for _ in 0..LOOKS {
        let (mut before, mut theirs, mut after) = ([0; SAMPLE], [0; SAMPLE], [0; SAMPLE]);
        let first = ram.read_at(gpa, &mut before);
        witness.see(qmp, gpa, &mut theirs)?;
        if first.and(ram.read_at(gpa, &mut after)).is_err() {
            return Ok(false);
        }
        if theirs == before || theirs == after {
            return Ok(true);
        }
        differed += u32::from(before == after);
        if differed >= ENOUGH {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Addresses all over RAM, at odd places of their pages.
fn samples(blocks: &[Block]) -> Vec<u64> {
    let total: u64 = blocks.iter().map(|block| block.length).sum();
    let step = (total / SAMPLES).max(0x1000);
    let in_block = |block: &Block| {
        let last = block.gpa + block.length.saturating_sub(SAMPLE as u64);
        let step = usize::try_from(step).unwrap_or(usize::MAX);
        (block.gpa..=last).step_by(step).collect::<Vec<_>>()
    };
    blocks.iter().flat_map(in_block).take(4096).collect()
}

#[cfg(test)]
mod tests;
