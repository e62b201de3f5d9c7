//! What is about to run: read from the kernel's `struct linux_binprm`. Owns what an exec is; judges
//! none. What cannot be read is unknown, and never guessed.

use oriel_sdk::{MemoryRead, ReadStructures, Record, Refusal};

use crate::arguments::{self, Arguments};
use crate::bytes::Space;
use crate::layout::Layout;
use crate::path;
use crate::points::Stage;
use crate::watch::Watch;

/// The longest path that a kernel takes, with its zero (Linux, `PATH_MAX`).
const PATH_MAX: u64 = 4096;

/// One file that is about to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exec {
    pub(crate) role: Role,
    /// The path that was asked for, byte for byte.
    pub(crate) path: Option<Vec<u8>>,
    /// The interpreter that a script names, if this is about it.
    pub(crate) interpreter: Option<Vec<u8>>,
    /// Where the open file is, as its mount namespace has it.
    pub(crate) file: Option<Vec<u8>>,
    /// There is an open file, and the way to its root does not end, or cannot be read.
    pub(crate) is_lost: bool,
    pub(crate) arguments: Arguments,
    /// How many variables the environment has.
    pub(crate) variables: Option<u32>,
}

/// What the file is in the exec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// What was asked for.
    Program,
    /// What a script named, or what is registered for its form.
    Interpreter,
}

impl Exec {
    /// Reads what the `linux_binprm` at an address is about.
    pub(crate) fn read(watch: &Watch, vcpu: u32, gva: u64, host: &mut impl MemoryRead) -> Self {
        let length = watch.layout.binprm.length;
        match host.read_record(vcpu, gva, length) {
            Ok(record) => Reader {
                watch,
                vcpu,
                record,
            }
            .exec(host),
            Err(_) => Self::unknown(),
        }
    }

    /// One of which nothing can be read.
    pub(crate) fn unknown() -> Self {
        Self {
            role: Role::Program,
            path: None,
            interpreter: None,
            file: None,
            is_lost: false,
            arguments: Arguments::unknown(None),
            variables: None,
        }
    }

    /// By which path the file was looked up.
    pub(crate) fn asked(&self) -> Option<&[u8]> {
        match self.role {
            Role::Program => self.path.as_deref(),
            Role::Interpreter => self.interpreter.as_deref(),
        }
    }
}

struct Reader<'a> {
    watch: &'a Watch,
    vcpu: u32,
    record: Record,
}

impl Reader<'_> {
    fn exec(&self, host: &mut impl MemoryRead) -> Exec {
        let stage = self.watch.point.stage;
        let interpreted = self.is_interpreted();
        let role = match stage {
            Stage::EachFile if interpreted => Role::Interpreter,
            Stage::EachFile | Stage::Asked | Stage::Chosen => Role::Program,
        };
        // The last interpreter's, and not the script's.
        let is_other = stage == Stage::Chosen && interpreted;
        let file = if is_other { None } else { self.file(host) };
        let binprm = &self.layout().binprm;
        Exec {
            role,
            path: self.text(binprm.filename, host),
            interpreter: interpreted
                .then(|| self.text(binprm.interp, host))
                .flatten(),
            is_lost: matches!(file, Some(Err(_))),
            file: file.and_then(Result::ok),
            arguments: self.arguments(host),
            variables: self.count(binprm.envc),
        }
    }

    fn layout(&self) -> &Layout {
        &self.watch.layout
    }

    /// The kernel begins with one pointer for both, and makes a new text for an interpreter.
    fn is_interpreted(&self) -> bool {
        let binprm = &self.layout().binprm;
        self.word(binprm.filename) != self.word(binprm.interp)
    }

    fn word(&self, offset: usize) -> Option<u64> {
        self.record.get(offset)
    }

    /// A pointer that leads somewhere.
    fn pointer(&self, offset: Option<usize>) -> Option<u64> {
        self.word(offset?).filter(|pointer| *pointer != 0)
    }

    fn count(&self, offset: usize) -> Option<u32> {
        let count: i32 = self.record.get(offset)?;
        u32::try_from(count).ok()
    }

    fn text(&self, offset: usize, host: &mut impl MemoryRead) -> Option<Vec<u8>> {
        let at = self.pointer(Some(offset))?;
        Space::of(self.vcpu).text(at, PATH_MAX, host)
    }

    /// None, if there is none yet, or nothing says how its path is found.
    fn file(&self, host: &mut impl MemoryRead) -> Option<Result<Vec<u8>, Refusal>> {
        let file = self.pointer(self.layout().binprm.file)?;
        let tree = self.layout().tree.as_ref()?;
        Some(path::of(file, tree, self.vcpu, host))
    }

    fn arguments(&self, host: &mut impl MemoryRead) -> Arguments {
        let binprm = &self.layout().binprm;
        let count = self.count(binprm.argc);
        let space = self.new_memory(host);
        match (count, self.pointer(binprm.p), space) {
            (Some(count), Some(at), Ok(space)) => arguments::read(count, at, space, host),
            (count, _, _) => Arguments::unknown(count),
        }
    }

    /// The memory that the program will have; once the old one is gone, it is the vCPU's own.
    fn new_memory(&self, host: &mut impl MemoryRead) -> Result<Space, Refusal> {
        let binprm = &self.layout().binprm;
        let (Some(offset), Some(pgd)) = (binprm.mm, self.layout().pgd) else {
            return Err(Refusal::NotFound);
        };
        let Some(mm) = self.pointer(Some(offset)) else {
            return Ok(Space::of(self.vcpu));
        };
        let tables: u64 = host.read_value(self.vcpu, mm.wrapping_add(pgd))?;
        let cr3 = host.translate(self.vcpu, tables)?;
        Ok(Space::of(self.vcpu).by(cr3))
    }
}
