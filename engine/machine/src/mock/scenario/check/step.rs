//! What a single step must keep to.

use oriel_protocol::{Access, commands::vcpu::Place, page::PAGE_SIZE, x86::Exception};

use super::{Part, Wrong};
use crate::mock::{
    instruction::{Device, Instruction, Port, Raise, Touch},
    scenario::Scenario,
    step::{Action, Report, Stand, Step},
};

/// The longest instruction.
const LENGTH_MAX: u8 = 15;

pub(super) fn check(scenario: &Scenario, part: Part, step: &Step) -> Result<(), Wrong> {
    let exists = step.vcpu < scenario.vcpus;
    part.must(
        exists,
        format!("`vcpu`: there are {} (`vcpus`)", scenario.vcpus),
    )?;
    part.must(step.repeat > 0, "`repeat` is at least 1")?;
    stand(part, &step.stand)?;
    match &step.action {
        Action::Event(it) => instruction(scenario, part, it),
        Action::Report(Report::Memory(place, size)) => reach(part, *place, *size),
        Action::Report(Report::Msr(_) | Report::Register(_) | Report::Faults(_)) => Ok(()),
        Action::Serial(_) | Action::WaitFor(_) | Action::Signal(_) => Ok(()),
        Action::Unjudged(it) => part.must(it.gpa < scenario.ram_size(), "`gpa` is not in RAM"),
        Action::Idle(_) | Action::Finish(_) => Ok(()),
    }
}

fn stand(part: Part, stand: &Stand) -> Result<(), Wrong> {
    let length = stand
        .length
        .is_none_or(|length| (1..=LENGTH_MAX).contains(&length));
    part.must(length, format!("`length` is 1 to {LENGTH_MAX}"))?;
    let space = stand.cr3.is_none_or(|cr3| cr3 < 1 << 52);
    part.must(space, "`cr3` has 52 bits at most")?;
    part.must(stand.cpl.is_none_or(|cpl| cpl <= 3), "`cpl` is 0 to 3")
}

fn instruction(scenario: &Scenario, part: Part, it: &Instruction) -> Result<(), Wrong> {
    match it {
        Instruction::Cr(it) => part.must(matches!(it.cr, 0 | 3 | 4), "`cr` is 0, 3 or 4"),
        Instruction::Page(it) => touch(scenario, part, it),
        Instruction::Pio(it) => port(part, it),
        Instruction::Mmio(it) => device(scenario, part, it),
        Instruction::Trap(it) => raise(part, it),
        Instruction::Msr(_) | Instruction::MsrRead(_) | Instruction::Xsetbv(_) => Ok(()),
        Instruction::Breakpoint(_) | Instruction::Hypercall(_) | Instruction::Cpuid(_) => Ok(()),
        Instruction::Descriptor(_) | Instruction::Singlestep(_) => Ok(()),
        Instruction::Notice(_) | Instruction::Reset(_) | Instruction::Shutdown(_) => Ok(()),
    }
}

/// An address, and the size of what is there.
fn reach(part: Part, place: Place, size: u8) -> Result<(), Wrong> {
    part.must(matches!(size, 1 | 2 | 4 | 8), "`size` is 1, 2, 4 or 8")?;
    let (Place::Gva(address) | Place::Gpa(address)) = place;
    let within = address % PAGE_SIZE + u64::from(size) <= PAGE_SIZE;
    part.must(within, "an access stays within one page")
}

fn touch(scenario: &Scenario, part: Part, it: &Touch) -> Result<(), Wrong> {
    reach(part, it.place, it.size)?;
    let one = matches!(it.access, Access::READ | Access::WRITE | Access::EXECUTE);
    part.must(one, "`access` is one of the three")?;
    let valued = it.value.is_none() || it.access == Access::WRITE;
    part.must(valued, "`value` is for a `write` only")?;
    match it.place {
        Place::Gva(_) => Ok(()),
        Place::Gpa(gpa) => {
            let fetch = it.access == Access::EXECUTE;
            part.must(!fetch, "`execute` needs a `gva`")?;
            part.must(
                gpa < scenario.ram_size(),
                "`gpa` is not in RAM: that is `mmio`",
            )
        }
    }
}

fn port(part: Part, it: &Port) -> Result<(), Wrong> {
    part.must(matches!(it.size, 1 | 2 | 4), "`size` is 1, 2 or 4")?;
    part.must(it.count > 0, "`count` is at least 1")
}

fn device(scenario: &Scenario, part: Part, it: &Device) -> Result<(), Wrong> {
    reach(part, Place::Gpa(it.gpa), it.size)?;
    part.must(
        it.gpa >= scenario.ram_size(),
        "`gpa` is in RAM: that is `page`",
    )
}

fn raise(part: Part, it: &Raise) -> Result<(), Wrong> {
    part.must(it.vector < 32, "`vector` is 0 to 31")?;
    let pushes = Exception::vector_has_error_code(it.vector);
    let word = if pushes { "an" } else { "no" };
    let agrees = it.error_code.is_some() == pushes;
    part.must(
        agrees,
        format!("vector {} has {word} `error-code`", it.vector),
    )
}
