//! Guest memory: read in the file of QEMU's memory backend where that can be had, else by gdb;
//! always written by gdb.

use std::sync::{Arc, Mutex, PoisonError};

use oriel_protocol::{Gpa, Refusal};
use vm_memory::GuestMemoryMmap;

use super::{
    blocks::Block,
    gdb::Gdb,
    link::Link,
    points::Originals,
    ram::{self, Ram},
    world::World,
};
use crate::{GuestMemory, Piece};

/// Where reads go.
#[derive(Debug)]
pub(super) enum Source {
    /// The file of the memory backend.
    File(Ram),
    /// The stub, for these blocks.
    Gdb(Vec<Block>),
}

impl Source {
    pub(super) fn blocks(&self) -> &[Block] {
        match self {
            Self::File(ram) => ram.blocks(),
            Self::Gdb(blocks) => blocks,
        }
    }

    /// By what, in the table of capabilities.
    pub(super) const fn mechanism(&self) -> &'static str {
        match self {
            Self::File(ram) if ram.mapping().is_some() => {
                "a mapping of QEMU's memory backend, read-only"
            }
            Self::File(_) => {
                "pread of QEMU's memory backend: its file could be truncated under a mapping"
            }
            Self::Gdb(_) => {
                "the gdbstub's `m`, which stops the world: give the guest a shared memory backend"
            }
        }
    }
}

/// Guest memory, for every thread but the actor's.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) source: Arc<Source>,
    pub(super) originals: Arc<Originals>,
    pub(super) link: Arc<Link>,
    /// QEMU's INT3s are in the file, so it is not to be read past us.
    pub(super) has_int3s: bool,
}

impl Memory {
    fn check(&self, gpa: Gpa, length: usize) -> Result<(), Refusal> {
        let whole = self.covers(gpa, length as u64);
        whole.then_some(()).ok_or(Refusal::NotFound)
    }
}

impl GuestMemory for Memory {
    fn read_at(&self, gpa: Gpa, to: &mut [u8]) -> Result<(), Refusal> {
        match &*self.source {
            Source::File(ram) => ram.read_at(gpa, to)?,
            Source::Gdb(_) => {
                let mut piece = [Piece::new(gpa, to)];
                self.read_each(&mut piece);
                return piece[0].outcome;
            }
        }
        self.originals.lay_over(gpa, to);
        Ok(())
    }

    fn write_at(&self, gpa: Gpa, from: &[u8]) -> Result<(), Refusal> {
        self.check(gpa, from.len())?;
        let bytes = from.to_vec();
        self.link
            .ask(move |world| world.write_memory(gpa, &bytes))?
    }

    fn read_each(&self, pieces: &mut [Piece<'_>]) {
        if let Source::File(_) = &*self.source {
            for piece in pieces {
                piece.outcome = self.read_at(piece.gpa, piece.to);
            }
            return;
        }
        for piece in &mut *pieces {
            piece.outcome = self.check(piece.gpa, piece.to.len());
        }
        let asked: Vec<_> = pieces
            .iter()
            .filter(|piece| piece.outcome.is_ok())
            .map(|piece| (piece.gpa, piece.to.len()))
            .collect();
        let answers = self.link.ask(move |world| read_all(world, &asked));
        let mut answers = answers.unwrap_or_default().into_iter();
        for piece in pieces.iter_mut().filter(|piece| piece.outcome.is_ok()) {
            piece.outcome = match answers.next().unwrap_or(Err(Refusal::Gone)) {
                Ok(bytes) if bytes.len() == piece.to.len() => {
                    piece.to.copy_from_slice(&bytes);
                    self.originals.lay_over(piece.gpa, piece.to);
                    Ok(())
                }
                Ok(_) => Err(Refusal::Unavailable),
                Err(refusal) => Err(refusal),
            };
        }
    }

    fn end(&self) -> Gpa {
        ram::end(self.source.blocks())
    }

    fn covers(&self, gpa: Gpa, length: u64) -> bool {
        ram::covers(self.source.blocks(), gpa, length)
    }

    fn mapping(&self) -> Option<&GuestMemoryMmap<()>> {
        match &*self.source {
            Source::File(ram) if !self.has_int3s => ram.mapping(),
            Source::File(_) | Source::Gdb(_) => None,
        }
    }

    fn is_near(&self) -> bool {
        matches!(&*self.source, Source::File(_))
    }
}

/// One trip for all pieces.
fn read_all(world: &mut World, asked: &[(Gpa, usize)]) -> Vec<Result<Vec<u8>, Refusal>> {
    let read = |&(gpa, length): &(Gpa, usize)| {
        let mut bytes = vec![0; length];
        world.on_gdb(|gdb| gdb.read_memory(gpa, &mut bytes))?;
        Ok(bytes)
    };
    asked.iter().map(read).collect()
}

/// Guest memory, for the actor itself.
pub(super) struct View<'a> {
    source: &'a Source,
    originals: &'a Originals,
    gdb: Mutex<&'a mut Gdb>,
}

impl World {
    /// Guest memory, while the world stands.
    pub(super) fn view(&mut self) -> View<'_> {
        View {
            source: &self.source,
            originals: &self.points.originals,
            gdb: Mutex::new(&mut self.gdb),
        }
    }
}

impl GuestMemory for View<'_> {
    fn read_at(&self, gpa: Gpa, to: &mut [u8]) -> Result<(), Refusal> {
        match self.source {
            Source::File(ram) => ram.read_at(gpa, to)?,
            Source::Gdb(_) if !self.covers(gpa, to.len() as u64) => return Err(Refusal::NotFound),
            Source::Gdb(_) => {
                let mut gdb = self.gdb.lock().unwrap_or_else(PoisonError::into_inner);
                let read = gdb.read_memory(gpa, to);
                read.map_err(|_| Refusal::Unavailable)?;
            }
        }
        self.originals.lay_over(gpa, to);
        Ok(())
    }

    fn write_at(&self, _: Gpa, _: &[u8]) -> Result<(), Refusal> {
        Err(Refusal::Unsupported)
    }

    fn end(&self) -> Gpa {
        ram::end(self.source.blocks())
    }

    fn covers(&self, gpa: Gpa, length: u64) -> bool {
        ram::covers(self.source.blocks(), gpa, length)
    }
}
