//! Commands for one vCPU, run on the thread that owns it.

use crate::{
    EventKind, Gpa, Gva,
    commands::Vcpu,
    linux::{EntryTable, Task, Told},
    table::{commands, number, right},
    x86::{CpuidLeaf, Exception, General, Register, Special},
};

commands! {
    /// A command for one vCPU, run on that vCPU's own thread.
    VcpuCall, VcpuReply, VcpuId, VcpuHandler in Vcpu:

    /// The frequency of the time-stamp counter in Hz; 0 if unknown.
    GetVcpuInfo {} -> u64 = "get-vcpu-info" [6 6 6 3] Machine;

    /// Switches an event of this vCPU on or off.
    ControlEvents {
        /// Which.
        event: EventKind,
        /// On.
        enable: bool,
    } -> () = "control-events" [9 9 9 5] _;

    /// Switches events of a control register on or off.
    ControlCr {
        /// 0, 3 or 4.
        cr: u32,
        /// On.
        enable: bool,
    } -> () = "control-cr" [10 10 10 13] Intercept;

    /// Switches events of an MSR on or off.
    ControlMsr {
        /// Its number.
        msr: u32,
        /// On.
        enable: bool,
    } -> () = "control-msr" [11 11 11 25] Intercept;

    /// General and special registers, and MSRs by number.
    GetRegisters {
        /// Which MSRs.
        msrs: Vec<u32>,
    } -> Box<Registers> = "get-registers" [13 13 13 7] RegistersRead;

    /// Sets the general registers.
    SetRegisters {
        /// To what.
        general: General,
    } -> () = "set-registers" [14 14 14 9] RegistersWrite;

    /// What CPUID answers here.
    GetCpuid {
        /// EAX.
        function: u32,
        /// ECX.
        index: u32,
    } -> CpuidLeaf = "get-cpuid" [15 15 15 11] RegistersRead;

    /// The XSAVE area.
    GetXsave {} -> Vec<u8> = "get-xsave" [16 16 16 19] RegistersRead;

    /// Raises an exception at the next entry.
    InjectException {
        /// Which.
        exception: Exception,
    } -> () = "inject-exception" [19 19 19 15] Inject;

    /// The memory type of an address by the MTRRs.
    GetMtrrType {
        /// The address.
        gpa: Gpa,
    } -> u8 = "get-mtrr-type" [23 23 23 23] RegistersRead;

    /// Names the page that #VE reports to.
    SetVeInfoPage {
        /// The page.
        gpa: Gpa,
        /// Also exit.
        trigger_vmexit: bool,
    } -> () = "set-ve-info-page" [_ _ 28 _] _;

    /// Switches to a view.
    SetView {
        /// Which.
        view: u16,
    } -> () = "set-ept-view" [_ _ 32 _] _;

    /// Switches #VE off.
    DisableVe {} -> () = "disable-ve" [_ _ 33 _] _;

    /// The view in use.
    GetView {} -> u16 = "get-ept-view" [_ _ 34 _] _;

    /// The guest-physical address of a guest-virtual one, by the paging in force.
    TranslateGva {
        /// The address.
        gva: Gva,
    } -> Gpa = "translate-gva" [_ _ 35 29] MemoryRead;

    /// Whether the guest can switch to a view itself.
    ControlView {
        /// Which.
        view: u16,
        /// It can.
        visible: bool,
    } -> () = "control-ept-view" [_ _ 36 _] _;

    /// An extended control register.
    GetXcr {
        /// 0.
        xcr: u8,
    } -> u64 = "get-xcr" [_ _ 37 17] RegistersRead;

    /// Sets the XSAVE area.
    SetXsave {
        /// At most 4096 bytes.
        area: Vec<u8>,
    } -> () = "set-xsave" [_ _ 38 21] RegistersWrite;

    /// Puts memory behind a frame number that had none.
    AllocGfn {
        /// The frame.
        gfn: u64,
    } -> () = "alloc-gfn" [_ _ 41 _] _;

    /// Takes it away again.
    FreeGfn {
        /// The frame.
        gfn: u64,
    } -> () = "free-gfn" [_ _ 42 _] _;

    /// Shows one frame's memory at another frame number.
    ChangeGfn {
        /// The view.
        view: u16,
        /// The frame number that the guest uses.
        old: u64,
        /// The frame it then sees.
        new: u64,
    } -> () = "change-gfn" [_ _ 60 _] _;

    /// Switches single-step on or off.
    ControlSinglestep {
        /// On.
        enable: bool,
    } -> () = "control-singlestep" [_ _ 63 27] Intercept;

    /// Reads one register.
    GetRegister {
        /// Which.
        register: Register,
    } -> u64 = "get-register" [_ _ _ _] RegistersRead;

    /// The general registers alone.
    GetGeneral {} -> General = "get-general" [_ _ _ _] RegistersRead;

    /// Reads one MSR.
    GetMsr {
        /// Its number.
        msr: u32,
    } -> u64 = "get-msr" [_ _ _ _] RegistersRead;

    /// Writes one register.
    SetRegister {
        /// Which.
        register: Register,
        /// To what.
        value: u64,
    } -> () = "set-register" [_ _ _ _] RegistersWrite;

    /// Writes one MSR.
    SetMsr {
        /// Its number.
        msr: u32,
        /// To what.
        value: u64,
    } -> () = "set-msr" [_ _ _ _] RegistersWrite;

    /// Translates with the page tables at `cr3` and this vCPU's paging mode.
    TranslateIn {
        /// The tables; none: those in force.
        cr3: Option<u64>,
        /// The address.
        gva: Gva,
    } -> Gpa = "translate-in" [_ _ _ _] MemoryRead;

    /// Reads guest-virtual memory; may cross pages.
    ReadVirtual {
        /// The tables; none: those in force.
        cr3: Option<u64>,
        /// From where.
        gva: Gva,
        /// How many bytes, at most [`BULK_MAX`](super::vm::BULK_MAX).
        length: u32,
    } -> Vec<u8> = "read-virtual" [_ _ _ _] MemoryRead;

    /// Writes guest-virtual memory, all of it or nothing.
    WriteVirtual {
        /// To where.
        gva: Gva,
        /// What.
        bytes: Vec<u8>,
    } -> () = "write-virtual" [_ _ _ _] MemoryWrite;

    /// Places a breakpoint of this judge: an INT3, or where a guest-virtual address leads to no
    /// RAM, a hardware point.
    SetBreakpoint {
        /// Where.
        place: Place,
        /// The judge's own name for it.
        tag: u64,
    } -> () = "set-breakpoint" [_ _ _ _] Intercept;

    /// The Linux task that this vCPU runs.
    CurrentTask {} -> Told<Box<Task>> = "current-task" [_ _ _ _] GuestOs;

    /// The gates of this vCPU's interrupt table.
    GetInterrupts {} -> Told<EntryTable> = "get-interrupts" [_ _ _ _] GuestOs;
}

/// Where a breakpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Place {
    /// As the vCPU's page tables map it now.
    Gva(Gva),
    /// In guest-physical memory.
    Gpa(Gpa),
}

/// The answer to [`GetRegisters`].
#[derive(Clone, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Registers {
    /// General registers.
    pub general: General,
    /// Special registers.
    pub special: Special,
    /// Number and value of each MSR asked for.
    pub msrs: Vec<(u32, u64)>,
}
