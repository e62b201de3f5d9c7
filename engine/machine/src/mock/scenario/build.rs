//! From a scenario to a machine.

use std::sync::{Arc, Mutex};

use oriel_protocol::Refusal;
use vm_memory::{GuestAddress, GuestMemoryMmap};

use super::{
    Scenario, ScenarioError,
    check::{self, Part, Wrong},
};
use crate::{
    GuestMemory as _, Outlet,
    machine::{Parts, Vcpu},
    mock::{
        Probe,
        alone::Alone,
        cpu::Cpu,
        guest::Guest,
        instruction::{Instruction, ReadMsr, WriteMsr},
        machine::MockMachine,
        probe::Seen,
        script::Script,
        step::{Action, Report},
        tables::{self, Layout},
        vcpu::MockVcpu,
        world::World,
    },
};

impl Scenario {
    /// Makes the machine. What its guest says goes to `outlet`.
    ///
    /// # Errors
    /// [`ScenarioError`] where the scenario does not fit together, or the host has no memory.
    pub fn build(&self, outlet: Arc<dyn Outlet>) -> Result<Parts, ScenarioError> {
        self.build_probed(outlet).map(|(parts, _)| parts)
    }

    /// Makes the machine, with a look at what its registers do not show.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn build_probed(&self, outlet: Arc<dyn Outlet>) -> Result<(Parts, Probe), ScenarioError> {
        self.build_in(outlet, &World::new(self.vcpus))
    }

    /// Makes the machine for one thread, which enters its vCPUs in turn: the same, each time it is
    /// played. A vCPU that waits for another one leaves the guest as if kicked, and idling takes no
    /// time.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn build_alone(&self, outlet: Arc<dyn Outlet>) -> Result<Alone, ScenarioError> {
        let world = World::alone(self.vcpus);
        let (parts, probe) = self.build_in(outlet, &world)?;
        Ok(Alone::new(parts, probe, world))
    }

    fn build_in(
        &self,
        outlet: Arc<dyn Outlet>,
        world: &Arc<World>,
    ) -> Result<(Parts, Probe), ScenarioError> {
        check::scenario(self).map_err(|wrong| self.error(&wrong))?;
        let ram = self.ram()?;
        self.fill(&ram).map_err(|wrong| self.error(&wrong))?;
        let seen: Arc<[_]> = (0..self.vcpus).map(|_| Arc::default()).collect();
        let vcpus = seen.iter().zip(0..).map(|(seen, index)| {
            let guest = self.guest(index, &ram, Arc::clone(seen))?;
            let whose = if self.everywhere { 0 } else { index };
            let script = Script::new(self.steps(), whose, self.looping);
            let vcpu = MockVcpu::new(index, guest, script, Arc::clone(world), Arc::clone(&outlet));
            Ok(Box::new(vcpu) as Box<dyn Vcpu>)
        });
        let vcpus = vcpus
            .collect::<Result<_, Wrong>>()
            .map_err(|wrong| self.error(&wrong))?;
        let machine = Arc::new(MockMachine::new(
            self.identity.clone(),
            ram,
            Arc::clone(world),
        ));
        Ok((Parts { machine, vcpus }, Probe(seen)))
    }

    fn error(&self, wrong: &Wrong) -> ScenarioError {
        ScenarioError::Text {
            file: self.identity.name.clone(),
            line: None,
            message: wrong.to_string(),
        }
    }

    fn ram(&self) -> Result<GuestMemoryMmap<()>, ScenarioError> {
        let failed = |reason: String| ScenarioError::Memory {
            mib: self.memory_mib,
            reason,
        };
        let size = usize::try_from(self.ram_size()).map_err(|error| failed(error.to_string()))?;
        GuestMemoryMmap::from_ranges(&[(GuestAddress(0), size)])
            .map_err(|error| failed(error.to_string()))
    }

    /// Puts the page tables and the initial bytes where they belong.
    fn fill(&self, ram: &GuestMemoryMmap<()>) -> Result<(), Wrong> {
        let full = |_: Refusal| Part::Whole.wrong("`memory-mib`: too little for the page tables");
        let tables = tables::lay(ram, &self.maps).map_err(full)?;
        for (index, map) in self.maps.iter().enumerate() {
            let own = Layout::of(self.ram_size()).root;
            let free = map.cr3.is_none_or(|cr3| cr3 < tables || cr3 == own);
            Part::Map(index).must(free, format!("`cr3`: page tables lie from {tables:#x} on"))?;
        }
        for (index, (gpa, bytes)) in self.memory.iter().enumerate() {
            let below = gpa + bytes.len() as u64 <= tables;
            let taken = format!("`gpa`: page tables lie from {tables:#x} on");
            Part::Memory(index).must(below, taken)?;
            ram.write_at(*gpa, bytes).map_err(full)?;
        }
        Ok(())
    }

    fn guest(
        &self,
        index: u32,
        ram: &GuestMemoryMmap<()>,
        seen: Arc<Mutex<Seen>>,
    ) -> Result<Guest, Wrong> {
        let cpu = cpu(self, index)?;
        Ok(Guest {
            start: Box::new(cpu.clone()),
            cpu,
            ram: ram.clone(),
            seen,
        })
    }
}

/// A vCPU with the registers and MSRs that the scenario gives it.
pub(super) fn cpu(scenario: &Scenario, index: u32) -> Result<Cpu, Wrong> {
    let mut cpu = Cpu::new(Layout::of(scenario.ram_size()).root);
    registers(scenario, index, &mut cpu)?;
    define_msrs(scenario, &mut cpu);
    for (owner, msr, value) in &scenario.msrs {
        if owner.is_none_or(|owner| owner == index) {
            let wrong =
                |_| Part::Vcpu(index).wrong(format!("MSR {msr:#x} does not take {value:#x}"));
            cpu.set_msr(*msr, *value).map_err(wrong)?;
        }
    }
    Ok(cpu)
}

/// Registers of all vCPUs first, then those of this one; together they must be possible.
fn registers(scenario: &Scenario, index: u32, cpu: &mut Cpu) -> Result<(), Wrong> {
    let mut special = cpu.special;
    for who in [None, Some(index)] {
        for (_, register, value) in scenario
            .registers
            .iter()
            .filter(|(owner, ..)| *owner == who)
        {
            let field = cpu.general.field(*register);
            if let Some(field) = field.or_else(|| special.field(*register)) {
                *field = *value;
            }
        }
    }
    let wrong = |_| Part::Vcpu(index).wrong("`registers`: no processor is in such a state");
    cpu.set_special(&special).map_err(wrong)
}

/// Every MSR that the scenario names exists on every vCPU.
fn define_msrs(scenario: &Scenario, cpu: &mut Cpu) {
    scenario
        .msrs
        .iter()
        .for_each(|(_, msr, _)| cpu.define_msr(*msr));
    let named = scenario
        .steps
        .iter()
        .filter_map(|step| named_msr(&step.action));
    named.for_each(|msr| cpu.define_msr(msr));
}

fn named_msr(action: &Action) -> Option<u32> {
    if let Action::Report(Report::Msr(msr)) = action {
        return Some(*msr);
    }
    if let Action::Event(Instruction::Msr(WriteMsr { msr, .. })) = action {
        return Some(*msr);
    }
    if let Action::Event(Instruction::MsrRead(ReadMsr { msr })) = action {
        return Some(*msr);
    }
    None
}
