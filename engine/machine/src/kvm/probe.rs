//! What this KVM does in its own way, found out by trying, in VMs of their own.

use std::{io, sync::OnceLock};

use kvm_bindings::{
    KVM_CAP_SET_GUEST_DEBUG2, KVM_GUESTDBG_BLOCKIRQ, KVM_GUESTDBG_ENABLE, KVM_GUESTDBG_SINGLESTEP,
    KVM_GUESTDBG_USE_HW_BP, KVM_GUESTDBG_USE_SW_BP, kvm_guest_debug, kvm_guest_debug_arch,
};
use kvm_ioctls::Kvm;
use oriel_protocol::{Access, HardwarePoint};

use super::{
    debug_registers::DebugRegisters,
    error::KvmError,
    exit::RawExit,
    habits::Habits,
    loader::{self, FIRST_IMAGE, Image},
    ram::Ram,
    sys::{
        page::RunPage,
        vm::{MappedVcpu, MappedVm},
    },
    traps::{Protection, Shield as _},
};
use crate::GuestMemory as _;

/// `out 0x80, al`, and a halt that is never reached.
const OUT: [u8; 3] = [0xe6, 0x80, 0xf4];

/// `mov ecx, IA32_MISC_ENABLE; rdmsr; xor eax, 1 << 11; wrmsr; hlt`. A fault ends in a triple
/// fault, as there is no interrupt table.
const MISC_ENABLE: [u8; 15] = [
    0xb9, 0xa0, 0x01, 0x00, 0x00, 0x0f, 0x32, 0x35, 0x00, 0x08, 0x00, 0x00, 0x0f, 0x30, 0xf4,
];

/// `nop; nop; hlt`.
const NOPS: [u8; 3] = [0x90, 0x90, 0xf4];

/// `int3; hlt`.
const INT3: [u8; 2] = [0xcc, 0xf4];

/// `mov [0x180000], eax; hlt`.
const STORE: [u8; 8] = [0x89, 0x04, 0x25, 0x00, 0x00, 0x18, 0x00, 0xf4];
const STORED: u64 = 0x18_0000;

/// Where an interrupt table goes, below the loader's stacks.
const IDT: u64 = 0x9000;
const BP: u8 = 3;

/// The loader's page tables: PML4, PDPT and the first page directory.
const TABLES: [u64; 3] = [0x2000, 0x3000, 0x4000];
const USER: u64 = 1 << 2;

/// Finds out. The kernel does not change while this process runs, so once is enough.
///
/// # Errors
/// [`KvmError`] if there is no KVM to ask.
pub fn habits(kvm: &Kvm) -> Result<Habits, KvmError> {
    static KNOWN: OnceLock<Habits> = OnceLock::new();
    if let Some(known) = KNOWN.get() {
        return Ok(*known);
    }
    let found = find_out(kvm)?;
    Ok(*KNOWN.get_or_init(|| found))
}

fn find_out(kvm: &Kvm) -> Result<Habits, KvmError> {
    let try_out = |code, level, debug: &kvm_guest_debug| {
        Trial::new(kvm, code).and_then(|trial| trial.first_exit(level, debug).map_err(failed))
    };
    let (step, breaks) = (told(KVM_GUESTDBG_SINGLESTEP), told(KVM_GUESTDBG_USE_SW_BP));
    // The second NOP, before it runs; the store, with the vCPU at the HLT behind it.
    let code_point = |level| {
        let exit = try_out(&NOPS, level, &watching(FIRST_IMAGE + 1, 1, Access::EXECUTE))?;
        Ok::<_, KvmError>(has_met(exit, FIRST_IMAGE + 1))
    };
    let data_point = |level| {
        let exit = try_out(&STORE, level, &watching(STORED, 4, Access::WRITE))?;
        Ok::<_, KvmError>(has_met(exit, FIRST_IMAGE + 7))
    };
    let output = try_out(&OUT, Level::Kernel, &told(0))?;
    let misc_enable = try_out(&MISC_ENABLE, Level::Kernel, &told(0))?;
    Ok(Habits {
        output_retires: matches!(output, Some((RawExit::Port(_), ip)) if ip != FIRST_IMAGE),
        guarded_misc_enable: misc_enable.is_some_and(|(exit, _)| exit != RawExit::Halt),
        steps: has_stepped(try_out(&NOPS, Level::Kernel, &step)?),
        steps_user: has_stepped(try_out(&NOPS, Level::User, &step)?),
        breaks: is_int3(try_out(&INT3, Level::Kernel, &breaks)?),
        breaks_user: is_int3(try_out(&INT3, Level::User, &breaks)?),
        bp_adds_length: Trial::new(kvm, &INT3)?.bp_adds_length().map_err(failed)?,
        stores_retire: Trial::new(kvm, &STORE)?.store_retires().map_err(failed)?,
        code_points: code_point(Level::Kernel)?,
        code_points_user: code_point(Level::User)?,
        data_points: data_point(Level::Kernel)?,
        data_points_user: data_point(Level::User)?,
        holds_interrupts: debug_flags(kvm) & KVM_GUESTDBG_BLOCKIRQ != 0,
    })
}

/// The flags that `KVM_SET_GUEST_DEBUG` takes, where this KVM says so (KVM API, 4.87).
fn debug_flags(kvm: &Kvm) -> u32 {
    let flags = kvm.check_extension_raw(u64::from(KVM_CAP_SET_GUEST_DEBUG2));
    u32::try_from(flags).unwrap_or(0)
}

/// These flags; none if there are none.
fn told(flags: u32) -> kvm_guest_debug {
    let enabled = if flags == 0 { 0 } else { KVM_GUESTDBG_ENABLE };
    kvm_guest_debug {
        control: flags | enabled,
        ..Default::default()
    }
}

/// This point in DR0.
fn watching(at: u64, length: u8, access: Access) -> kvm_guest_debug {
    kvm_guest_debug {
        arch: kvm_guest_debug_arch {
            debugreg: DebugRegisters::of(HardwarePoint::new(at, length, access)).values(),
        },
        ..told(KVM_GUESTDBG_USE_HW_BP)
    }
}

/// Whether the point in DR0 has brought the vCPU out, which stands here then.
fn has_met(exit: Option<(RawExit, u64)>, at: u64) -> bool {
    matches!(exit, Some((RawExit::Debug(debug), ip)) if debug.is_debug() && debug.dr6 & 1 != 0 && ip == at)
}

/// Whether exactly one NOP has run.
fn has_stepped(exit: Option<(RawExit, u64)>) -> bool {
    matches!(exit, Some((RawExit::Debug(debug), ip)) if debug.is_step() && ip == FIRST_IMAGE + 1)
}

/// Whether an INT3 has come out, with the vCPU still at it.
fn is_int3(exit: Option<(RawExit, u64)>) -> bool {
    let Some((exit, FIRST_IMAGE)) = exit else {
        return false;
    };
    match exit {
        RawExit::Debug(debug) => debug.is_int3(),
        RawExit::Internal(error) => error.is_int3(),
        RawExit::Msr(_) | RawExit::Port(_) | RawExit::Memory { .. } | RawExit::Halt => false,
        RawExit::Shutdown | RawExit::Interrupted | RawExit::System(_) => false,
        RawExit::FailEntry(_) | RawExit::Fault | RawExit::Other(_) => false,
    }
}

fn failed(source: io::Error) -> KvmError {
    KvmError::host("probing a vCPU")(source)
}

/// At which privilege level code is tried.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Kernel,
    User,
}

/// A VM with one vCPU that is about to run a few instructions in long mode.
struct Trial {
    vcpu: MappedVcpu,
    page: RunPage,
    ram: Ram,
}

impl Trial {
    fn new(kvm: &Kvm, code: &[u8]) -> Result<Self, KvmError> {
        let image = Image {
            bytes: code.to_vec(),
            load: FIRST_IMAGE,
            entry: FIRST_IMAGE,
        };
        let ram = Ram::new(2)?;
        let vm = kvm.create_vm().map_err(KvmError::host("KVM_CREATE_VM"))?;
        let vm =
            MappedVm::new(vm, ram.map()?).map_err(KvmError::host("KVM_SET_USER_MEMORY_REGION"))?;
        image
            .load(&ram.alias)
            .map_err(io::Error::other)
            .map_err(KvmError::host("loading the probe"))?;
        let make = || {
            let vcpu = vm.create_vcpu(0)?;
            loader::prepare(kvm, &vcpu.fd, &image, 0, 1)?;
            let page = RunPage::map(&vcpu.fd, vm.fd().run_size())?;
            Ok((vcpu, page))
        };
        let (vcpu, page) = make().map_err(failed)?;
        Ok(Self { vcpu, page, ram })
    }

    /// The first exit at this level, with this told by `KVM_SET_GUEST_DEBUG`, and where the
    /// instruction pointer is then. None if KVM does not take the flags, or cannot run the code.
    fn first_exit(
        mut self,
        level: Level,
        debug: &kvm_guest_debug,
    ) -> io::Result<Option<(RawExit, u64)>> {
        if level == Level::User {
            self.drop_to_user()?;
        }
        if debug.control != 0 && self.vcpu.fd.set_guest_debug(debug).is_err() {
            return Ok(None);
        }
        self.run()
    }

    /// Meets the INT3, has #BP raised there, and looks what its handler, the HLT, is shown.
    fn bp_adds_length(mut self) -> io::Result<bool> {
        self.set_handler(FIRST_IMAGE + 1)?;
        let debug = told(KVM_GUESTDBG_USE_SW_BP);
        if self.vcpu.fd.set_guest_debug(&debug).is_err() || !is_int3(self.run()?) {
            return Ok(true);
        }
        let mut events = self.vcpu.fd.get_vcpu_events()?;
        (events.exception.injected, events.exception.nr) = (1, BP);
        self.vcpu.fd.set_vcpu_events(&events)?;
        let handled = self.run()?;
        let stack = self.vcpu.fd.get_regs()?.rsp;
        let pushed = self.ram.alias.read_u64(stack).map_err(io::Error::other)?;
        Ok(matches!(handled, Some((RawExit::Halt, _))) && pushed == FIRST_IMAGE + 1)
    }

    /// Stores to a page that KVM may not write.
    fn store_retires(mut self) -> io::Result<bool> {
        self.vcpu.vm.protect(STORED, 0x1000, Protection::NoWrite)?;
        Ok(matches!(self.run()?, Some((RawExit::Memory { .. }, _))))
    }

    /// Has #BP handled there, by an interrupt gate (SDM vol. 3, section 7.14.1).
    fn set_handler(&self, handler: u64) -> io::Result<()> {
        const CODE: u64 = 0x08;
        const PRESENT_INTERRUPT_GATE: u64 = 0x8e00;
        let gate = handler & 0xffff
            | CODE << 16
            | PRESENT_INTERRUPT_GATE << 32
            | (handler >> 16 & 0xffff) << 48;
        self.ram
            .alias
            .write_at(IDT + u64::from(BP) * 16, &gate.to_le_bytes())
            .map_err(io::Error::other)?;
        let mut sregs = self.vcpu.fd.get_sregs()?;
        (sregs.idt.base, sregs.idt.limit) = (IDT, 16 * 32 - 1);
        Ok(self.vcpu.fd.set_sregs(&sregs)?)
    }

    fn run(&mut self) -> io::Result<Option<(RawExit, u64)>> {
        if self.vcpu.fd.run().map(drop).is_err() {
            return Ok(None);
        }
        Ok(Some((self.page.exit(), self.vcpu.fd.get_regs()?.rip)))
    }

    /// Opens the tables to user code and takes the vCPU there.
    fn drop_to_user(&self) -> io::Result<()> {
        for table in TABLES {
            let entry = self.ram.alias.read_u64(table).map_err(io::Error::other)?;
            let user = (entry | USER).to_le_bytes();
            self.ram
                .alias
                .write_at(table, &user)
                .map_err(io::Error::other)?;
        }
        let mut sregs = self.vcpu.fd.get_sregs()?;
        for segment in [&mut sregs.cs, &mut sregs.ss] {
            (segment.dpl, segment.selector) = (3, segment.selector | 3);
        }
        Ok(self.vcpu.fd.set_sregs(&sregs)?)
    }
}
