//! A scenario: a guest as data. Written as TOML (`docs/scenarios.md`) or put together in Rust.
//!
//! ```
//! use oriel_machine::mock::{Scenario, Step};
//!
//! let scenario = Scenario::new("two-writes")
//!     .vcpus(2)
//!     .step(Step::write_msr(0xc000_0082, 0xffff_ffff_81e0_0080))
//!     .step(Step::write_msr(0x10, 0).on(1))
//!     .step(Step::finish(0));
//! assert_eq!(scenario.steps().len(), 3);
//! ```

mod build;
mod check;
mod error;
mod range;
mod steps;
mod text;
pub(super) mod value;

use std::{fs, path::Path};

use oriel_protocol::{Arch, Gpa, Gva, Identity, x86::Register};
use uuid::Uuid;

pub use self::error::ScenarioError;
use super::step::Step;

/// The most vCPUs that a mock machine has.
const VCPUS_MAX: u32 = 256;
/// The most RAM that a mock machine has, in MiB.
const MEMORY_MAX: u32 = 4096;
const MIB: u64 = 1 << 20;

/// A guest, and everything that it will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    identity: Identity,
    vcpus: u32,
    memory_mib: u32,
    memory: Vec<(Gpa, Vec<u8>)>,
    maps: Vec<Map>,
    registers: Vec<(Owner, Register, u64)>,
    msrs: Vec<(Owner, u32, u64)>,
    steps: Vec<Step>,
    looping: bool,
    everywhere: bool,
}

/// One vCPU, or all of them.
type Owner = Option<u32>;

/// A range of the page tables, over the identity map that is there from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Map {
    /// Where it begins, page-aligned.
    pub gva: Gva,
    /// Where that leads, page-aligned.
    pub gpa: Gpa,
    /// Bytes, in whole pages.
    pub size: u64,
    /// Whether it is there at all; the identity map can be taken away.
    pub present: bool,
    /// Writing is allowed.
    pub writable: bool,
    /// Executing is allowed.
    pub executable: bool,
    /// User mode is allowed.
    pub user: bool,
    /// The address space, by its CR3; none: the one in which every vCPU begins.
    pub cr3: Option<u64>,
}

impl Scenario {
    /// The most bytes that one [`Map`] maps.
    pub const MAP_MAX: u64 = 1 << 30;

    /// One vCPU with 16 MiB of RAM, which does nothing.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        Self {
            identity: Identity {
                uuid: uuid_of(&name),
                name,
                arch: Arch::X86_64,
            },
            vcpus: 1,
            memory_mib: 16,
            memory: Vec::new(),
            maps: Vec::new(),
            registers: Vec::new(),
            msrs: Vec::new(),
            steps: Vec::new(),
            looping: false,
            everywhere: false,
        }
    }

    /// Reads a scenario; `name` is the file's, for errors and where the text gives none.
    ///
    /// # Errors
    /// [`ScenarioError`] names the file, the line and the key.
    pub fn parse(text: &str, name: &str) -> Result<Self, ScenarioError> {
        text::parse(text, name)
    }

    /// Reads a scenario from a file.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), and where the file cannot be read.
    pub fn load(path: &Path) -> Result<Self, ScenarioError> {
        let file = path.display().to_string();
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, &file),
            Err(source) => Err(ScenarioError::Read { file, source }),
        }
    }

    /// Which VM it is.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What happens, in the order in which it was written down.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether it is played over and over, until the VM is stopped.
    pub const fn loops(&self) -> bool {
        self.looping
    }

    /// Bytes of RAM.
    pub(super) fn ram_size(&self) -> u64 {
        u64::from(self.memory_mib) * MIB
    }
}

/// Scenarios in Rust. What does not fit together is refused when the machine is built.
impl Scenario {
    /// With this uuid; by default it follows from the name.
    #[must_use]
    pub const fn uuid(mut self, uuid: Uuid) -> Self {
        self.identity.uuid = uuid;
        self
    }

    /// With this name; the uuid stays.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.identity.name = name.into();
        self
    }

    /// With so many vCPUs.
    #[must_use]
    pub const fn vcpus(mut self, count: u32) -> Self {
        self.vcpus = count;
        self
    }

    /// With so much RAM.
    #[must_use]
    pub const fn memory_mib(mut self, size: u32) -> Self {
        self.memory_mib = size;
        self
    }

    /// With these bytes in RAM from the start.
    #[must_use]
    pub fn memory(mut self, gpa: Gpa, bytes: impl Into<Vec<u8>>) -> Self {
        self.memory.push((gpa, bytes.into()));
        self
    }

    /// With this range of page tables.
    #[must_use]
    pub fn map(mut self, map: Map) -> Self {
        self.maps.push(map);
        self
    }

    /// With this in a register of one vCPU (none: of all) at the start.
    #[must_use]
    pub fn register(mut self, vcpu: Option<u32>, register: Register, value: u64) -> Self {
        self.registers.push((vcpu, register, value));
        self
    }

    /// With this in an MSR of one vCPU (none: of all) at the start.
    #[must_use]
    pub fn msr(mut self, vcpu: Option<u32>, msr: u32, value: u64) -> Self {
        self.msrs.push((vcpu, msr, value));
        self
    }

    /// Then this happens.
    #[must_use]
    pub fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// Then these happen.
    #[must_use]
    pub fn with_steps(mut self, steps: impl IntoIterator<Item = Step>) -> Self {
        self.steps.extend(steps);
        self
    }

    /// Without the steps that are such ones.
    #[must_use]
    pub fn without(mut self, such: impl Fn(&Step) -> bool) -> Self {
        self.steps.retain(|step| !such(step));
        self
    }

    /// With the steps of the first vCPU on every one.
    #[must_use]
    pub const fn everywhere(mut self) -> Self {
        self.everywhere = true;
        self
    }

    /// Over and over, until the VM is stopped.
    #[must_use]
    pub const fn looping(mut self) -> Self {
        self.looping = true;
        self
    }
}

/// The same name gives the same VM each time: FNV-1a of the name, as a uuid of no fixed kind.
fn uuid_of(name: &str) -> Uuid {
    let hash = name.bytes().fold(FNV_START, |hash, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(FNV_PRIME)
    });
    uuid::Builder::from_custom_bytes(hash.to_be_bytes()).into_uuid()
}

const FNV_START: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const FNV_PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
