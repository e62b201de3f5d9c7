//! What the memory of a Linux guest means.

use crate::bindings::rights::oriel::introspection::guest_os as wit;
use crate::linux::{
    Absence, Area, EntryList, Field, Kernel, ModuleList, Piece, Symbol, Task, TaskList,
};
use crate::{Engine, Refusal};

/// The right to ask what the memory of a Linux guest means: its symbols, types, tasks and modules,
/// without a profile. All of it is read anew for each answer, save what stays as long as the kernel
/// runs: where it is, its symbols and its types. The types are in [`linux`](crate::linux).
///
/// ```
/// use oriel_sdk::linux::{Absence, Task};
/// use oriel_sdk::{Alert, GuestOs, Moment, Severity};
///
/// /// Who is on the vCPU whose event this is.
/// fn name_it(host: &mut (impl Alert + GuestOs), at: &Moment) {
///     let name = match host.current_task(at.vcpu) {
///         Ok(Task { pid, comm, .. }) => format!("{comm} ({pid})"),
///         Err(Absence::Unknown(why)) => format!("unknown: {why}"),
///         Err(Absence::Refused(refusal)) => format!("refused: {refusal}"),
///     };
///     host.report(Severity::Info, "an event", &[("task", &name)]);
/// }
/// ```
///
/// ```
/// use oriel_sdk::linux::{Absence, Area, AreaKind, Entry, Field, Module, ModuleState, Piece};
/// use oriel_sdk::linux::{Source, Symbol, Task};
/// use oriel_sdk::{GuestOs, testing::{MockEngine, MockLinux}};
///
/// let mut linux = MockLinux::new(0x10_0000);
/// let open = Symbol { name: "do_open.isra.0".into(), address: 0xffff_ffff_8100_1000, kind: 't' };
/// linux.symbols.push(open);
/// let pid = Field { hops: vec![], offset: 0x560, size: 4, bits: None };
/// linux.fields.insert("task_struct.pid".into(), pid);
/// let task = |pid: u32, comm: &str| Task {
///     address: 0xffff_8880_0000_0000 + u64::from(pid) * 0x4000,
///     pid,
///     tgid: pid,
///     parent: Some(0),
///     comm: comm.into(),
///     credentials: None,
///     state: None,
///     kernel: Some(false),
///     cr3: None,
///     start_time: None,
/// };
/// linux.tasks.push(task(1, "init"));
/// linux.hidden.push(task(66, "rootkit"));
/// linux.current.insert(0, 66);
/// let (start, size) = (0xffff_ffff_c000_0000, 0x4000);
/// let (name, state) = ("dummy".into(), ModuleState::Live);
/// linux.modules.push(Module { address: start, name, start, size, state, parts: vec![] });
/// linux.calls[0].push(Entry { number: 0, address: 0xffff_ffff_8100_2000, in_text: true });
/// linux.gates.push(Entry { number: 14, address: 0xffff_ffff_8100_3000, in_text: true });
/// let (kind, source) = (AreaKind::Text, Source::Kallsyms);
/// linux.areas.push(Area { kind, start: linux.kernel.start, end: linux.kernel.end, source });
///
/// let mut host = MockEngine::default();
/// host.linux = Some(linux);
/// assert_eq!(host.kernel()?.release, "6.1.0-mock");
/// let missing = host.find_symbol("do_open", None);
/// assert!(matches!(missing, Err(Absence::Unknown(_))));
/// let found = host.find_variants("do_open")?;
/// assert_eq!(host.symbol_at(found[0].address + 4)?.name, "do_open.isra.0");
/// assert_eq!(host.find_field("task_struct.pid", None)?.offset, 0x560);
/// assert_eq!(host.tasks()?.tasks.len(), 1);
/// assert_eq!(host.find_task(66)?.comm, host.current_task(0)?.comm);
/// assert_eq!(host.hidden_tasks()?[0].pid, 66);
/// assert_eq!(host.modules()?.modules[0].name, "dummy");
/// assert!(host.system_calls(false)?.entries[0].in_text);
/// assert_eq!(host.interrupts(0)?.entries[0].number, 14);
/// assert_eq!(host.areas()?[0].start, 0xffff_ffff_8100_0000);
/// host.memory.map(0x10_0000, 0xffff_ffff_8100_0000, 0x5000);
/// let pieces: Vec<Piece> = host.locate(0xffff_ffff_8100_0010, 8)?;
/// assert_eq!((pieces[0].gpa, pieces[0].length), (0x5010, 8));
/// # Ok::<(), Absence>(())
/// ```
///
/// # Errors
/// All functions: [`Absence::Refused`] where the right was not granted, and
/// [`Absence::Unknown`] with the reason where the guest does not tell.
pub trait GuestOs {
    /// Which kernel it is, and where.
    fn kernel(&mut self) -> Result<Kernel, Absence>;
    /// The symbol of this name, of the kernel or of a module; the lowest where several have it.
    fn find_symbol(&mut self, name: &str, module: Option<&str>) -> Result<Symbol, Absence>;
    /// The kernel's symbols of this name with or without what compilers append.
    fn find_variants(&mut self, name: &str) -> Result<Vec<Symbol>, Absence>;
    /// The last symbol that does not begin behind an address, of the kernel or of the module there.
    fn symbol_at(&mut self, gva: u64) -> Result<Symbol, Absence>;
    /// Where a member is: `task_struct.mm.pgd`. The path begins with a type, of the kernel or of a
    /// module; without more it is the type's size.
    fn find_field(&mut self, path: &str, module: Option<&str>) -> Result<Field, Absence>;
    /// Every process, the kernel's threads too.
    fn tasks(&mut self) -> Result<TaskList, Absence>;
    /// The process or thread of this number.
    fn find_task(&mut self, pid: u32) -> Result<Task, Absence>;
    /// The one that a vCPU runs.
    fn current_task(&mut self, vcpu: u32) -> Result<Task, Absence>;
    /// Those that have a number and are in no list: `ps` does not show them.
    fn hidden_tasks(&mut self) -> Result<Vec<Task>, Absence>;
    /// Every module, the newest first.
    fn modules(&mut self) -> Result<ModuleList, Absence>;
    /// The table of system calls: of 32-bit programs, or of 64-bit ones.
    fn system_calls(&mut self, compat: bool) -> Result<EntryList, Absence>;
    /// The gates of a vCPU's interrupt table.
    fn interrupts(&mut self, vcpu: u32) -> Result<EntryList, Absence>;
    /// The ranges of the kernel's image that it does not change by itself, but for patches of code.
    fn areas(&mut self) -> Result<Vec<Area>, Absence>;
    /// Where kernel memory lies, in order: at most 65536 bytes. No vCPU is asked.
    fn locate(&mut self, gva: u64, length: u32) -> Result<Vec<Piece>, Absence>;
}

impl GuestOs for Engine {
    fn kernel(&mut self) -> Result<Kernel, Absence> {
        Ok(wit::get_kernel()?)
    }

    fn find_symbol(&mut self, name: &str, module: Option<&str>) -> Result<Symbol, Absence> {
        Ok(wit::find_symbol(name, module)?)
    }

    fn find_variants(&mut self, name: &str) -> Result<Vec<Symbol>, Absence> {
        Ok(wit::find_variants(name)?)
    }

    fn symbol_at(&mut self, gva: u64) -> Result<Symbol, Absence> {
        Ok(wit::symbol_at(gva)?)
    }

    fn find_field(&mut self, path: &str, module: Option<&str>) -> Result<Field, Absence> {
        Ok(wit::find_field(path, module)?)
    }

    fn tasks(&mut self) -> Result<TaskList, Absence> {
        Ok(wit::list_tasks()?)
    }

    fn find_task(&mut self, pid: u32) -> Result<Task, Absence> {
        Ok(wit::find_task(pid)?)
    }

    fn current_task(&mut self, vcpu: u32) -> Result<Task, Absence> {
        Ok(wit::current_task(vcpu)?)
    }

    fn hidden_tasks(&mut self) -> Result<Vec<Task>, Absence> {
        Ok(wit::hidden_tasks()?)
    }

    fn modules(&mut self) -> Result<ModuleList, Absence> {
        Ok(wit::list_modules()?)
    }

    fn system_calls(&mut self, compat: bool) -> Result<EntryList, Absence> {
        Ok(wit::system_calls(compat)?)
    }

    fn interrupts(&mut self, vcpu: u32) -> Result<EntryList, Absence> {
        Ok(wit::interrupts(vcpu)?)
    }

    fn areas(&mut self) -> Result<Vec<Area>, Absence> {
        Ok(wit::list_areas()?)
    }

    fn locate(&mut self, gva: u64, length: u32) -> Result<Vec<Piece>, Absence> {
        Ok(wit::locate(gva, length)?)
    }
}

impl From<wit::Absence> for Absence {
    fn from(absence: wit::Absence) -> Self {
        match absence {
            wit::Absence::Refused(refusal) => Self::Refused(refusal),
            wit::Absence::Unknown(why) => Self::Unknown(why),
        }
    }
}

impl From<Refusal> for Absence {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
