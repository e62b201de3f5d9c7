//! Commands on guest memory.

use oriel_machine::paging::{self, Mode};
use oriel_protocol::{
    Gpa, Gva, Handle, Refusal,
    commands::{
        vcpu::{ReadVirtual, TranslateGva, TranslateIn, WriteVirtual},
        vm::{BULK_MAX, CoversMemory, ReadPhysical, ReadWord, WritePhysical},
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
        let special = self.special()?;
        let memory = self.shared.machine.memory();
        paging::pieces(
            memory,
            Mode::of(&special),
            cr3.unwrap_or(special.cr3),
            gva,
            length,
        )
    }

    pub(super) fn translate(&mut self, cr3: Option<u64>, gva: Gva) -> Result<Gpa, Refusal> {
        let special = self.special()?;
        let memory = self.shared.machine.memory();
        let found = paging::translate(memory, Mode::of(&special), cr3.unwrap_or(special.cr3), gva)?;
        Ok(found.gpa)
    }
}

fn check_length(length: usize) -> Result<(), Refusal> {
    if length == 0 || length > BULK_MAX as usize {
        Err(Refusal::Invalid)
    } else {
        Ok(())
    }
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
        let mut bytes = vec![0; length];
        let mut rest = bytes.as_mut_slice();
        for (gpa, length) in pieces {
            let (piece, others) = rest.split_at_mut(length);
            self.shared.machine.memory().read_at(gpa, piece)?;
            rest = others;
        }
        Ok(bytes)
    }
}

impl Handle<WriteVirtual> for Desk {
    fn handle(&mut self, request: WriteVirtual) -> Result<(), Refusal> {
        let pieces = self.pieces(None, request.gva, request.bytes.len())?;
        let memory = self.shared.machine.memory();
        if !pieces
            .iter()
            .all(|&(gpa, length)| memory.covers(gpa, length as u64))
        {
            return Err(Refusal::NotFound);
        }
        let mut rest = request.bytes.as_slice();
        for (gpa, length) in pieces {
            let (piece, others) = rest.split_at(length);
            memory.write_at(gpa, piece)?;
            rest = others;
        }
        Ok(())
    }
}
