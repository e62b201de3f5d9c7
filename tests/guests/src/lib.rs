//! Test guests: small programs in 64-bit machine code, assembled on the spot.
//!
//! A guest is a flat [image](Guest::image) that a machine's loader puts at [`Guest::load`] and
//! starts in long mode. What a guest finds when it starts, and how it speaks to the outside, is
//! `docs/guests.md`; the numbers of that contract are in [`abi`].
//!
//! ```
//! let guest = oriel_guests::by_name("hello", 1).expect("it is in NAMES");
//! assert_eq!(guest.entry, guest.load);
//! ```

pub mod abi;
mod apics;
mod breakpoints;
pub mod conformance;
mod ends;
mod interrupts;
mod io;
pub mod kernels;
mod msr;
mod pages;
mod program;
pub mod qemu;
#[cfg(test)]
mod tests;
mod tour;

pub use breakpoints::{CALLS, FILLS, HOLE_CALLS, OWN_INT3S, WATCHED_CALLS};
pub use ends::SPIN_COUNTERS;
pub use interrupts::{CONSOLE_END, PROCESSOR_HERE, TICKS};
pub use io::{MMIO_GPA, MMIO_VALUE, PIO_PORT, PIO_TEXT, PIO_VALUE};
pub use msr::{
    ATTACKER_ENTRY, KERNEL_ENTRY, RAX_BEFORE, RDX_BEFORE, RELAY_GATE, STAR_FIRST, STAR_SECOND,
    STORM_WRITES, relay, storm,
};

pub use pages::{PAGE, PAGE_ADDED, PAGE_BEFORE, PAGE_COPY, PAGE_STORED, PAGE_WORD};
pub use tour::{TOUR_PAGE, TOUR_ROUNDS, TOUR_SLOTS, TOUR_STOP, TOUR_TAKEN};

/// A guest, ready to be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// Its name in [`NAMES`].
    pub name: &'static str,
    /// Its bytes: code, then data.
    pub image: Vec<u8>,
    /// How many bytes of the image are code.
    pub code: usize,
    /// The guest-physical address of its first byte.
    pub load: u64,
    /// Where every vCPU starts.
    pub entry: u64,
    /// How many vCPUs it is to run on.
    pub vcpus: u32,
    /// Addresses of interest, by name.
    pub marks: Vec<(&'static str, u64)>,
    /// Whether it needs interrupt controllers and a timer; then only its first vCPU starts by
    /// itself.
    pub interrupts: bool,
}

impl Guest {
    /// The address of this name.
    pub fn mark(&self, name: &str) -> Option<u64> {
        let mark = self.marks.iter().find(|(known, _)| *known == name);
        mark.map(|(_, address)| *address)
    }
}

/// Every guest, with what it does. Each runs on any number of vCPUs from its least on; those that
/// it has no work for halt.
pub const NAMES: &[(&str, &str)] = &[
    ("hello", "prints a line on the serial port and ends with 0"),
    (
        "msr-attack",
        "sets LSTAR as a kernel does, works, then points it at an attacker's code; reports LSTAR and the faults it took",
    ),
    (
        "msr-attack-2",
        "the same with two vCPUs: vCPU 0 sets LSTAR as a kernel does, then vCPU 1 sets the attacker's",
    ),
    (
        "msr-storm",
        "every vCPU writes STAR many times, each time another value",
    ),
    (
        "msr-conformance",
        "writes and reads back every row of a table of MSRs and values; reports what faulted and what stayed",
    ),
    (
        "msr-verdicts",
        "two writes of STAR and a read; reports RAX, RDX, and the #GP, #UD and #PF it took",
    ),
    (
        "pio",
        "writes and reads a port that no device has, then a string to the serial port",
    ),
    (
        "mmio",
        "stores to and loads from an address that is not RAM, and reports what it read",
    ),
    (
        "int3",
        "runs INT3s of its own, skipped over by its handler; reports how many it took, and how many left off behind them",
    ),
    (
        "calls",
        "every vCPU calls the same function many times; reports how often the function ran",
    ),
    (
        "fills",
        "every vCPU calls a function that begins with a string instruction; reports how often the function ran",
    ),
    (
        "debug-registers",
        "has its own debug register stop at a function, which it calls in two rounds; reports the #DBs it took after each, and DR0",
    ),
    (
        "hole",
        "reports 0, then calls code where no RAM is; reports how often it came back",
    ),
    (
        "pages",
        "loads from, stores to, adds to and calls one page, where the host has put RETs; reports what it saw, and the #GP it took",
    ),
    ("user-pages", "the same in 64-bit user mode"),
    (
        "copies",
        "copies a word from that page to the next, and 16 bytes within it; reports the copies",
    ),
    (
        "tour",
        "every vCPU does all that can be watched, over and over, until a word in memory says stop",
    ),
    ("halt", "halts every vCPU with interrupts off"),
    ("spin", "counts in memory, for ever"),
    (
        "reset",
        "reports 1, then resets through port 0x64; for ever",
    ),
    (
        "triple-fault",
        "raises an exception without an interrupt table",
    ),
    (
        "lost-tables",
        "reports 1, then writes garbage into its page tables, and triple-faults",
    ),
    (
        "unemulatable",
        "runs POPCNT, which an emulating KVM lacks; ends with 0 elsewhere",
    ),
    (
        "ticks",
        "waits for five ticks of the timer, and reports them",
    ),
    (
        "busy-ticks",
        "the same without a halt: it looks again and again, with interrupts on",
    ),
    (
        "apics",
        "the same by the IOAPIC, then of the local APIC's timer",
    ),
    (
        "console",
        "sends back what is typed, by interrupt; ends with 0 on a q",
    ),
    (
        "processors",
        "sends for the other vCPUs (INIT and SIPI), which report; ends with 0 when all are there",
    ),
];

/// How many vCPUs the guest of this name shows what it has to show on.
pub fn usual_vcpus(name: &str) -> u32 {
    match name {
        "msr-attack-2" | "tour" => 2,
        _ => 1,
    }
}

/// The guest of this name for so many vCPUs; none if there is no such name, or the guest needs
/// more vCPUs.
pub fn by_name(name: &str, vcpus: u32) -> Option<Guest> {
    if vcpus == 0 {
        return None;
    }
    Some(match name {
        "hello" => io::hello(vcpus),
        "msr-attack" => msr::attack(vcpus),
        "msr-attack-2" if vcpus >= 2 => msr::attack_2(vcpus),
        "msr-storm" => msr::storm(vcpus, STORM_WRITES),
        "msr-conformance" => conformance::guest(vcpus),
        "msr-verdicts" => msr::verdicts(vcpus),
        "pio" => io::pio(vcpus),
        "mmio" => io::mmio(vcpus),
        "int3" => breakpoints::own(vcpus),
        "calls" => breakpoints::calls(vcpus),
        "fills" => breakpoints::fills(vcpus),
        "debug-registers" => breakpoints::debug_registers(vcpus),
        "hole" => breakpoints::hole(vcpus),
        "pages" => pages::kernel(vcpus),
        "copies" => pages::copies(vcpus),
        "user-pages" => pages::user(vcpus),
        "tour" => tour::guest_of(vcpus),
        "halt" => ends::halt(vcpus),
        "spin" => ends::spin(vcpus),
        "reset" => ends::reset(vcpus),
        "triple-fault" => ends::triple_fault(vcpus),
        "lost-tables" => ends::lost_tables(vcpus),
        "unemulatable" => ends::unemulatable(vcpus),
        "ticks" => interrupts::ticks(vcpus),
        "busy-ticks" => interrupts::busy_ticks(vcpus),
        "apics" => apics::apics(vcpus),
        "console" => interrupts::console(vcpus),
        "processors" => interrupts::processors(vcpus),
        _ => return None,
    })
}
