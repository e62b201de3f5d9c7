//! The length of the instruction that a vCPU stands at, to go on behind it.

use iced_x86::{Decoder, DecoderOptions};
use oriel_protocol::x86::Special;

use super::QemuVcpu;
use crate::{End, GuestMemory, VcpuState as _, paging, qemu::registers};

const LONGEST: u64 = 15;

impl QemuVcpu {
    /// Moves a vCPU behind the instruction that it stands at, unless it was moved.
    pub(super) fn skip(&mut self, ip: u64) -> Result<(), End> {
        let index = self.index;
        let failed = |_| End::Failed(format!("vCPU {index} cannot be moved"));
        let mut general = self.general().map_err(failed)?;
        if general.rip != ip {
            return Ok(());
        }
        let special = self.special().map_err(failed)?;
        general.rip = ip.wrapping_add(length(&*self.memory, &special, ip));
        self.set_general(&general).map_err(failed)
    }
}

/// One where there is no telling: then at least it is not met again.
fn length(memory: &dyn GuestMemory, special: &Special, ip: u64) -> u64 {
    let bits = match (
        registers::is_long(special.efer) && special.cs.l,
        special.cs.db,
    ) {
        (true, _) => 64,
        (false, true) => 32,
        (false, false) => 16,
    };
    let base = if bits == 64 { 0 } else { special.cs.base };
    let bytes = bytes(memory, special, base.wrapping_add(ip));
    let instruction = Decoder::with_ip(bits, &bytes, ip, DecoderOptions::NONE).decode();
    if instruction.is_invalid() {
        1
    } else {
        instruction.len() as u64
    }
}

/// Up to fifteen bytes, as many as can be had.
fn bytes(memory: &dyn GuestMemory, special: &Special, linear: u64) -> Vec<u8> {
    let mode = paging::Mode::of(special);
    let byte = |offset| {
        let found =
            paging::translate(memory, mode, special.cr3, linear.wrapping_add(offset)).ok()?;
        let mut byte = [0];
        memory.read_at(found.gpa, &mut byte).ok()?;
        Some(byte[0])
    };
    (0..LONGEST).map_while(byte).collect()
}
