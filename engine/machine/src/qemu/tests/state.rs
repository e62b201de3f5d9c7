//! State and memory, holds and kicks.

use std::io::Write as _;

use oriel_protocol::{
    Refusal,
    x86::{Exception, msr},
};

use super::*;

#[test]
fn what_qemu_shows_is_read_and_what_it_does_not_is_unavailable() {
    let fake = Fake::new(2, &[]);
    fake.lock().vcpus[1].insert("k_gs_base".to_owned(), 0x77);
    let mut attached = attached(&fake, &[]);
    let vcpu = &mut attached.parts.vcpus[1];
    let special = vcpu.special().unwrap();
    assert_eq!((special.cr3, special.efer), (fake::CR3, 0x500));
    assert_eq!(special.idt.base, 0xffff_fe00_0000_0000, "by the monitor");
    assert_eq!(vcpu.msr(msr::KERNEL_GS_BASE), Ok(0x77));
    for refused in [
        vcpu.msr(msr::LSTAR).map(drop),
        vcpu.xcr(0).map(drop),
        vcpu.xsave().map(drop),
        vcpu.cpuid(0, 0).map(drop),
        vcpu.tsc_hz().map(drop),
        vcpu.mtrr_type(0).map(drop),
    ] {
        assert_eq!(refused, Err(Refusal::Unavailable));
    }
    assert_eq!(vcpu.inject(Exception::GP0), Err(Refusal::Unsupported));
    let mut moved = special;
    moved.idt.base = 0;
    assert_eq!(vcpu.set_special(&moved), Err(Refusal::Unsupported));
    let cr4 = oriel_protocol::x86::Special {
        cr4: 0x6a0,
        ..special
    };
    assert_eq!(vcpu.set_special(&cr4), Ok(()));
    assert_eq!(vcpu.special().unwrap().cr4, 0x6a0);
}

#[test]
fn memory_is_read_by_gdb_and_written_by_gdb() {
    let fake = Fake::new(1, &[]);
    let attached = attached(&fake, &[]);
    let memory = attached.machine.memory();
    assert_eq!(memory.read_u64(0x4000), Ok(CODE_GPA | 3));
    assert_eq!(memory.write_at(0x5000, &[1, 2, 3]), Ok(()));
    assert_eq!(fake.lock().memory[0x5000..0x5004], [1, 2, 3, 0]);
    let end = fake::RAM as u64;
    assert_eq!((memory.end(), memory.is_near()), (end, false));
    assert_eq!(memory.write_at(end - 1, &[1, 2]), Err(Refusal::NotFound));
    assert_eq!(memory.read_u64(end), Err(Refusal::NotFound));
    let mut large = vec![0; 0x3000];
    memory.read_at(0, &mut large).unwrap();
    assert_eq!(large, fake.lock().memory[..0x3000], "in several packets");
}

#[test]
fn memory_is_read_in_the_file_and_the_wrong_file_is_refused() {
    let fake = Fake::new(1, &[]);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&fake.lock().memory).unwrap();
    let choice = || RamChoice::File(file.path().to_owned());
    let attached = fake.attach(choice()).connect().unwrap();
    let memory = attached.machine.memory();
    assert!(memory.is_near());
    assert_eq!(memory.read_u64(0x4000), Ok(CODE_GPA | 3));
    drop(attached);
    fake.lock().memory[0x1_0000] = 0x91;
    let error = fake.attach(choice()).connect().unwrap_err();
    let words = std::error::Error::source(&error).unwrap().to_string();
    assert!(words.contains("0x10000"), "{words}");
    assert!(fake.lock().running, "the VM goes on");
}

#[test]
fn the_guest_runs_unwatched_until_a_thread_begins_and_stands_while_it_is_outside() {
    let fake = Fake::new(1, &[]);
    let mut attached = attached(&fake, &[]);
    fake.wait_until(|state| state.running);
    attached.parts.vcpus[0].general().unwrap();
    assert!(!fake.lock().running);
}

#[test]
fn a_kick_brings_a_vcpu_out_and_an_acknowledged_one_does_not() {
    let fake = Fake::new(1, &[]);
    let mut attached = attached(&fake, &[]);
    let mut vcpu = attached.parts.vcpus.remove(0);
    let kicker = vcpu.kicker();
    kicker.kick();
    assert_eq!(vcpu.enter(Verdict::Continue).unwrap(), Exit::Kicked);
    vcpu.acknowledge_kick();
    let waits = thread::spawn(move || vcpu.enter(Verdict::Continue).unwrap());
    fake.wait_until(|state| state.running);
    kicker.kick();
    assert_eq!(waits.join().unwrap(), Exit::Kicked);
    assert!(!fake.lock().running, "its state is its own now");
}

#[test]
fn a_hold_keeps_the_world_standing_and_there_is_one_at_a_time() {
    let fake = Fake::new(1, &[]);
    let attached = attached(&fake, &[]);
    fake.wait_until(|state| state.running);
    let hold = attached.machine.hold_others(0).unwrap();
    assert!(!fake.lock().running);
    assert_eq!(attached.machine.hold_others(1).unwrap_err(), Refusal::Busy);
    drop(hold);
    fake.wait_until(|state| state.running);
}
