//! What `KVM_RUN` can say at any time: nothing of it loses an event, hangs or panics.

use std::{any::Any, sync::Arc};

use kvm_bindings::{
    KVM_EXIT_DEBUG, KVM_EXIT_INTERNAL_ERROR, KVM_EXIT_MEMORY_FAULT, kvm_debug_exit_arch, kvm_run,
};
use kvm_ioctls::VcpuFd;
use oriel_guests::PAGE;
use oriel_protocol::{Access, Event, EventKind, Verdict, page::frame};
use rustix::io::Errno;

use super::theatre::{
    Play, Timer, all_of, build, continues, has_kvm, machine, nothing, run, to_the_end,
};
use crate::{
    End, Exit, MachineError, Parts, Vcpu, Wants,
    kvm::{
        entry::{Entry, KvmRun},
        exit::RawExit,
        sys::page::RunPage,
        tapped::Tapped as _,
        vcpu::KvmVcpu,
    },
    outlet::Kept,
};

/// What is said in the place of KVM; none: KVM is asked.
type Answer = Option<Result<(), Errno>>;

/// Answers the entries of one vCPU, which are counted from 0.
struct Answers<F> {
    entries: u64,
    answer: F,
}

impl<F: FnMut(u64, &mut VcpuFd) -> Answer + Send> Entry for Answers<F> {
    fn run(&mut self, vcpu: &mut VcpuFd) -> Result<(), Errno> {
        let answer = (self.answer)(self.entries, vcpu);
        self.entries += 1;
        answer.unwrap_or_else(|| KvmRun.run(vcpu))
    }
}

fn answer_by(
    vcpu: &mut Box<dyn Vcpu>,
    answer: impl FnMut(u64, &mut VcpuFd) -> Answer + Send + 'static,
) {
    let vcpu: &mut dyn Any = vcpu.as_mut();
    let vcpu: &mut KvmVcpu = vcpu.downcast_mut().unwrap();
    vcpu.tapped().0.enter_by(Answers { entries: 0, answer });
}

/// A guest that does something of each kind, under traps of each kind.
fn watched(name: &str) -> (Parts, Arc<Kept>) {
    let guest = oriel_guests::by_name(name, 1).unwrap();
    let breakpoints = guest.marks.iter().map(|(_, at)| *at).take(3).collect();
    let (parts, kept) = build(guest);
    parts.machine.memory().write_at(PAGE, &[0xc3; 8]).unwrap();
    let kinds = [
        EventKind::Msr,
        EventKind::MsrRead,
        EventKind::Pio,
        EventKind::Mmio,
        EventKind::Breakpoint,
        EventKind::Page,
    ];
    let wants = Wants {
        breakpoints,
        pages: [(frame(PAGE), Access::NONE)].into(),
        ..all_of(&kinds)
    };
    parts.machine.arm(&wants).unwrap();
    (parts, kept)
}

const GUESTS: [&str; 7] = [
    "msr-attack",
    "pio",
    "mmio",
    "int3",
    "calls",
    "pages",
    "user-pages",
];

/// A signal that comes just then: KVM completes what is open, and returns.
fn signalled(vcpu: &mut VcpuFd, errno: Errno) -> Result<(), Errno> {
    vcpu.set_kvm_immediate_exit(1);
    let said = KvmRun.run(vcpu);
    vcpu.set_kvm_immediate_exit(0);
    said.map_err(|said| if said == Errno::INTR { errno } else { said })
}

fn data(play: &Play) -> Vec<&Event> {
    play.events.iter().map(|(_, event)| event).collect()
}

#[test]
fn signals_and_eagain_before_any_entry_lose_and_repeat_nothing() {
    if !has_kvm() {
        return;
    }
    for name in GUESTS {
        let (parts, kept) = watched(name);
        let plain = run(parts, &kept, continues);
        let (mut parts, kept) = watched(name);
        answer_by(&mut parts.vcpus[0], |entry, vcpu| {
            let completing = vcpu.get_kvm_run().immediate_exit != 0;
            let errno = [Errno::INTR, Errno::AGAIN][usize::from(entry % 3 == 1)];
            (!completing && entry % 3 != 2).then(|| signalled(vcpu, errno))
        });
        let disturbed = run(parts, &kept, continues);
        assert_eq!(disturbed.end(), plain.end(), "{name}");
        assert_eq!(disturbed.reports, plain.reports, "{name}");
        assert_eq!(disturbed.serial, plain.serial, "{name}");
        assert_eq!(data(&disturbed), data(&plain), "{name}");
    }
}

/// Runs the vCPU, and has an INT3 come out as it does where the processor runs the guest: as #BP,
/// and not as an instruction that KVM's emulator lacks.
fn as_on_hardware(vcpu: &mut VcpuFd) -> Result<(), Errno> {
    KvmRun.run(vcpu)?;
    let page = RunPage::map(vcpu, size_of::<kvm_run>()).unwrap();
    if matches!(page.exit(), RawExit::Internal(error) if error.is_int3()) {
        let pc = page.rip();
        let run = vcpu.get_kvm_run();
        run.exit_reason = KVM_EXIT_DEBUG;
        run.__bindgen_anon_1.debug.arch = kvm_debug_exit_arch {
            exception: 3,
            pc,
            ..Default::default()
        };
    }
    Ok(())
}

#[test]
fn an_int3_that_comes_out_as_bp_is_one_event_and_stepped_over() {
    if !has_kvm() {
        return;
    }
    for name in ["int3", "calls"] {
        let (parts, kept) = watched(name);
        let emulated = run(parts, &kept, continues);
        let (mut parts, kept) = watched(name);
        answer_by(&mut parts.vcpus[0], |_, vcpu| Some(as_on_hardware(vcpu)));
        let play = run(parts, &kept, continues);
        assert_eq!(play.end(), emulated.end(), "{name}");
        assert_eq!(play.reports, emulated.reports, "{name}");
        assert!(
            data(&play)
                .iter()
                .any(|event| event.kind() == EventKind::Breakpoint)
        );
        assert_eq!(data(&play), data(&emulated), "{name}");
    }
}

/// How a guest with nothing armed ends whose third entry is answered so.
fn end_of(answer: impl Fn(&mut VcpuFd) -> Result<(), Errno> + Send + 'static) -> String {
    let (mut parts, kept) = machine("hello", 2);
    parts.machine.arm(&nothing()).unwrap();
    answer_by(&mut parts.vcpus[0], move |entry, vcpu| {
        (entry == 2).then(|| answer(vcpu))
    });
    let play = run(parts, &kept, continues);
    let end = play.end();
    assert!(matches!(end, End::Failed(_) | End::Crashed(_)), "{end:?}");
    end.to_string()
}

/// An exit of this reason, whose data are these words.
fn exit(reason: u32, words: [u64; 3]) -> impl Fn(&mut VcpuFd) -> Result<(), Errno> {
    move |vcpu| {
        let run = vcpu.get_kvm_run();
        run.exit_reason = reason;
        run.__bindgen_anon_1.padding = [0; 256];
        let internal = kvm_bindings::kvm_run__bindgen_ty_1__bindgen_ty_13 {
            suberror: u32::try_from(words[0]).unwrap(),
            ndata: u32::try_from(words[1]).unwrap(),
            data: [words[2]; 16],
        };
        run.__bindgen_anon_1.internal = internal;
        Ok(())
    }
}

#[test]
fn what_nobody_can_make_anything_of_ends_the_vm_in_words() {
    if !has_kvm() {
        return;
    }
    let unknown = end_of(exit(0xdead, [0; 3]));
    assert!(unknown.contains("exit reason 57005 at 0x"), "{unknown}");
    let fault = end_of(|_| Err(Errno::FAULT));
    assert!(fault.contains("could not reach guest memory"), "{fault}");
    let reported = end_of(exit(KVM_EXIT_MEMORY_FAULT, [0; 3]));
    assert!(
        reported.contains("could not reach guest memory"),
        "{reported}"
    );
    for suberror in [2, 3, 4, 77] {
        let internal = end_of(exit(KVM_EXIT_INTERNAL_ERROR, [suberror, 0, 0]));
        let words = format!("internal error {suberror}: see the host's kernel log");
        assert!(internal.contains(&words), "{internal}");
    }
    let nowhere = end_of(exit(KVM_EXIT_INTERNAL_ERROR, [1, 6, 0]));
    assert!(nowhere.contains("cannot fetch an instruction"), "{nowhere}");
}

#[test]
fn a_vcpu_whose_file_is_dead_ends_the_vm_for_the_others_too() {
    if !has_kvm() {
        return;
    }
    for errno in [Errno::BADF, Errno::IO, Errno::NOMEM, Errno::HWPOISON] {
        let (mut parts, _) = machine("spin", 2);
        let timer = Timer::of(&parts);
        answer_by(&mut parts.vcpus[0], move |entry, vcpu| match entry {
            0 => Some(signalled(vcpu, Errno::INTR)),
            _ => Some(Err(errno)),
        });
        let (mut dead, mut other) = (parts.vcpus.remove(0), parts.vcpus.remove(0));
        std::thread::scope(|scope| {
            let other = scope.spawn(|| to_the_end(other.as_mut(), &timer, continues));
            let error = dead.enter(Verdict::Continue).unwrap_err();
            let MachineError::Host {
                vcpu,
                action,
                source,
            } = &error;
            assert_eq!((*vcpu, *action), (0, "KVM_RUN"));
            assert_eq!(source.raw_os_error(), Some(errno.raw_os_error()));
            assert_eq!(other.join().unwrap(), End::Failed(error.to_string()));
        });
        // It says so again, for whoever asks.
        assert!(matches!(
            dead.enter(Verdict::Continue),
            Ok(Exit::Ended(End::Failed(_)))
        ));
    }
}

/// Says something in the place of KVM.
type Says = fn(&mut VcpuFd) -> Result<(), Errno>;

/// What an entry can be answered with.
const ANSWERS: [Says; 9] = [
    |_| Err(Errno::FAULT),
    |_| Err(Errno::BADF),
    |_| Err(Errno::NOMEM),
    |_| Err(Errno::AGAIN),
    |vcpu| exit(0xdead, [0; 3])(vcpu),
    |vcpu| exit(KVM_EXIT_INTERNAL_ERROR, [1, 6, 0])(vcpu),
    |vcpu| exit(KVM_EXIT_INTERNAL_ERROR, [1, 8, u64::MAX])(vcpu),
    |vcpu| exit(KVM_EXIT_INTERNAL_ERROR, [3, 16, 0])(vcpu),
    |vcpu| exit(KVM_EXIT_MEMORY_FAULT, [0; 3])(vcpu),
];

#[test]
fn a_bad_answer_at_any_entry_is_an_end_or_nothing_at_all() {
    if !has_kvm() {
        return;
    }
    for name in GUESTS {
        for (number, answer) in ANSWERS.into_iter().enumerate() {
            for at in [0, 1, 2, 3, 5, 8, 13] {
                let (mut parts, _) = watched(name);
                answer_by(&mut parts.vcpus[0], move |entry, vcpu| {
                    (entry == at).then(|| answer(vcpu))
                });
                let timer = Timer::of(&parts);
                let mut vcpu = parts.vcpus.remove(0);
                let ended = (0..5_000).any(|_| {
                    vcpu.acknowledge_kick();
                    timer.check();
                    !matches!(
                        vcpu.enter(Verdict::Continue),
                        Ok(Exit::Event(_) | Exit::Kicked)
                    )
                });
                assert!(ended, "{name}: answer {number} at entry {at}");
            }
        }
    }
}
