//! The names of what a policy can ask of its host. Does none of it.

/// A function of a right, for a test to refuse or to look for.
///
/// ```
/// use oriel_sdk::{MemoryRead, testing::{Command, MockEngine}};
///
/// let mut host = MockEngine::default();
/// let _ = host.read_u64(0x1000);
/// assert_eq!(host.asked, [Command::ReadU64]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Command {
    /// [`Alert::alert`](crate::Alert::alert)
    Alert,
    /// [`Control::pause`](crate::Control::pause)
    Pause,
    /// [`Control::pause_others`](crate::Control::pause_others)
    PauseOthers,
    /// [`Control::resume`](crate::Control::resume)
    Resume,
    /// [`GuestOs::kernel`](crate::GuestOs::kernel)
    Kernel,
    /// [`GuestOs::find_symbol`](crate::GuestOs::find_symbol)
    FindSymbol,
    /// [`GuestOs::find_variants`](crate::GuestOs::find_variants)
    FindVariants,
    /// [`GuestOs::symbol_at`](crate::GuestOs::symbol_at)
    SymbolAt,
    /// [`GuestOs::find_field`](crate::GuestOs::find_field)
    FindField,
    /// [`GuestOs::tasks`](crate::GuestOs::tasks)
    Tasks,
    /// [`GuestOs::find_task`](crate::GuestOs::find_task)
    FindTask,
    /// [`GuestOs::current_task`](crate::GuestOs::current_task)
    CurrentTask,
    /// [`GuestOs::hidden_tasks`](crate::GuestOs::hidden_tasks)
    HiddenTasks,
    /// [`GuestOs::modules`](crate::GuestOs::modules)
    Modules,
    /// [`GuestOs::system_calls`](crate::GuestOs::system_calls)
    SystemCalls,
    /// [`GuestOs::interrupts`](crate::GuestOs::interrupts)
    Interrupts,
    /// [`GuestOs::areas`](crate::GuestOs::areas)
    Areas,
    /// [`GuestOs::locate`](crate::GuestOs::locate)
    Locate,
    /// [`Inject::inject`](crate::Inject::inject)
    Inject,
    /// [`Intercept::intercept_cr`](crate::Intercept::intercept_cr)
    InterceptCr,
    /// [`Intercept::intercept_msr`](crate::Intercept::intercept_msr)
    InterceptMsr,
    /// [`Intercept::single_step`](crate::Intercept::single_step)
    SingleStep,
    /// [`Intercept::set_breakpoint`](crate::Intercept::set_breakpoint)
    SetBreakpoint,
    /// [`Intercept::set_hardware_breakpoint`](crate::Intercept::set_hardware_breakpoint)
    SetHardwareBreakpoint,
    /// [`Intercept::set_watchpoint`](crate::Intercept::set_watchpoint)
    SetWatchpoint,
    /// [`Intercept::clear_breakpoint`](crate::Intercept::clear_breakpoint)
    ClearBreakpoint,
    /// [`Intercept::breakpoints`](crate::Intercept::breakpoints)
    Breakpoints,
    /// [`Log::log`](crate::Log::log)
    Log,
    /// [`Machine::machine_info`](crate::Machine::machine_info)
    MachineInfo,
    /// [`Machine::capabilities`](crate::Machine::capabilities)
    Capabilities,
    /// [`MemoryRead::read_memory`](crate::MemoryRead::read_memory)
    ReadMemory,
    /// [`MemoryRead::read_u64`](crate::MemoryRead::read_u64)
    ReadU64,
    /// [`MemoryRead::read_scattered`](crate::MemoryRead::read_scattered)
    ReadScattered,
    /// [`MemoryRead::read_virtual`](crate::MemoryRead::read_virtual)
    ReadVirtual,
    /// [`MemoryRead::read_virtual_in`](crate::MemoryRead::read_virtual_in)
    ReadVirtualIn,
    /// [`MemoryRead::translate`](crate::MemoryRead::translate)
    Translate,
    /// [`MemoryRead::translate_in`](crate::MemoryRead::translate_in)
    TranslateIn,
    /// [`MemoryWords::covers`](crate::MemoryWords::covers)
    Covers,
    /// [`MemoryWords::word_u8`](crate::MemoryWords::word_u8) and the longer words
    Word,
    /// [`MemoryWrite::write_memory`](crate::MemoryWrite::write_memory)
    WriteMemory,
    /// [`MemoryWrite::write_virtual`](crate::MemoryWrite::write_virtual)
    WriteVirtual,
    /// [`Metrics::count`](crate::Metrics::count)
    Count,
    /// [`Metrics::gauge`](crate::Metrics::gauge)
    Gauge,
    /// [`Metrics::record`](crate::Metrics::record)
    Record,
    /// [`PageAccess::get_page_access`](crate::PageAccess::get_page_access)
    GetPageAccess,
    /// [`PageAccess::set_page_access`](crate::PageAccess::set_page_access)
    SetPageAccess,
    /// [`RegistersRead::get_register`](crate::RegistersRead::get_register)
    GetRegister,
    /// [`RegistersRead::get_registers`](crate::RegistersRead::get_registers)
    GetRegisters,
    /// [`RegistersRead::get_msr`](crate::RegistersRead::get_msr)
    GetMsr,
    /// [`RegistersRead::get_xcr`](crate::RegistersRead::get_xcr)
    GetXcr,
    /// [`RegistersRead::get_cpuid`](crate::RegistersRead::get_cpuid)
    GetCpuid,
    /// [`RegistersRead::get_xsave`](crate::RegistersRead::get_xsave)
    GetXsave,
    /// [`RegistersRead::get_mtrr_type`](crate::RegistersRead::get_mtrr_type)
    GetMtrrType,
    /// [`RegistersWrite::set_register`](crate::RegistersWrite::set_register)
    SetRegister,
    /// [`RegistersWrite::set_registers`](crate::RegistersWrite::set_registers)
    SetRegisters,
    /// [`RegistersWrite::set_msr`](crate::RegistersWrite::set_msr)
    SetMsr,
    /// [`RegistersWrite::set_xsave`](crate::RegistersWrite::set_xsave)
    SetXsave,
    /// [`Store::get_bytes`](crate::Store::get_bytes)
    GetBytes,
    /// [`Store::set_bytes`](crate::Store::set_bytes)
    SetBytes,
    /// [`Store::compare_and_swap_bytes`](crate::Store::compare_and_swap_bytes)
    CompareAndSwapBytes,
    /// [`Store::get_number`](crate::Store::get_number)
    GetNumber,
    /// [`Store::set_number`](crate::Store::set_number)
    SetNumber,
    /// [`Store::add_number`](crate::Store::add_number)
    AddNumber,
    /// [`Store::compare_and_swap_number`](crate::Store::compare_and_swap_number)
    CompareAndSwapNumber,
    /// [`Store::remove_key`](crate::Store::remove_key)
    RemoveKey,
    /// [`Store::keys`](crate::Store::keys)
    Keys,
}
