//! A scenario's machine as the guest behind the mock engine. Carries out commands as the engine does
//! (register writes are staged until the vCPU is entered), and enters vCPUs; asks nobody.

use std::{fmt, sync::Arc};

use oriel_machine::paging::{self, Mode};
use oriel_machine::{Exit, Machine, MachineError, Parts, Vcpu, Wants};
use oriel_protocol::{Access, EventSet, HardwarePoint, Ranges, Verdict, x86};

use crate::testing::MockEngine;
use crate::testing::engine::{Armed, Guest, Placed};
use crate::{
    Arch, Capability, CpuidLeaf, Exception, GeneralRegisters, MachineInfo, Refusal, Register,
};

/// A machine, and what the policy wants of it.
pub(super) struct Stage {
    machine: Arc<dyn Machine>,
    actors: Vec<Actor>,
    heard: EventSet,
}

/// A vCPU, and the register writes that it finds when it is entered.
struct Actor {
    vcpu: Box<dyn Vcpu>,
    staged: Vec<(x86::Register, u64)>,
}

impl Stage {
    /// These parts, of which these kinds are heard.
    pub(super) fn new(parts: Parts, heard: EventSet) -> Self {
        let actors = parts.vcpus.into_iter();
        let actors = actors.map(|vcpu| Actor {
            vcpu,
            staged: Vec::new(),
        });
        Self {
            machine: parts.machine,
            actors: actors.collect(),
            heard,
        }
    }

    /// How many vCPUs there are.
    pub(super) fn vcpus(&self) -> u32 {
        self.actors.len().try_into().unwrap_or(u32::MAX)
    }

    /// Enters a vCPU, with the register writes that were staged for it.
    pub(super) fn enter(&mut self, vcpu: u32, verdict: Verdict) -> Result<Exit, MachineError> {
        let Ok(actor) = self.actor(vcpu) else {
            return Ok(Exit::Kicked);
        };
        actor.vcpu.acknowledge_kick();
        actor.settle();
        actor.vcpu.enter(verdict)
    }

    /// Takes back what an instance has staged that is lost.
    pub(super) fn forget_writes(&mut self, vcpu: u32) {
        if let Ok(actor) = self.actor(vcpu) {
            actor.staged.clear();
        }
    }

    /// What is wanted before anything is armed.
    pub(super) fn begin(&mut self) -> Result<(), Refusal> {
        self.arm(&Armed::default())
    }

    pub(super) fn read_register(&mut self, vcpu: u32, register: Register) -> Result<u64, Refusal> {
        self.register(vcpu, register)
    }

    pub(super) fn read_msr(&mut self, vcpu: u32, msr: u32) -> Result<u64, Refusal> {
        self.msr(vcpu, msr)
    }

    pub(super) fn read_memory(&mut self, gpa: u64, length: usize) -> Result<Vec<u8>, Refusal> {
        let mut bytes = vec![0; length];
        self.look(gpa, &mut bytes)?;
        Ok(bytes)
    }

    fn actor(&mut self, vcpu: u32) -> Result<&mut Actor, Refusal> {
        let actor = self.actors.get_mut(vcpu as usize);
        actor.ok_or(Refusal::NotFound)
    }

    fn vcpu(&mut self, vcpu: u32) -> Result<&mut dyn Vcpu, Refusal> {
        Ok(&mut *self.actor(vcpu)?.vcpu)
    }
}

impl Actor {
    fn general(&mut self) -> Result<x86::General, Refusal> {
        let mut general = self.vcpu.general()?;
        for (register, value) in &self.staged {
            if let Some(field) = general.field(*register) {
                *field = *value;
            }
        }
        Ok(general)
    }

    fn special(&mut self) -> Result<x86::Special, Refusal> {
        let mut special = self.vcpu.special()?;
        for (register, value) in &self.staged {
            if let Some(field) = special.field(*register) {
                *field = *value;
            }
        }
        Ok(special)
    }

    fn stage(&mut self, register: x86::Register, value: u64) {
        match self.staged.iter_mut().find(|(known, _)| *known == register) {
            Some((_, known)) => *known = value,
            None => self.staged.push((register, value)),
        }
    }

    /// Hands the writes to the vCPU. What no processor takes is left out, as the engine does.
    fn settle(&mut self) {
        if self.staged.is_empty() {
            return;
        }
        if let Ok(general) = self.general() {
            let _ = self.vcpu.set_general(&general);
        }
        let is_special = |register| x86::Special::default().field(register).is_some();
        if self
            .staged
            .iter()
            .any(|(register, _)| is_special(*register))
            && let Ok(special) = self.special()
        {
            let _ = self.vcpu.set_special(&special);
        }
        self.staged.clear();
    }
}

impl Guest for Stage {
    fn identity(&self) -> MachineInfo {
        let identity = self.machine.identity();
        MachineInfo {
            uuid: identity.uuid.to_string(),
            name: identity.name.clone(),
            arch: Arch::X8664,
            vcpus: self.vcpus(),
            memory_end: self.machine.memory().end(),
        }
    }

    fn abilities(&self) -> Vec<Capability> {
        let known = self.machine.capabilities();
        known.iter().map(Capability::from).collect()
    }

    fn look(&mut self, gpa: u64, to: &mut [u8]) -> Result<(), Refusal> {
        Ok(self.machine.memory().read_at(gpa, to)?)
    }

    fn put(&mut self, gpa: u64, from: &[u8]) -> Result<(), Refusal> {
        Ok(self.machine.memory().write_at(gpa, from)?)
    }

    fn is_ram(&self, gpa: u64, length: u64) -> bool {
        self.machine.memory().covers(gpa, length)
    }

    fn lead(&mut self, vcpu: u32, cr3: Option<u64>, gva: u64) -> Result<u64, Refusal> {
        let special = self.actor(vcpu)?.special()?;
        let cr3 = cr3.unwrap_or(special.cr3);
        let memory = self.machine.memory();
        Ok(paging::translate(memory, Mode::of(&special), cr3, gva)?.gpa)
    }

    fn register(&mut self, vcpu: u32, register: Register) -> Result<u64, Refusal> {
        let (actor, register) = (self.actor(vcpu)?, register.into());
        if let Some(field) = actor.general()?.field(register) {
            return Ok(*field);
        }
        let mut special = actor.special()?;
        let field = special.field(register);
        field.map(|field| *field).ok_or(Refusal::Invalid)
    }

    fn put_register(&mut self, vcpu: u32, register: Register, value: u64) -> Result<(), Refusal> {
        self.actor(vcpu)?.stage(register.into(), value);
        Ok(())
    }

    fn general(&mut self, vcpu: u32) -> Result<GeneralRegisters, Refusal> {
        Ok(self.actor(vcpu)?.general()?.into())
    }

    fn put_general(&mut self, vcpu: u32, general: GeneralRegisters) -> Result<(), Refusal> {
        let actor = self.actor(vcpu)?;
        let (mut now, mut wanted) = (actor.general()?, x86::General::from(general));
        for register in x86::Register::GENERAL {
            let (now, wanted) = (now.field(register), wanted.field(register));
            if let (Some(now), Some(wanted)) = (now, wanted)
                && now != wanted
            {
                actor.stage(register, *wanted);
            }
        }
        Ok(())
    }

    fn msr(&mut self, vcpu: u32, msr: u32) -> Result<u64, Refusal> {
        Ok(self.vcpu(vcpu)?.msr(msr)?)
    }

    fn put_msr(&mut self, vcpu: u32, msr: u32, value: u64) -> Result<(), Refusal> {
        Ok(self.vcpu(vcpu)?.set_msr(msr, value)?)
    }

    fn xcr(&mut self, vcpu: u32, xcr: u8) -> Result<u64, Refusal> {
        Ok(self.vcpu(vcpu)?.xcr(xcr)?)
    }

    fn cpuid(&mut self, vcpu: u32, function: u32, index: u32) -> Result<CpuidLeaf, Refusal> {
        Ok(self.vcpu(vcpu)?.cpuid(function, index)?.into())
    }

    fn xsave(&mut self, vcpu: u32) -> Result<Vec<u8>, Refusal> {
        Ok(self.vcpu(vcpu)?.xsave()?)
    }

    fn put_xsave(&mut self, vcpu: u32, area: &[u8]) -> Result<(), Refusal> {
        Ok(self.vcpu(vcpu)?.set_xsave(area)?)
    }

    fn mtrr_type(&mut self, vcpu: u32, gpa: u64) -> Result<u8, Refusal> {
        Ok(self.vcpu(vcpu)?.mtrr_type(gpa)?)
    }

    fn raise(&mut self, vcpu: u32, exception: Exception) -> Result<(), Refusal> {
        Ok(self.vcpu(vcpu)?.inject(exception.into())?)
    }

    /// Of what filters can narrow down, all is reported: they do that.
    fn arm(&mut self, armed: &Armed) -> Result<(), Refusal> {
        let mut wants = Wants {
            events: self.heard,
            crs: [0, 3, 4].map(|cr| cr..=cr).into_iter().collect(),
            msr_writes: Ranges::all(),
            msr_reads: Ranges::all(),
            pio_reads: Ranges::all(),
            pio_writes: Ranges::all(),
            mmio_reads: Ranges::all(),
            mmio_writes: Ranges::all(),
            singlestep: armed.steps.iter().copied().collect(),
            ..Wants::default()
        };
        for (page, (allowed, _)) in &armed.pages {
            wants.pages.insert(*page, (*allowed).into());
        }
        for placed in armed.placed.values() {
            match placed {
                Placed::Code(gpa) => {
                    wants.breakpoints.insert(*gpa);
                }
                Placed::Point(..) => wants.hardware.push(point(placed)?),
            }
        }
        let armed = self.machine.arm(&wants);
        armed.map_err(|error| oriel_protocol::Refusal::from(&error).into())
    }
}

/// What a debug register watches there.
fn point(placed: &Placed) -> Result<HardwarePoint, Refusal> {
    let Placed::Point(gva, length, on) = *placed else {
        return Err(Refusal::Invalid);
    };
    HardwarePoint::new(gva, length, Access::from(on)).ok_or(Refusal::Invalid)
}

impl MockEngine {
    /// The machine goes.
    pub(super) fn vacate(&mut self) -> Option<Box<Stage>> {
        let guest: Box<dyn std::any::Any> = self.seat(None)?;
        guest.downcast().ok()
    }
}

impl fmt::Debug for Stage {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.machine.identity().name;
        write!(to, "Stage({name}, {} vCPUs)", self.actors.len())
    }
}
