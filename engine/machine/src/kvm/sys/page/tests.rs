use std::{fs::File, mem::offset_of, os::unix::fs::FileExt};

use kvm_bindings::{KVM_SYNC_X86_EVENTS, KVM_SYNC_X86_REGS, kvm_regs, kvm_vcpu_events};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

use super::*;
use crate::kvm::exit::{DebugExit, MsrExit, PortExit};

const SIZE: usize = 0x2000;
const UNION: u64 = offset_of!(kvm_run, __bindgen_anon_1) as u64;

/// A page that a file stands in for: what KVM writes, the test writes into the file.
fn page() -> (RunPage, File) {
    let file = memfd_create("page", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&file, SIZE as u64).unwrap();
    let file = File::from(file);
    (RunPage::map(&file, SIZE).unwrap(), file)
}

fn exit(file: &File, reason: u32, data: &[u8]) {
    let at = offset_of!(kvm_run, exit_reason) as u64;
    file.write_all_at(&reason.to_le_bytes(), at).unwrap();
    file.write_all_at(data, UNION).unwrap();
}

fn byte(file: &File, at: usize) -> u8 {
    let mut byte = [0];
    file.read_exact_at(&mut byte, at as u64).unwrap();
    byte[0]
}

/// An output of one 16-bit word to port 0x1234, with its data at this offset.
fn output(data_offset: u64) -> Vec<u8> {
    let head = [1, 2, 0x34, 0x12, 1, 0, 0, 0];
    [&head[..], &data_offset.to_le_bytes()].concat()
}

#[test]
fn exits_are_read_as_kvm_lays_them_out() {
    let (page, file) = page();
    exit(&file, KVM_EXIT_IO, &output(0x1000));
    let port = PortExit {
        port: 0x1234,
        write: true,
        size: 2,
        count: 1,
    };
    assert_eq!(page.exit(), RawExit::Port(port));

    let mut mmio = [0; 24];
    (mmio[3], mmio[16], mmio[20]) = (0xd0, 9, 1);
    exit(&file, KVM_EXIT_MMIO, &mmio);
    let memory = RawExit::Memory {
        gpa: 0xd000_0000,
        write: true,
        size: 8,
    };
    assert_eq!(
        page.exit(),
        memory,
        "no fragment is longer than eight bytes"
    );

    let mut wrmsr = [0; 24];
    (wrmsr[8], wrmsr[12], wrmsr[16]) = (4, 0x82, 7);
    exit(&file, kvm_bindings::KVM_EXIT_X86_WRMSR, &wrmsr);
    let write = MsrExit {
        msr: 0x82,
        written: Some(7),
        reason: 4,
    };
    assert_eq!(page.exit(), RawExit::Msr(write));
    exit(&file, 0xffff, &[]);
    assert_eq!(page.exit(), RawExit::Other(0xffff));
}

/// An exit by the numbers of the KVM API (section 5): the reason in bytes 8 to 11 of `kvm_run`, its
/// data from byte 32 on, the rest of them garbage.
fn by_hand(reason: u32, fields: &[(usize, &[u8])]) -> RawExit {
    let (page, file) = page();
    let mut data = [0xa5; 256];
    for (at, field) in fields {
        data[*at..at + field.len()].copy_from_slice(field);
    }
    file.write_all_at(&reason.to_le_bytes(), 8).unwrap();
    file.write_all_at(&data, 32).unwrap();
    page.exit()
}

const DEBUG: u32 = 4;
const FAIL_ENTRY: u32 = 9;
const INTERNAL_ERROR: u32 = 17;
const SYSTEM_EVENT: u32 = 24;

#[test]
fn a_debug_exit_has_the_vector_the_address_and_dr6() {
    let exit = |vector: u32, dr6: u64| {
        let pc = 0xffff_ffff_8100_0010_u64.to_le_bytes();
        let fields = [
            (0, &vector.to_le_bytes()[..]),
            (8, &pc),
            (16, &dr6.to_le_bytes()),
        ];
        by_hand(DEBUG, &fields)
    };
    let debug = |exception, dr6| DebugExit {
        exception,
        pc: 0xffff_ffff_8100_0010,
        dr6,
    };
    let step = debug(1, 0xffff_4ff0);
    assert_eq!(exit(1, 0xffff_4ff0), RawExit::Debug(step));
    assert!(step.is_step() && !step.is_int3());
    let int3 = debug(3, 0xffff_0ff0);
    assert_eq!(exit(3, 0xffff_0ff0), RawExit::Debug(int3));
    assert!(int3.is_int3() && !int3.is_debug());
}

#[test]
fn an_emulation_failure_has_flags_a_length_and_bytes() {
    let (suberror, words) = (1_u32.to_le_bytes(), 4_u32.to_le_bytes());
    let flags = 1_u64.to_le_bytes();
    let read = |code: &[u8]| {
        let length = [u8::try_from(code.len()).unwrap()];
        let fields = [
            (0, &suberror[..]),
            (4, &words),
            (8, &flags),
            (16, &length),
            (17, code),
        ];
        let RawExit::Internal(error) = by_hand(INTERNAL_ERROR, &fields) else {
            panic!("an internal error");
        };
        error
    };
    let int3 = read(&[0xcc]);
    assert!(int3.is_emulation() && int3.is_int3());
    let longest: Vec<u8> = (1..=15).collect();
    let other = read(&longest);
    assert_eq!(other.instruction(), Some(longest));
    assert!(!other.is_int3());
}

#[test]
fn an_internal_error_without_bytes_names_none() {
    let delivery = 3_u32.to_le_bytes();
    let fields = [(0, &delivery[..]), (4, &[4, 0, 0, 0])];
    let RawExit::Internal(error) = by_hand(INTERNAL_ERROR, &fields) else {
        panic!("an internal error");
    };
    assert_eq!((error.suberror, error.instruction()), (3, None));
    // No words at all, as from kernels before the flags.
    let fields = [(0, &[1, 0, 0, 0][..]), (4, &[0; 4])];
    let RawExit::Internal(error) = by_hand(INTERNAL_ERROR, &fields) else {
        panic!("an internal error");
    };
    assert!(error.is_emulation() && error.instruction().is_none());
}

#[test]
fn a_system_event_and_a_failed_entry_have_their_first_field() {
    let crash = 3_u32.to_le_bytes();
    assert_eq!(by_hand(SYSTEM_EVENT, &[(0, &crash)]), RawExit::System(3));
    let reason = 0x8000_0021_u64.to_le_bytes();
    let failed = by_hand(FAIL_ENTRY, &[(0, &reason)]);
    assert_eq!(failed, RawExit::FailEntry(0x8000_0021));
}

#[test]
fn exits_without_data_are_told_by_their_number() {
    for (reason, exit) in [
        (5, RawExit::Halt),
        (8, RawExit::Shutdown),
        (10, RawExit::Interrupted),
        (39, RawExit::Fault),
        (1, RawExit::Other(1)),
    ] {
        assert_eq!(by_hand(reason, &[]), exit);
    }
}

#[test]
fn an_answer_lands_where_kvm_looks_for_it() {
    let (mut page, file) = page();
    exit(&file, kvm_bindings::KVM_EXIT_X86_RDMSR, &[0; 24]);
    page.answer_msr(true, 0x55);
    let union = usize::try_from(UNION).unwrap();
    assert_eq!((byte(&file, union), byte(&file, union + 16)), (1, 0x55));
    exit(&file, KVM_EXIT_MMIO, &[0; 24]);
    page.set_data(0, &[0xab]);
    assert_eq!(byte(&file, union + 8), 0xab);
    exit(&file, KVM_EXIT_IO, &output(0x1000));
    page.set_data(1, &[0xcd]);
    assert_eq!(byte(&file, 0x1001), 0xcd);
}

#[test]
fn data_outside_the_page_are_zeros_and_are_not_written() {
    let (mut page, file) = page();
    for offset in [SIZE as u64 - 1, SIZE as u64, u64::MAX] {
        exit(&file, KVM_EXIT_IO, &output(offset));
        let mut word = [7; 2];
        page.data(0, &mut word);
        assert_eq!(word, [0; 2]);
        page.set_data(0, &[9; 2]);
        page.set_data(usize::MAX, &[9; 2]);
    }
    exit(&file, KVM_EXIT_MMIO, &[0; 24]);
    let mut past = [7; 8];
    page.data(1, &mut past);
    assert_eq!(past, [0; 8], "an MMIO exit has eight bytes");
    exit(&file, KVM_EXIT_IO, &output(SIZE as u64 - 2));
    page.set_data(0, &[9; 2]);
    assert_eq!(byte(&file, SIZE - 1), 9, "the last byte is there");
}

#[test]
fn setting_registers_tells_kvm_again_of_an_exception_that_it_would_forget() {
    let (mut page, file) = page();
    let dirty = || byte(&file, offset_of!(kvm_run, kvm_dirty_regs));
    page.set_regs(&kvm_regs::default());
    assert_eq!(u32::from(dirty()), KVM_SYNC_X86_REGS);
    page.forget_dirty();
    let mut events = kvm_vcpu_events::default();
    events.exception.injected = 1;
    page.note_events(&events);
    assert_eq!(dirty(), 0);
    page.set_regs(&kvm_regs::default());
    assert_eq!(u32::from(dirty()), KVM_SYNC_X86_REGS | KVM_SYNC_X86_EVENTS);
}

#[test]
fn where_a_vcpu_came_out_is_known_while_a_judge_moves_it() {
    let (mut page, file) = page();
    let regs = offset_of!(kvm_run, s) as u64;
    let rip = |rip: u64| {
        let at = regs + offset_of!(kvm_regs, rip) as u64;
        file.write_all_at(&rip.to_le_bytes(), at).unwrap();
    };
    page.ask_for(Pieces::STANDS);
    assert_eq!(byte(&file, offset_of!(kvm_run, kvm_valid_regs)), 3);
    rip(0x1000);
    page.came_out();
    assert_eq!((page.exited_at(), page.moved_to()), (0x1000, None));
    page.set_regs(&kvm_regs {
        rip: 0x2000,
        ..page.regs()
    });
    assert_eq!((page.rip(), page.moved_to()), (0x2000, Some(0x2000)));
    assert_eq!(page.exited_at(), 0x1000);
    page.came_out();
    assert_eq!((page.exited_at(), page.moved_to()), (0x2000, None));
    page.ask_for(Pieces::NONE);
    page.came_out();
    assert_eq!(
        page.moved_to(),
        None,
        "nobody has looked, so nobody has moved it"
    );
}

#[test]
fn other_threads_reach_one_byte() {
    let (page, file) = page();
    let other = page.immediate_exit();
    let at = offset_of!(kvm_run, immediate_exit);
    std::thread::scope(|scope| {
        scope.spawn(|| other.set(true));
    });
    assert_eq!(byte(&file, at), 1);
    drop(page);
    other.set(false);
    assert_eq!(byte(&file, at), 0, "the mapping lives as long as either");
}

#[test]
fn a_page_too_small_is_refused() {
    let (_, file) = page();
    assert!(RunPage::map(&file, 64).is_err());
}
