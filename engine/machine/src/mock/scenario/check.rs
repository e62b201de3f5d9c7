//! What a scenario must keep to beyond its notation. Read ones and those put together in Rust are
//! checked alike, so nothing that is played needs checking again.

mod step;

use std::{collections::HashSet, fmt};

use oriel_protocol::page::PAGE_SIZE;

use super::{MEMORY_MAX, Map, Scenario, VCPUS_MAX, build};
use crate::mock::{cpu::canonical, step::Action};

/// Something that does not fit.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) part: Part,
    pub(super) message: String,
}

/// A part of a scenario, by its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    Memory(usize),
    Map(usize),
    Vcpu(u32),
    Step(usize),
}

impl Part {
    /// If `good` does not hold, this is wrong here.
    pub(super) fn must(self, good: bool, message: impl Into<String>) -> Result<(), Wrong> {
        if good {
            Ok(())
        } else {
            Err(self.wrong(message))
        }
    }

    pub(super) fn wrong(self, message: impl Into<String>) -> Wrong {
        Wrong {
            part: self,
            message: message.into(),
        }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.part {
            Part::Whole => write!(to, "{}", self.message),
            Part::Memory(index) => write!(to, "memory {}: {}", index + 1, self.message),
            Part::Map(index) => write!(to, "map {}: {}", index + 1, self.message),
            Part::Vcpu(index) => write!(to, "vcpu {index}: {}", self.message),
            Part::Step(index) => write!(to, "step {}: {}", index + 1, self.message),
        }
    }
}

/// Checks all of it.
pub(super) fn scenario(scenario: &Scenario) -> Result<(), Wrong> {
    size(scenario)?;
    memory(scenario)?;
    for (index, map) in scenario.maps.iter().enumerate() {
        check_map(scenario, Part::Map(index), map)?;
    }
    vcpus(scenario)?;
    for (index, step) in scenario.steps.iter().enumerate() {
        step::check(scenario, Part::Step(index), step)?;
    }
    waits(scenario)
}

fn size(scenario: &Scenario) -> Result<(), Wrong> {
    let vcpus = (1..=VCPUS_MAX).contains(&scenario.vcpus);
    let memory = (1..=MEMORY_MAX).contains(&scenario.memory_mib);
    Part::Whole.must(vcpus, format!("`vcpus` is 1 to {VCPUS_MAX}"))?;
    Part::Whole.must(memory, format!("`memory-mib` is 1 to {MEMORY_MAX}"))
}

fn memory(scenario: &Scenario) -> Result<(), Wrong> {
    for (index, (gpa, bytes)) in scenario.memory.iter().enumerate() {
        let end = gpa.checked_add(bytes.len() as u64);
        let inside = end.is_some_and(|end| end <= scenario.ram_size());
        Part::Memory(index).must(inside, "`gpa`: not all of it is in RAM")?;
    }
    Ok(())
}

fn check_map(scenario: &Scenario, part: Part, map: &Map) -> Result<(), Wrong> {
    let aligned = [map.gva, map.gpa, map.size]
        .iter()
        .all(|number| number % PAGE_SIZE == 0);
    part.must(
        aligned,
        "`gva`, `gpa` and `size` are whole pages of 4096 bytes",
    )?;
    let sized = (PAGE_SIZE..=Scenario::MAP_MAX).contains(&map.size);
    part.must(sized, "`size` is at most 1 GiB, and not 0")?;
    let last = map.gva.checked_add(map.size - 1);
    let one_half = last
        .is_some_and(|last| canonical(map.gva) && canonical(last) && last >> 63 == map.gva >> 63);
    part.must(one_half, "`gva`: the range is not canonical")?;
    let reachable = map
        .gpa
        .checked_add(map.size)
        .is_some_and(|end| end <= 1 << 52);
    part.must(reachable, "`gpa` has 52 bits at most")?;
    let root = map
        .cr3
        .is_none_or(|cr3| cr3 % PAGE_SIZE == 0 && cr3 < scenario.ram_size());
    part.must(root, "`cr3` is the address of a page in RAM")
}

/// Every vCPU that is named exists, and its registers are a state that a vCPU can be in.
fn vcpus(scenario: &Scenario) -> Result<(), Wrong> {
    let registers = scenario.registers.iter().map(|(owner, ..)| owner);
    let msrs = scenario.msrs.iter().map(|(owner, ..)| owner);
    for owner in registers.chain(msrs).flatten() {
        let exists = *owner < scenario.vcpus;
        Part::Vcpu(*owner).must(exists, format!("there are {} (`vcpus`)", scenario.vcpus))?;
    }
    for index in 0..scenario.vcpus {
        build::cpu(scenario, index)?;
    }
    Ok(())
}

/// Nobody waits for what nobody signals.
fn waits(scenario: &Scenario) -> Result<(), Wrong> {
    let mut signalled = HashSet::new();
    for step in &scenario.steps {
        if let Action::Signal(name) = &step.action {
            signalled.insert(name);
        }
    }
    for (index, step) in scenario.steps.iter().enumerate() {
        if let Action::WaitFor(name) = &step.action {
            let comes = signalled.contains(name);
            Part::Step(index).must(comes, format!("`wait-for`: nobody signals `{name}`"))?;
        }
    }
    Ok(())
}
