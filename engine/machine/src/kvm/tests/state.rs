//! The state of a vCPU, as a judge reads and changes it.

use std::{any::Any, sync::Mutex};

use oriel_guests::{STAR_FIRST, STAR_SECOND, abi};
use oriel_protocol::{
    Event, EventData, EventKind, Refusal, Verdict,
    events::Msr,
    x86::{Exception, msr},
};

use super::theatre::{
    Play, Timer, all_of, has_kvm, machine, nothing, play, reads_of, run, to_the_end, writes_of,
};
use crate::{
    End, Exit, Vcpu,
    kvm::{
        sys::page::{Pieces, RunPage},
        tapped::Tapped as _,
        vcpu::KvmVcpu,
    },
};

/// Runs `msr-verdicts` with `act` at its second write, which is then let be.
fn at_second_write(act: impl Fn(&mut dyn Vcpu) + Sync) -> Play {
    play("msr-verdicts", 1, &writes_of(msr::STAR), |event, vcpu| {
        if is_second(event) {
            act(vcpu);
        }
        Verdict::Continue
    })
}

fn is_second(event: &Event) -> bool {
    matches!(
        event.data,
        EventData::Msr(Msr {
            new: STAR_SECOND,
            ..
        })
    )
}

#[test]
fn registers_are_those_of_the_instruction_that_is_judged() {
    if !has_kvm() {
        return;
    }
    let ips = Mutex::new(Vec::new());
    let play = at_second_write(|vcpu| {
        let general = vcpu.general().unwrap();
        assert_eq!(general.rcx, u64::from(msr::STAR));
        assert_eq!(general.rdx << 32 | general.rax & 0xffff_ffff, STAR_SECOND);
        assert_eq!((general.rdi, general.rsi), (0, 1));
        ips.lock().unwrap().push(general.rip);
        let special = vcpu.special().unwrap();
        assert_eq!((special.cr3, special.cpl()), (0x2000, 0));
        assert_eq!(special.cs.selector, abi::CODE_SELECTOR);
        assert!(special.cs.l && special.efer & 0x500 == 0x500);
        assert_eq!(
            special.idt.limit,
            32 * 16 - 1,
            "the guest has loaded its table"
        );
    });
    assert_eq!(*ips.lock().unwrap(), [play.events[1].1.ip]);
}

/// The page of a vCPU in the process.
fn page(vcpu: &mut dyn Vcpu) -> &RunPage {
    let vcpu: &mut dyn Any = vcpu;
    let vcpu: &mut KvmVcpu = vcpu.downcast_mut().unwrap();
    &vcpu.tapped().0.page
}

#[test]
fn no_exit_of_an_event_takes_an_ioctl_for_registers() {
    if !has_kvm() {
        return;
    }
    let kinds = [EventKind::Msr, EventKind::MsrRead];
    let play = play("msr-verdicts", 1, &all_of(&kinds), |_, vcpu| {
        let general = vcpu.general().unwrap();
        assert_eq!(general.rcx, u64::from(msr::STAR));
        vcpu.special().unwrap();
        assert_eq!(page(vcpu).fetches(), 0, "they came out with the exit");
        Verdict::Continue
    });
    assert_eq!(play.events.len(), 3);
}

#[test]
fn what_came_out_with_no_exit_is_fetched_once() {
    if !has_kvm() {
        return;
    }
    at_second_write(|vcpu| {
        for _ in 0..2 {
            page(vcpu).fetch(Pieces::EVENTS).unwrap();
        }
        assert_eq!(page(vcpu).fetches(), 1);
    });
}

#[test]
fn registers_that_a_judge_sets_are_the_guests() {
    if !has_kvm() {
        return;
    }
    // R15 counts the guest's #GP, and R12 holds its last CR2: it reports both.
    let play = at_second_write(|vcpu| {
        let mut general = vcpu.general().unwrap();
        (general.r15, general.r12) = (40, 0x1234);
        vcpu.set_general(&general).unwrap();
        assert_eq!(vcpu.general().unwrap(), general, "seen by the next judge");
    });
    let [rax, _, faults, _, _, cr2] = play.values()[..] else {
        panic!("{:?}", play.reports);
    };
    assert_eq!((rax, faults, cr2), (STAR_SECOND & 0xffff_ffff, 40, 0x1234));
}

#[test]
fn an_instruction_pointer_that_a_judge_moves_counts_once_the_instruction_is_done() {
    if !has_kvm() {
        return;
    }
    // Back to the beginning of the guest at its last write, once.
    let moved = Mutex::new(false);
    let play = at_second_write(|vcpu| {
        let mut moved = moved.lock().unwrap();
        if !*moved {
            *moved = true;
            let mut general = vcpu.general().unwrap();
            (general.rip, general.rdi) = (abi::LOAD, 0);
            vcpu.set_general(&general).unwrap();
        }
    });
    assert_eq!(play.end(), &End::Finished(0));
    let olds: Vec<_> = play
        .events
        .iter()
        .map(|(_, event)| event.data.old())
        .collect();
    let expected = [0, STAR_FIRST, STAR_SECOND, STAR_FIRST].map(Some);
    assert_eq!(olds, expected, "the second write was done before the jump");
}

#[test]
fn a_pointer_moved_at_an_input_leaves_the_input_done() {
    if !has_kvm() {
        return;
    }
    let moved = Mutex::new(false);
    let wants = all_of(&[oriel_protocol::EventKind::Mmio]);
    let play = play("mmio", 1, &wants, |event, vcpu| {
        let mut moved = moved.lock().unwrap();
        if !*moved && !event.retired {
            *moved = true;
            let mut general = vcpu.general().unwrap();
            general.rip = abi::LOAD;
            vcpu.set_general(&general).unwrap();
        }
        Verdict::Continue
    });
    assert_eq!(play.end(), &End::Finished(0));
    assert_eq!(
        play.events.len(),
        2 + 3,
        "a store and a load, then all three"
    );
}

#[test]
fn a_judges_rax_stays_where_a_read_is_skipped() {
    if !has_kvm() {
        return;
    }
    let play = play("msr-verdicts", 1, &reads_of(msr::STAR), |_, vcpu| {
        let mut general = vcpu.general().unwrap();
        general.rax = 0xfeed_0000_0000_0001;
        vcpu.set_general(&general).unwrap();
        Verdict::Skip
    });
    assert_eq!(play.values()[0], 0xfeed_0000_0000_0001);
}

#[test]
fn msrs_are_set_by_the_rules_of_a_guests_write() {
    if !has_kvm() {
        return;
    }
    at_second_write(|vcpu| {
        assert_eq!(vcpu.set_msr(msr::LSTAR, 0x1000), Ok(()));
        assert_eq!(vcpu.msr(msr::LSTAR), Ok(0x1000));
        let not_canonical = 0x1234_0000_0000_0000;
        assert_eq!(
            vcpu.set_msr(msr::LSTAR, not_canonical),
            Err(Refusal::Invalid)
        );
        assert_eq!(
            vcpu.set_msr(msr::EFER, 0xc01),
            Err(Refusal::Invalid),
            "LME under paging"
        );
        assert_eq!(vcpu.set_msr(0x1337, 1), Err(Refusal::NotFound));
        assert_eq!(vcpu.msr(0x1337), Err(Refusal::NotFound));
        assert_eq!(
            vcpu.set_msr(0x10, 1),
            Err(Refusal::Unsupported),
            "the clock"
        );
        assert_eq!(vcpu.set_msr(msr::EFER, 0xd00), Ok(()));
        assert_eq!(
            vcpu.special().unwrap().efer,
            0xd00,
            "the registers say so too"
        );
        assert_eq!(vcpu.set_msr(msr::GS_BASE, 0x7000), Ok(()));
        assert_eq!(vcpu.special().unwrap().gs.base, 0x7000);
    });
}

#[test]
fn special_registers_are_set_or_refused_at_once() {
    if !has_kvm() {
        return;
    }
    let play = at_second_write(|vcpu| {
        let before = vcpu.special().unwrap();
        let mut special = before;
        (special.cr2, special.fs.base) = (0x4242, 0x5000);
        assert_eq!(vcpu.set_special(&special), Ok(()));
        assert_eq!(vcpu.special(), Ok(special));
        assert_eq!(vcpu.msr(msr::FS_BASE), Ok(0x5000));
        // Paging without protection.
        special.cr0 &= !1;
        assert_eq!(vcpu.set_special(&special), Err(Refusal::Invalid));
        assert_eq!(vcpu.special().unwrap().cr0, before.cr0);
    });
    assert_eq!(play.end(), &End::Finished(0));
}

#[test]
fn the_rest_of_the_state_is_there() {
    if !has_kvm() {
        return;
    }
    at_second_write(|vcpu| {
        assert!(vcpu.cpuid(0, 0).unwrap().eax >= 1);
        assert_eq!(vcpu.cpuid(0x4444_0000, 0), Err(Refusal::NotFound));
        assert_eq!(vcpu.xcr(0).unwrap() & 1, 1);
        assert_eq!(vcpu.xcr(1), Err(Refusal::NotFound));
        let mut area = vcpu.xsave().unwrap();
        assert_eq!(area.len(), 4096);
        area[160..168].copy_from_slice(&7u64.to_le_bytes());
        // Without the bit for SSE in the header, XMM0 counts as zero.
        area[512] |= 0b11;
        vcpu.set_xsave(&area).unwrap();
        assert_eq!(vcpu.xsave().unwrap()[160..168], 7u64.to_le_bytes());
        assert_eq!(vcpu.set_xsave(&area[1..]), Err(Refusal::Invalid));
        assert!(vcpu.mtrr_type(0x10_0000).unwrap() <= 6);
        assert!(vcpu.tsc_hz().is_ok_and(|hz| hz > 1_000_000) || vcpu.tsc_hz().is_err());
    });
}

#[test]
fn a_command_injects_behind_the_instruction_that_is_let_be() {
    if !has_kvm() {
        return;
    }
    let fault = Exception {
        vector: 14,
        error_code: Some(0),
        address: 0xabc0,
    };
    let play = at_second_write(|vcpu| {
        assert_eq!(vcpu.inject(fault), Ok(()));
        assert_eq!(vcpu.inject(fault), Err(Refusal::Busy));
    });
    let [.., page_faults, cr2] = play.values()[..] else {
        panic!("{:?}", play.reports);
    };
    assert_eq!((page_faults, cr2), (1, 0xabc0));
}

#[test]
fn what_is_no_exception_is_not_injected() {
    if !has_kvm() {
        return;
    }
    at_second_write(|vcpu| {
        let wrong = [(2, None), (32, None), (13, None), (6, Some(0))];
        for (vector, error_code) in wrong {
            let exception = Exception {
                vector,
                error_code,
                address: 0,
            };
            assert_eq!(
                vcpu.inject(exception),
                Err(Refusal::Invalid),
                "{exception:?}"
            );
        }
    });
}

#[test]
fn state_is_there_before_the_first_entry() {
    if !has_kvm() {
        return;
    }
    let (mut parts, _) = machine("hello", 2);
    let general = parts.vcpus[1].general().unwrap();
    assert_eq!((general.rip, general.rdi, general.rsi), (abi::LOAD, 1, 2));
    assert_eq!(parts.vcpus[1].special().unwrap().cr3, 0x2000);
}

#[test]
fn a_kicked_vcpu_shows_its_last_instruction_done() {
    if !has_kvm() {
        return;
    }
    let (mut parts, _) = machine("msr-verdicts", 1);
    let timer = Timer::of(&parts);
    parts.machine.arm(&reads_of(msr::STAR)).unwrap();
    let mut vcpu = parts.vcpus.remove(0);
    let Exit::Event(event) = vcpu.enter(Verdict::Continue).unwrap() else {
        panic!("the read");
    };
    vcpu.kicker().kick();
    assert_eq!(vcpu.enter(Verdict::Continue).unwrap(), Exit::Kicked);
    let general = vcpu.general().unwrap();
    assert_eq!(general.rip, event.ip + 2, "behind the RDMSR");
    assert_eq!(
        (general.rax, general.rdx),
        (STAR_SECOND & 0xffff_ffff, STAR_SECOND >> 32)
    );
    let end = to_the_end(vcpu.as_mut(), &timer, |_, _| Verdict::Continue);
    assert_eq!(end, End::Finished(0));
}

#[test]
fn memory_is_the_guests() {
    if !has_kvm() {
        return;
    }
    let (parts, kept) = machine("hello", 1);
    let machine = parts.machine.clone();
    let memory = machine.memory();
    assert_eq!(memory.end(), 16 << 20);
    let image = oriel_guests::by_name("hello", 1).unwrap().image;
    let at = image
        .windows(5)
        .position(|bytes| bytes == b"hello")
        .unwrap();
    memory.write_at(abi::LOAD + at as u64, b"HELLO").unwrap();
    assert_eq!(
        run(parts, &kept, |_, _| Verdict::Continue).serial,
        "HELLO from the guest\n"
    );
    assert!(machine.arm(&nothing()).is_ok());
}
