//! The contract between a guest and the machine that loads it (`docs/guests.md`).

/// Where images are loaded, and where every vCPU starts.
pub const LOAD: u64 = 0x10_0000;
/// The selector of the loader's 64-bit code segment.
pub const CODE_SELECTOR: u16 = 0x08;
/// A 32-bit number written here ends the guest.
pub const END_PORT: u16 = 0xf4;
/// The low half of a report.
pub const REPORT_LOW_PORT: u16 = 0xe8;
/// The high half of a report, which completes it.
pub const REPORT_HIGH_PORT: u16 = 0xec;
/// The serial line.
pub const COM1_PORT: u16 = 0x3f8;
/// The keyboard controller's command port.
pub const RESET_PORT: u16 = 0x64;
/// The command that resets.
pub const RESET_COMMAND: u8 = 0xfe;
