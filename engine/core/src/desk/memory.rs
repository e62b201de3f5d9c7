//! Commands on guest memory.

use oriel_machine::{GuestMemory, Piece, paging::Mode};
use oriel_protocol::{
    Gpa, Gva, Handle, Refusal,
    commands::{
        vcpu::{ReadVirtual, TranslateGva, TranslateIn, WriteVirtual},
        vm::{
            BULK_MAX, CoversMemory, RANGES_MAX, ReadPhysical, ReadScattered, ReadWord,
            WritePhysical,
        },
    },
};

use super::Desk;

impl Desk {
    fn pieces(
        &mut self,
        cr3: Option<u64>,
        gva: Gva,
        length: usize,
    ) -> Result<Vec<(Gpa, usize)>, Refusal> {
        check_length(length)?;
        let control = self.control()?;
        let cr3 = cr3.unwrap_or(control.cr3);
        let memory = self.shared.machine.memory();
        self.walks
            .pieces(memory, Mode::by(&control), cr3, gva, length)
    }

    pub(super) fn translate(&mut self, cr3: Option<u64>, gva: Gva) -> Result<Gpa, Refusal> {
        let control = self.control()?;
        let cr3 = cr3.unwrap_or(control.cr3);
        let memory = self.shared.machine.memory();
        let found = self.walks.translate(memory, Mode::by(&control), cr3, gva)?;
        Ok(found.gpa)
    }
}

/// One buffer for each length.
fn buffers(lengths: impl Iterator<Item = usize>) -> Vec<Vec<u8>> {
    lengths.map(|length| vec![0; length]).collect()
}

pub(crate) fn check_length(length: usize) -> Result<(), Refusal> {
    if length == 0 || length > BULK_MAX as usize {
        Err(Refusal::Invalid)
    } else {
        Ok(())
    }
}

/// Reads pieces as one.
pub(crate) fn read_pieces(
    memory: &dyn GuestMemory,
    pieces: &[(Gpa, usize)],
) -> Result<Vec<u8>, Refusal> {
    let mut bytes = vec![0; pieces.iter().map(|(_, length)| length).sum()];
    let mut rest = bytes.as_mut_slice();
    let mut reads = Vec::with_capacity(pieces.len());
    for &(gpa, length) in pieces {
        let (piece, others) = std::mem::take(&mut rest).split_at_mut(length);
        reads.push(Piece::new(gpa, piece));
        rest = others;
    }
    memory.read_each(&mut reads);
    let done: Result<Vec<()>, _> = reads.into_iter().map(|read| read.outcome).collect();
    done.map(|_| bytes)
}

/// Writes pieces, all of them or none.
pub(crate) fn write_pieces(
    memory: &dyn GuestMemory,
    pieces: &[(Gpa, usize)],
    bytes: &[u8],
) -> Result<(), Refusal> {
    let there = |&(gpa, length): &(Gpa, usize)| memory.covers(gpa, length as u64);
    if !pieces.iter().all(there) {
        return Err(Refusal::NotFound);
    }
    let mut rest = bytes;
    for &(gpa, length) in pieces {
        let (piece, others) = rest.split_at_checked(length).ok_or(Refusal::Invalid)?;
        memory.write_at(gpa, piece)?;
        rest = others;
    }
    Ok(())
}

impl Handle<ReadPhysical> for Desk {
    fn handle(&mut self, request: ReadPhysical) -> Result<Vec<u8>, Refusal> {
        let length = request.length as usize;
        check_length(length)?;
        let mut bytes = vec![0; length];
        self.shared
            .machine
            .memory()
            .read_at(request.gpa, &mut bytes)?;
        Ok(bytes)
    }
}

impl Handle<ReadScattered> for Desk {
    fn handle(&mut self, request: ReadScattered) -> Result<Vec<Result<Vec<u8>, Refusal>>, Refusal> {
        let ranges = request.ranges;
        let total: u64 = ranges.iter().map(|(_, length)| u64::from(*length)).sum();
        if ranges.len() > RANGES_MAX || total > u64::from(BULK_MAX) {
            return Err(Refusal::Invalid);
        }
        let mut buffers = buffers(ranges.iter().map(|(_, length)| *length as usize));
        let mut reads: Vec<_> = ranges
            .iter()
            .zip(&mut buffers)
            .map(|((gpa, _), buffer)| Piece::new(*gpa, buffer))
            .collect();
        self.shared.machine.memory().read_each(&mut reads);
        let outcomes: Vec<_> = reads.into_iter().map(outcome).collect();
        let answers = outcomes.into_iter().zip(buffers);
        Ok(answers
            .map(|(done, buffer)| done.map(|()| buffer))
            .collect())
    }
}

/// As for a read by itself: one of nothing is none.
fn outcome(read: Piece<'_>) -> Result<(), Refusal> {
    check_length(read.to.len()).and(read.outcome)
}

impl Handle<WritePhysical> for Desk {
    fn handle(&mut self, request: WritePhysical) -> Result<(), Refusal> {
        check_length(request.bytes.len())?;
        self.shared
            .machine
            .memory()
            .write_at(request.gpa, &request.bytes)
    }
}

impl Handle<ReadWord> for Desk {
    fn handle(&mut self, request: ReadWord) -> Result<u64, Refusal> {
        let size = usize::from(request.size);
        if !matches!(size, 1 | 2 | 4 | 8) {
            return Err(Refusal::Invalid);
        }
        let mut word = [0; 8];
        self.shared
            .machine
            .memory()
            .read_at(request.gpa, &mut word[..size])?;
        Ok(u64::from_le_bytes(word))
    }
}

impl Handle<CoversMemory> for Desk {
    fn handle(&mut self, request: CoversMemory) -> Result<bool, Refusal> {
        Ok(self
            .shared
            .machine
            .memory()
            .covers(request.gpa, request.length))
    }
}

impl Handle<TranslateGva> for Desk {
    fn handle(&mut self, request: TranslateGva) -> Result<Gpa, Refusal> {
        self.translate(None, request.gva)
    }
}

impl Handle<TranslateIn> for Desk {
    fn handle(&mut self, request: TranslateIn) -> Result<Gpa, Refusal> {
        self.translate(request.cr3, request.gva)
    }
}

impl Handle<ReadVirtual> for Desk {
    fn handle(&mut self, request: ReadVirtual) -> Result<Vec<u8>, Refusal> {
        let length = request.length as usize;
        let pieces = self.pieces(request.cr3, request.gva, length)?;
        read_pieces(self.shared.machine.memory(), &pieces)
    }
}

impl Handle<WriteVirtual> for Desk {
    fn handle(&mut self, request: WriteVirtual) -> Result<(), Refusal> {
        let pieces = self.pieces(None, request.gva, request.bytes.len())?;
        write_pieces(self.shared.machine.memory(), &pieces, &request.bytes)
    }
}
