//! Commands for the VM as a whole.

use crate::{
    Access, Capabilities, EventKind, Gpa, Gva, Identity, Refusal,
    commands::{CommandId, Vm},
    linux::{Area, EntryTable, Field, Kernel, Listing, Module, Symbol, Task, Told},
    table::{commands, number, right},
};

commands! {
    /// A command for the VM as a whole, served in the order of arrival.
    VmCall, VmReply, VmId, VmHandler in Vm:

    /// Which protocol is spoken, and what the hardware helps with.
    GetVersion {} -> Version = "get-version" [2 2 2 2] _;

    /// Whether a command is known and allowed.
    CheckCommand {
        /// Which.
        command: CommandId,
    } -> () = "check-command" [3 3 3 4] _;

    /// Whether an event is known and allowed.
    CheckEvent {
        /// Which.
        event: EventKind,
    } -> () = "check-event" [4 4 4 6] _;

    /// How many vCPUs there are.
    GetGuestInfo {} -> u32 = "get-guest-info" [5 5 5 8] Machine;

    /// Pauses a vCPU; it raises a `pause` event then.
    PauseVcpu {
        /// Which.
        vcpu: u32,
        /// Answer only when it has left the guest.
        wait: bool,
    } -> () = "pause-vcpu" [7 7 7 16] Control;

    /// Switches an event of the VM on or off.
    ControlVmEvents {
        /// `unhook` or `create-vcpu`.
        event: EventKind,
        /// On.
        enable: bool,
    } -> () = "control-vm-events" [8 8 8 10] _;

    /// Reads guest-physical memory, without the breakpoints placed through Oriel.
    ReadPhysical {
        /// From where.
        gpa: Gpa,
        /// How many bytes, at most [`BULK_MAX`].
        length: u32,
    } -> Vec<u8> = "read-physical" [17 17 17 12] MemoryRead;

    /// Writes guest-physical memory, all of it or nothing.
    WritePhysical {
        /// To where.
        gpa: Gpa,
        /// What, at most [`BULK_MAX`] bytes.
        bytes: Vec<u8>,
    } -> () = "write-physical" [18 18 18 14] MemoryWrite;

    /// Which accesses this judge lets through, page by page.
    GetPageAccess {
        /// The view, 0 where there is one only.
        view: u16,
        /// An address in each page.
        gpas: Vec<Gpa>,
    } -> Vec<Access> = "get-page-access" [20 20 _ _] PageAccess;

    /// Says which accesses this judge lets through without an event.
    SetPageAccess {
        /// The view, 0 where there is one only.
        view: u16,
        /// A page each.
        entries: Vec<PageRule>,
    } -> () = "set-page-access" [21 21 21 20] PageAccess;

    /// A token with which a tool in another VM maps this one's memory.
    GetMapToken {} -> [u64; 4] = "get-map-token" [22 22 22 _] _;

    /// Switches sub-page protection on or off.
    ControlSpp {
        /// On.
        enable: bool,
    } -> () = "control-spp" [24 24 24 _] _;

    /// Which 128-byte parts of pages can be written.
    GetPageWriteBitmap {
        /// The view.
        view: u16,
        /// An address in each page.
        gpas: Vec<Gpa>,
    } -> Vec<u32> = "get-page-write-bitmap" [25 25 _ _] _;

    /// Says which 128-byte parts of pages can be written: bit n is part n.
    SetPageWriteBitmap {
        /// The view.
        view: u16,
        /// Page and bitmap.
        entries: Vec<(Gpa, u32)>,
    } -> () = "set-page-write-bitmap" [26 26 26 _] _;

    /// Whether commands are answered at all.
    ControlCommandResponse {
        /// On.
        enable: bool,
        /// From this command on, not from the next.
        now: bool,
        /// Report errors of unanswered commands as events.
        report_errors: bool,
    } -> () = "control-cmd-response" [27 27 27 _] _;

    /// The first frame number behind guest memory.
    GetMaxGfn {} -> u64 = "get-max-gfn" [_ 29 29 _] Machine;

    /// Whether a page's violations raise #VE or an exit.
    SetPageSve {
        /// The view.
        view: u16,
        /// Suppress #VE.
        suppress: bool,
        /// The page.
        gpa: Gpa,
    } -> () = "set-page-sve" [_ _ 30 _] _;

    /// A frame number that nothing uses.
    GetNextAvailableGfn {} -> u64 = "get-next-available-gfn" [_ _ 31 _] _;

    /// Where a frame lies in the host's mapping, and how many follow it.
    QueryPhysical {
        /// The frame.
        gfn: u64,
    } -> (u64, u64) = "query-physical" [_ _ 39 _] _;

    /// Makes a view.
    CreateView {} -> u16 = "create-ept-view" [_ _ 43 _] _;

    /// Destroys a view.
    DestroyView {
        /// Which.
        view: u16,
    } -> () = "destroy-ept-view" [_ _ 44 _] _;

    /// Whether what a tool armed is undone when it goes.
    ControlCleanup {
        /// Undo it.
        enable: bool,
    } -> () = "control-cleanup" [_ _ _ 18] _;

    /// Which VM this is.
    GetIdentity {} -> Identity = "get-identity" [_ _ _ _] Machine;

    /// What the machine can do.
    GetCapabilities {} -> Capabilities = "get-capabilities" [_ _ _ _] Machine;

    /// Reads one little-endian word of guest-physical memory.
    ReadWord {
        /// From where.
        gpa: Gpa,
        /// 1, 2, 4 or 8 bytes.
        size: u8,
    } -> u64 = "read-word" [_ _ _ _] MemoryWords;

    /// Reads several ranges of guest-physical memory, as [`ReadPhysical`] does; each has its own
    /// answer.
    ReadScattered {
        /// Address and length of each: at most [`RANGES_MAX`], and [`BULK_MAX`] bytes in all.
        ranges: Vec<(Gpa, u32)>,
    } -> Vec<Result<Vec<u8>, Refusal>> = "read-scattered" [_ _ _ _] MemoryRead;

    /// Whether all of a range of guest-physical memory can be read.
    CoversMemory {
        /// From where.
        gpa: Gpa,
        /// How many bytes.
        length: u64,
    } -> bool = "covers-memory" [_ _ _ _] MemoryWords;

    /// Has a debug register of every vCPU watch an address for this judge.
    SetHardwarePoint {
        /// The linear address.
        gva: Gva,
        /// Bytes: 1 for `execute`, else 1, 2, 4 or 8.
        length: u8,
        /// What for: `execute`, `write`, or `read` and `write`.
        access: Access,
        /// The judge's own name for it, as of any breakpoint.
        tag: u64,
    } -> () = "set-hardware-point" [_ _ _ _] Intercept;

    /// Removes one of this judge's breakpoints or hardware points.
    ClearBreakpoint {
        /// The judge's own name for it.
        tag: u64,
    } -> () = "clear-breakpoint" [_ _ _ _] Intercept;

    /// The tags of this judge's breakpoints and hardware points, in order.
    ListBreakpoints {} -> Vec<u64> = "list-breakpoints" [_ _ _ _] Intercept;

    /// Holds every vCPU but the one whose event is being judged.
    PauseOthers {} -> () = "pause-others" [_ _ _ _] Control;

    /// Ends this judge's pauses.
    Resume {} -> () = "resume" [_ _ _ _] Control;

    /// Which Linux kernel the guest runs, and where.
    GetKernel {} -> Told<Box<Kernel>> = "get-kernel" [_ _ _ _] GuestOs;

    /// The symbol of a name; the lowest where several have it.
    FindSymbol {
        /// Its name.
        name: String,
        /// The module that has it; none: the kernel itself.
        module: Option<String>,
    } -> Told<Symbol> = "find-symbol" [_ _ _ _] GuestOs;

    /// The kernel's symbols of a name with or without what compilers append.
    FindVariants {
        /// The name without it.
        name: String,
    } -> Told<Vec<Symbol>> = "find-variants" [_ _ _ _] GuestOs;

    /// The last symbol that does not begin behind an address, of the kernel or of the module there.
    SymbolAt {
        /// The address.
        gva: Gva,
    } -> Told<Symbol> = "symbol-at" [_ _ _ _] GuestOs;

    /// Where a member of a structure is.
    FindField {
        /// A type's name, then members: `task_struct.mm.pgd`.
        path: String,
        /// The module that has the type; none: the kernel itself.
        module: Option<String>,
    } -> Told<Field> = "find-field" [_ _ _ _] GuestOs;

    /// Every process in the kernel's list.
    ListTasks {} -> Told<Listing<Task>> = "list-tasks" [_ _ _ _] GuestOs;

    /// The process or thread of a number.
    FindTask {
        /// The number.
        pid: u32,
    } -> Told<Box<Task>> = "find-task" [_ _ _ _] GuestOs;

    /// The tasks that have a number and are in no list.
    HiddenTasks {} -> Told<Vec<Task>> = "hidden-tasks" [_ _ _ _] GuestOs;

    /// Every module in the kernel's list.
    ListModules {} -> Told<Listing<Module>> = "list-modules" [_ _ _ _] GuestOs;

    /// The table of system calls.
    SystemCalls {
        /// That of 32-bit programs.
        compat: bool,
    } -> Told<EntryTable> = "system-calls" [_ _ _ _] GuestOs;

    /// The ranges of the kernel's image that it does not change by itself.
    ListAreas {} -> Told<Vec<Area>> = "list-areas" [_ _ _ _] GuestOs;

    /// Where kernel memory lies, by the kernel's own tables: pieces in order.
    LocateKernel {
        /// From where.
        gva: Gva,
        /// How many bytes, at most [`BULK_MAX`].
        length: u32,
    } -> Told<Vec<(Gpa, u32)>> = "locate-kernel" [_ _ _ _] GuestOs;
}

/// The most bytes that one command reads or writes.
pub const BULK_MAX: u32 = 65_536;

/// The most ranges of a scattered read.
pub const RANGES_MAX: usize = 256;

/// The answer to [`GetVersion`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Version {
    /// 1 in every dialect.
    pub version: u32,
    /// The largest message payload in bytes (v12 only).
    pub max_message: u32,
    /// Sub-page protection.
    pub spp: bool,
    /// VMFUNC.
    pub vmfunc: bool,
    /// EPTP switching.
    pub eptp: bool,
    /// #VE.
    pub ve: bool,
    /// Single-step.
    pub singlestep: bool,
}

/// One entry of [`SetPageAccess`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct PageRule {
    /// An address in the page.
    pub gpa: Gpa,
    /// What goes through without an event; all three ends the trap.
    pub allowed: Access,
    /// Comes back with the event.
    pub tag: u64,
}
