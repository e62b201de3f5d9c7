//! What it takes to be stopped, judged, and on the way again: at a breakpoint, and at a trapped page.

use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use kvm_bindings::{
    KVM_GUESTDBG_BLOCKIRQ, KVM_GUESTDBG_ENABLE, KVM_GUESTDBG_SINGLESTEP, KVM_GUESTDBG_USE_SW_BP,
    kvm_guest_debug,
};
use kvm_ioctls::{SyncReg, VcpuExit};
use oriel_engine::{Candidate, Desk};
use oriel_machine::kvm::{Protection, Shield as _};
use oriel_policy::Host;
use oriel_protocol::{
    Access, Case, EventKind,
    commands::{
        vcpu::{Place, SetBreakpoint},
        vm::{PageRule, SetPageAccess},
    },
};
use rustix::io::Errno;
use vm_memory::{Bytes as _, GuestAddress};

use crate::{
    ROUNDS, judge,
    long_mode::{self, Mode, PAGE, STORE, STORE_BYTE, STORE_LENGTH},
    row, time,
    vmm::{Count, Vmm},
};

const CYCLES: u32 = 250;
const INT3: u8 = 0xcc;
const STEP: u32 = KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_BLOCKIRQ;

/// Prints the rows.
pub(crate) fn all(host: &Arc<Host>) -> Result<()> {
    breakpoints(host)?;
    pages(host, Mode::Kernel, "a store of kernel code")?;
    pages(host, Mode::User, "a store of user code")
}

fn breakpoints(host: &Arc<Host>) -> Result<()> {
    let mut bare = started(Mode::Kernel)?;
    let mut judged = judged(host, Mode::Kernel, break_at_the_store)?;
    let (bare, judged) = compare(
        || break_and_step(&mut bare, CYCLES),
        || judged.judged(CYCLES, Count::Events),
    )?;
    row("a breakpoint hit and stepped over, bare", bare, None);
    row("the same, one native judge", judged, Some(bare));
    Ok(())
}

fn pages(host: &Arc<Host>, mode: Mode, what: &str) -> Result<()> {
    let mut bare = started(mode)?;
    bare.shield().protect(PAGE, 0x1000, Protection::NoWrite)?;
    let mut judged = judged(host, mode, trap_the_page)?;
    let mut how = "";
    let (alone, judged) = compare(
        || store(&mut bare, CYCLES).map(|found| how = found),
        || judged.judged(CYCLES, Count::Events),
    )?;
    row(&format!("{what}, {how}, bare"), alone, None);
    row("the same, one native judge", judged, Some(alone));
    Ok(())
}

/// The quickest rounds of both, in turn.
fn compare(
    mut bare: impl FnMut() -> Result<()>,
    mut judged: impl FnMut() -> Result<()>,
) -> Result<(f64, f64)> {
    let mut best = (f64::MAX, f64::MAX);
    for _ in 0..ROUNDS {
        best.0 = best.0.min(time(CYCLES, &mut bare)?);
        best.1 = best.1.min(time(CYCLES, &mut judged)?);
    }
    Ok(best)
}

/// Behind the output with which the guest begins.
fn started(mode: Mode) -> Result<Vmm> {
    let mut vmm = long_mode::vmm(mode)?;
    vmm.bare(1)?;
    Ok(vmm)
}

/// The same, under a judge that has armed something at that output.
fn judged(host: &Arc<Host>, mode: Mode, arm: fn(&mut Desk)) -> Result<Vmm> {
    let mut vmm = long_mode::vmm(mode)?.under(host, Some(arming(arm)))?;
    vmm.judged(1, Count::Events)?;
    Ok(vmm)
}

fn arming(arm: fn(&mut Desk)) -> Candidate {
    let kinds = [EventKind::Pio, EventKind::Breakpoint, EventKind::Page];
    judge(&kinds, move |case: &Case<'_>, desk| {
        if case.event.kind() == EventKind::Pio {
            arm(desk);
        }
    })
}

fn break_at_the_store(desk: &mut Desk) {
    let (tag, place) = (1, Place::Gva(STORE));
    let placed = desk.on(desk.index(), SetBreakpoint { tag, place });
    assert_eq!(placed, Ok(()));
}

fn trap_the_page(desk: &mut Desk) {
    let entries = vec![PageRule {
        gpa: PAGE,
        allowed: Access::READ | Access::EXECUTE,
        tag: 1,
    }];
    let trapped = desk.vm(SetPageAccess { view: 0, entries });
    assert_eq!(trapped, Ok(()));
}

/// Hits an INT3 and steps over what is under it, so many times.
fn break_and_step(vmm: &mut Vmm, cycles: u32) -> Result<()> {
    for _ in 0..cycles {
        debug(vmm, INT3, KVM_GUESTDBG_USE_SW_BP)?;
        let exit = vmm.vcpu.run()?;
        // KVM's emulator has no INT3 in long mode: it gives up.
        let is_hit = matches!(exit, VcpuExit::Debug(_) | VcpuExit::InternalError);
        ensure!(is_hit, "{exit:?} at a breakpoint");
        debug(vmm, STORE_BYTE, KVM_GUESTDBG_USE_SW_BP | STEP)?;
        let exit = vmm.vcpu.run()?;
        let is_step = matches!(exit, VcpuExit::Debug(_));
        ensure!(is_step, "{exit:?} behind a breakpoint");
    }
    Ok(())
}

/// Puts this byte where the store begins, and has the vCPU debugged so.
fn debug(vmm: &mut Vmm, byte: u8, how: u32) -> Result<()> {
    vmm.alias.write_obj(byte, GuestAddress(STORE))?;
    Ok(vmm.vcpu.set_guest_debug(&kvm_guest_debug {
        control: KVM_GUESTDBG_ENABLE | how,
        ..Default::default()
    })?)
}

/// Makes so many stores to a protected page for the guest; answers how they come out.
fn store(vmm: &mut Vmm, cycles: u32) -> Result<&'static str> {
    vmm.vcpu.set_sync_valid_reg(SyncReg::Register);
    let mut how = "";
    for _ in 0..cycles {
        how = match vmm.vcpu.run() {
            Ok(VcpuExit::MmioWrite(gpa, data)) => {
                vmm.alias.write_slice(data, GuestAddress(gpa))?;
                "by MMIO"
            }
            Err(error) if error.errno() == Errno::FAULT.raw_os_error() => {
                store_by_hand(vmm)?;
                "by EFAULT"
            }
            other => bail!("{other:?} at a trapped page"),
        };
    }
    Ok(how)
}

/// What the instruction would do; the vCPU goes on behind it.
fn store_by_hand(vmm: &mut Vmm) -> Result<()> {
    let regs = &mut vmm.vcpu.sync_regs_mut().regs;
    regs.rip += STORE_LENGTH;
    let (to, value) = (regs.rbx, regs.rax);
    vmm.vcpu.set_sync_dirty_reg(SyncReg::Register);
    Ok(vmm.alias.write_obj(value, GuestAddress(to))?)
}
