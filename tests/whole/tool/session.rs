//! A session over a real socket: who is answered when, what is batched, what closes.

use std::sync::{Arc, Mutex, mpsc};

use oriel_machine::End;
use oriel_protocol::{
    Dialect, EventKind, Verdict,
    commands::{
        vcpu::{GetRegisters, GetVcpuInfo, SetRegisters},
        vm::{
            ControlCommandResponse, GetGuestInfo, GetVersion, PauseVcpu, ReadPhysical,
            WritePhysical,
        },
    },
    kvmi::{Action, tool::raw},
    x86::General,
};
use oriel_tests::{
    FOREVER, Vm, native, scenario,
    tool::{NAME, Tool, on_vcpu, reply, seat},
};

use super::{BOTH_WRITE, FINISH, KERNELS, SHOWS_RBX, WRITE_8, WRITES, errno, hear_star, hooked};

/// Replies off, or on again; at once or from the next command on.
const fn replies(enable: bool, now: bool) -> ControlCommandResponse {
    ControlCommandResponse {
        enable,
        now,
        report_errors: false,
    }
}

const fn pause(vcpu: u32) -> PauseVcpu {
    PauseVcpu { vcpu, wait: true }
}

#[test]
fn a_vcpu_that_is_busy_holds_up_nobody_elses_answer() {
    let (entered, at_work) = mpsc::channel();
    let (let_go, gate) = mpsc::channel::<()>();
    let (entered, gate) = (entered, Arc::new(Mutex::new(gate)));
    let busy = native("busy", &[EventKind::Msr], move |case, _| {
        if case.moment.vcpu == 0 {
            entered.send(()).expect("the test waits");
            let gate = gate.lock().expect("no panics");
            gate.recv_timeout(FOREVER).expect("the test lets it go");
        }
        Verdict::Continue
    });
    let vm = Vm::of(&scenario(BOTH_WRITE), vec![busy, seat(Dialect::V7)]);
    let mut tool = vm.hook(NAME);
    hear_star(&mut tool, 1);
    vm.go(2);
    at_work.recv_timeout(FOREVER).expect("it is at work");
    let slow = tool.send_on(0, GetVcpuInfo {});
    let event = tool.event_of(EventKind::Msr);
    assert_eq!(event.vcpu, 1);
    let quick = [
        tool.send_on(1, GetVcpuInfo {}),
        tool.send(GetGuestInfo {}),
        tool.send_on(1, GetRegisters { msrs: vec![] }),
    ];
    for seq in quick {
        assert!(tool.answer_to(seq).1.is_ok());
    }
    let_go.send(()).expect("it waits");
    assert_eq!(tool.next_answered(), slow, "and not before");
    tool.go_on(&event);
    assert_eq!(vm.wait().outcome.end, End::Finished(0));
}

#[test]
fn commands_for_the_vm_are_answered_in_their_order() {
    let (_vm, mut tool) = hooked(Dialect::V7, &scenario(WRITES));
    let sent: Vec<_> = (0..500).map(|_| tool.send(GetVersion {})).collect();
    let answered: Vec<_> = sent.iter().map(|_| tool.next_answered()).collect();
    assert_eq!(answered, sent);
}

#[test]
fn each_pause_is_one_event_and_a_thousand_wait_at_most() {
    for dialect in KERNELS {
        let (vm, mut tool) = hooked(dialect, &scenario(WRITES));
        assert_eq!(tool.vm(pause(0)), Ok(()));
        vm.go(1);
        let mut paused = tool.event_of(EventKind::Pause);
        for nth in 0..1000 {
            assert_eq!(tool.vm(pause(0)), Ok(()), "{nth}");
        }
        assert_eq!(tool.vm(pause(0)), Err(errno::BUSY));
        for _ in 0..1000 {
            tool.go_on(&paused);
            paused = tool.event_of(EventKind::Pause);
        }
        assert_eq!(tool.vm(pause(0)), Ok(()), "there is room again");
        tool.go_on(&paused);
        let last = tool.event_of(EventKind::Pause);
        tool.sync();
        assert_eq!(tool.events_so_far(), 0);
        tool.go_on(&last);
        assert_eq!(vm.wait().outcome.end, End::Finished(0));
    }
}

#[test]
fn a_pause_for_which_nobody_waits_is_answered_at_once() {
    let (vm, mut tool) = hooked(Dialect::V7, &scenario(WRITES));
    let (vcpu, wait) = (0, false);
    assert_eq!(tool.vm(PauseVcpu { vcpu, wait }), Ok(()));
    let (vcpu, wait) = (7, true);
    assert_eq!(tool.vm(PauseVcpu { vcpu, wait }), Err(errno::INVAL));
    let paused = tool.event_of(EventKind::Pause);
    tool.go_on(&paused);
    vm.go(1);
    assert_eq!(vm.wait().outcome.end, End::Finished(0));
}

#[test]
fn commands_are_served_while_a_vcpu_waits_for_an_answer() {
    let (vm, mut tool) = hooked(Dialect::V7, &scenario(WRITES));
    hear_star(&mut tool, 0);
    vm.go(1);
    let event = tool.event_of(EventKind::Msr);
    for _ in 0..200 {
        let registers = tool
            .on(0, GetRegisters { msrs: vec![] })
            .expect("registers");
        assert_eq!(registers.general, event.snapshot.general);
        assert!(tool.vm(ReadPhysical { gpa: 0, length: 8 }).is_ok());
    }
    assert_eq!(tool.vm(pause(0)), Ok(()), "its event comes after this one");
    tool.sync();
    assert_eq!(tool.events_so_far(), 0);
    tool.go_on(&event);
    let paused = tool.event_of(EventKind::Pause);
    tool.go_on(&paused);
    assert_eq!(vm.wait().outcome.end, End::Finished(0));
}

#[test]
fn a_vcpu_has_one_event_open_and_each_waits_for_its_own() {
    let (vm, mut tool) = hooked(Dialect::V7, &scenario(BOTH_WRITE));
    hear_star(&mut tool, 0);
    hear_star(&mut tool, 1);
    vm.go(2);
    let mut events = [tool.event_of(EventKind::Msr), tool.event_of(EventKind::Msr)];
    assert_eq!(
        [events[0].seq, events[1].seq],
        [1, 2],
        "numbered for the VM"
    );
    events.sort_by_key(|event| event.vcpu);
    assert_eq!([events[0].vcpu, events[1].vcpu], [0, 1]);
    tool.value(&events[1], 22);
    tool.value(&events[0], 11);
    let ran = vm.wait();
    assert_eq!(ran.outcome.end, End::Finished(0));
    let mut reports = ran.reports;
    reports.sort_unstable();
    assert_eq!(reports, [11, 22]);
}

#[test]
fn registers_that_are_set_count_from_the_answer_on() {
    for dialect in Dialect::ALL {
        let (vm, mut tool) = hooked(dialect, &scenario(SHOWS_RBX));
        hear_star(&mut tool, 0);
        vm.go(1);
        let event = tool.event_of(EventKind::Msr);
        let mut general = event.snapshot.general;
        for rbx in [1, 2] {
            general.rbx = rbx;
            assert_eq!(tool.on(0, SetRegisters { general }), Ok(()), "{dialect:?}");
        }
        tool.go_on(&event);
        assert_eq!(vm.wait().reports, [2], "{dialect:?}");
    }
}

#[test]
fn registers_that_are_set_outside_of_an_event_are_refused_or_in_v6_forgotten() {
    for dialect in Dialect::ALL {
        let (vm, mut tool) = hooked(dialect, &scenario(SHOWS_RBX));
        let general = General {
            rbx: 1,
            ..General::default()
        };
        let expected = match dialect {
            Dialect::Rfc6 | Dialect::V6 => Ok(()),
            Dialect::V7 | Dialect::V12 => Err(errno::OPNOTSUPP),
        };
        assert_eq!(
            tool.on(0, SetRegisters { general }),
            expected,
            "{dialect:?}"
        );
        vm.go(1);
        assert_eq!(vm.wait().reports, [0], "{dialect:?}");
    }
}

#[test]
fn a_batch_pauses_all_vcpus_and_is_answered_once() {
    let (vm, mut tool) = hooked(Dialect::V7, &scenario(BOTH_WRITE));
    let (_, mut batch) = tool.vm_bytes(replies(false, true));
    for vcpu in 0..2 {
        batch.extend(tool.vm_bytes(pause(vcpu)).1);
    }
    let (last, bytes) = tool.vm_bytes(replies(true, true));
    batch.extend(bytes);
    tool.bytes(&batch);
    let paused = [
        tool.event_of(EventKind::Pause),
        tool.event_of(EventKind::Pause),
    ];
    assert_ne!(paused[0].vcpu, paused[1].vcpu);
    assert_eq!(tool.next_answered(), last, "the only answer");
    tool.sync();
    paused.iter().for_each(|event| tool.go_on(event));
    vm.go(2);
    assert_eq!(vm.wait().outcome.end, End::Finished(0));
}

#[test]
fn a_batch_of_registers_and_the_answer_to_their_event_is_not_answered() {
    let twice = SHOWS_RBX.replace(FINISH, &format!("{WRITE_8}{FINISH}"));
    let (vm, mut tool) = hooked(Dialect::V7, &scenario(&twice));
    hear_star(&mut tool, 0);
    vm.go(1);
    let event = tool.event_of(EventKind::Msr);
    let general = General {
        rbx: 77,
        ..event.snapshot.general
    };
    let mut batch = tool.vm_bytes(replies(false, true)).1;
    batch.extend(tool.vcpu_bytes(0, SetRegisters { general }).1);
    batch.extend(tool.answer_bytes(&event, &reply(&event, Action::Continue)));
    batch.extend(tool.vm_bytes(replies(true, false)).1);
    let (after, bytes) = tool.vm_bytes(GetVersion {});
    batch.extend(bytes);
    tool.bytes(&batch);
    assert_eq!(tool.next_answered(), after, "replies are on again");
    let event = tool.event_of(EventKind::Msr);
    tool.go_on(&event);
    assert_eq!(vm.wait().reports, [77]);
}

#[test]
fn switching_replies_counts_now_or_from_the_next_command_on() {
    let (_vm, mut tool) = hooked(Dialect::V7, &scenario(WRITES));
    assert_eq!(tool.vm(replies(false, false)), Ok(()), "under the old rule");
    let _ = tool.send(pause(9));
    let _ = tool.send(replies(true, false));
    assert_eq!(tool.vm(replies(true, true)), Ok(()));
    let _ = tool.send(replies(false, true));
    assert_eq!(tool.vm(replies(true, true)), Ok(()), "under the new rule");
}

#[test]
fn a_burst_of_a_mebibyte_is_read_without_an_answer() {
    let (vm, mut tool) = hooked(Dialect::V7, &scenario(WRITES));
    let mut burst = tool.vm_bytes(replies(false, true)).1;
    let pages = (1 << 20) / 4096;
    for page in 0..pages {
        let (gpa, fill) = (0x10_0000 + page * 4096, page % 251 + 1);
        let bytes = vec![u8::try_from(fill).expect("a byte"); 4096];
        burst.extend(tool.vm_bytes(WritePhysical { gpa, bytes }).1);
    }
    let (last, bytes) = tool.vm_bytes(replies(true, true));
    burst.extend(bytes);
    assert!(burst.len() > 1 << 20);
    tool.bytes(&burst);
    assert_eq!(tool.next_answered(), last);
    let (gpa, length) = (0x10_0000 + (pages - 1) * 4096 + 5, 1);
    let fill = u8::try_from((pages - 1) % 251 + 1).expect("a byte");
    assert_eq!(tool.vm(ReadPhysical { gpa, length }), Ok(vec![fill]));
    vm.go(1);
    assert_eq!(vm.wait().outcome.end, End::Finished(0));
}

#[test]
fn an_event_and_a_command_that_cross_are_both_answered() {
    let looping = format!("loop = true\n{WRITES}\n{WRITE_8}");
    let (vm, mut tool) = hooked(Dialect::V7, &scenario(&looping));
    hear_star(&mut tool, 0);
    vm.go(1);
    let mut event = tool.event_of(EventKind::Msr);
    for seq in 2..300 {
        // The answer lets the next event come while the commands are on their way.
        let mut bytes = tool.answer_bytes(&event, &reply(&event, Action::Continue));
        let (on_vcpu, more) = tool.vcpu_bytes(0, GetVcpuInfo {});
        bytes.extend(more);
        let (of_vm, more) = tool.vm_bytes(GetGuestInfo {});
        bytes.extend(more);
        tool.bytes(&bytes);
        event = tool.event_of(EventKind::Msr);
        assert_eq!(event.seq, seq);
        assert!(tool.answer_to(on_vcpu).1.is_ok());
        assert!(tool.answer_to(of_vm).1.is_ok());
    }
    assert_eq!(vm.stop().outcome.end, End::Cancelled);
}

/// The tool answers an event as `answers` says and has to be hung up on; the guest goes on as if
/// it were not there.
fn closes(why: &str, answers: impl Fn(&mut Tool, &[u8])) {
    for dialect in KERNELS {
        let (vm, mut tool) = hooked(dialect, &scenario(BOTH_WRITE));
        hear_star(&mut tool, 0);
        vm.go(2);
        let event = tool.event_of(EventKind::Msr);
        let good = tool.answer_bytes(&event, &reply(&event, Action::Crash));
        answers(&mut tool, &good);
        assert!(tool.is_hung_up_on());
        let reason = tool.ended();
        assert!(reason.contains(why), "{dialect:?}: {reason}");
        let ran = vm.wait();
        assert_eq!(ran.outcome.end, End::Finished(0), "{dialect:?}: {why}");
        assert_eq!(ran.reports.len(), 2);
    }
}

#[test]
fn an_answer_under_another_number_closes() {
    closes("answers nothing", |tool, good| {
        let mut bad = good.to_vec();
        bad[4] ^= 0x80;
        tool.bytes(&bad);
    });
}

#[test]
fn an_answer_of_another_vcpu_closes() {
    closes("answers nothing", |tool, good| {
        let mut bad = good.to_vec();
        bad[8] = 1;
        tool.bytes(&bad);
        // A vCPU that does not exist waits for nothing either.
    });
    closes("answers nothing", |tool, good| {
        let mut bad = good.to_vec();
        bad[9] = 0xff;
        tool.bytes(&bad);
    });
}

#[test]
fn an_answer_that_is_too_short_too_long_or_padded_closes() {
    closes("16", |tool, good| {
        let seq = u32::from_le_bytes([good[4], good[5], good[6], good[7]]);
        let id = tool.dialect().event_reply();
        tool.bytes(&raw(id, seq, &good[8..8 + 15]));
    });
    closes("at most 24", |tool, good| {
        let seq = u32::from_le_bytes([good[4], good[5], good[6], good[7]]);
        let id = tool.dialect().event_reply();
        tool.bytes(&raw(id, seq, &[&good[8..], &[0]].concat()));
    });
    closes("padding", |tool, good| {
        let mut bad = good.to_vec();
        bad[8 + 8 + 2] = 1;
        tool.bytes(&bad);
    });
}

#[test]
fn an_answer_where_nothing_is_open_closes() {
    for dialect in Dialect::ALL {
        let (vm, mut tool) = hooked(dialect, &scenario(WRITES));
        tool.bytes(&raw(dialect.event_reply(), 1, &on_vcpu(0, &[0; 8])));
        assert!(tool.is_hung_up_on());
        assert!(tool.ended().contains("answers nothing"), "{dialect:?}");
        vm.go(1);
        assert_eq!(vm.wait().reports, [9]);
    }
}

#[test]
fn a_second_answer_to_the_same_event_closes() {
    for dialect in KERNELS {
        let (vm, mut tool) = hooked(dialect, &scenario(WRITES));
        hear_star(&mut tool, 0);
        vm.go(1);
        let event = tool.event_of(EventKind::Msr);
        let once = tool.answer_bytes(&event, &reply(&event, Action::Continue));
        tool.bytes(&[once.clone(), once].concat());
        assert!(tool.is_hung_up_on());
        // The guest may end the VM before the second is read.
        let _ = tool.ended();
        let ran = vm.wait();
        assert_eq!((ran.outcome.end, ran.reports), (End::Finished(0), vec![9]));
    }
}

#[test]
fn padding_in_the_header_of_a_vcpu_closes_and_in_v12_is_einval() {
    for dialect in Dialect::ALL {
        let (vm, mut tool) = hooked(dialect, &scenario(WRITES));
        let mut payload = on_vcpu(0, &[]);
        payload[5] = 1;
        let id = if tool.is_v12() { 3 } else { 6 };
        let seq = tool.send_raw(id, &payload);
        if tool.is_v12() {
            assert_eq!(tool.answer_to(seq), (id, Err(errno::INVAL)));
        } else {
            assert!(tool.is_hung_up_on());
            assert!(tool.ended().contains("padding"), "{dialect:?}");
        }
        vm.go(1);
        assert_eq!(vm.wait().reports, [9], "{dialect:?}");
    }
}

#[test]
fn a_refusal_is_sixteen_bytes_and_nothing_else() {
    use std::io::Read as _;
    for dialect in Dialect::ALL {
        let (_vm, mut tool) = hooked(dialect, &scenario(WRITES));
        let seq = tool.send_raw(0x7777, &[1; 33]);
        let mut message = [0xee; 64];
        let had = tool.stream().read(&mut message).expect("an answer");
        let errno = match dialect {
            Dialect::Rfc6 | Dialect::V6 => errno::OPNOTSUPP,
            Dialect::V7 | Dialect::V12 => errno::NOSYS,
        };
        let mut expected = vec![0x77, 0x77, 8, 0];
        expected.extend(seq.to_le_bytes());
        expected.extend(errno.to_le_bytes());
        expected.extend([0; 4]);
        assert_eq!(message[..had], expected, "{dialect:?}");
    }
}

#[test]
fn a_command_keeps_the_number_that_the_tool_gave_it() {
    let (_vm, mut tool) = hooked(Dialect::V7, &scenario(WRITES));
    for seq in [0, 1, u32::MAX, 0, 0x8000_0000] {
        tool.bytes(&raw(2, seq, &[]));
        assert_eq!(tool.next_answered(), seq);
    }
}

/// On a socket that keeps messages apart, each comes alone and whole: it was sent by one write.
#[test]
fn every_message_is_sent_by_one_write() {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    let pair = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    );
    let (ours, theirs) = pair.expect("two sockets");
    let vm = Vm::of(&scenario(BOTH_WRITE), vec![seat(Dialect::V7)]);
    let (mut tool, _ended) = Tool::over(Dialect::V7, ours.into());
    assert!(vm.try_hook(NAME, theirs).is_ok());
    let arm = [
        tool.vcpu_bytes(
            0,
            oriel_protocol::commands::vcpu::ControlEvents {
                event: EventKind::Msr,
                enable: true,
            },
        ),
        tool.vcpu_bytes(
            0,
            oriel_protocol::commands::vcpu::ControlMsr {
                msr: oriel_protocol::x86::msr::STAR,
                enable: true,
            },
        ),
    ];
    let more = [
        tool.vm_bytes(ReadPhysical {
            gpa: 0,
            length: 4096,
        }),
        tool.vcpu_bytes(
            0,
            GetRegisters {
                msrs: vec![0x174; 400],
            },
        ),
        tool.vcpu_bytes(1, GetVcpuInfo {}),
        tool.vm_bytes(pause(1)),
    ];
    let all = arm.iter().chain(&more);
    let bytes: Vec<_> = all.flat_map(|(_, bytes)| bytes.clone()).collect();
    tool.bytes(&bytes);
    // Six answers and a pause, then a write of STAR.
    let mut sizes: Vec<_> = (0..7).map(|_| whole_message(&tool)).collect();
    vm.go(2);
    sizes.push(whole_message(&tool));
    sizes.sort_unstable();
    let (event, registers) = (8 + 544, 16 + 472 + 16 * 400);
    assert_eq!(
        sizes,
        [16, 16, 16, 24, event, event + 24, 16 + 4096, registers]
    );
}

/// The size of the next message, which one read brings whole and alone.
fn whole_message(tool: &Tool) -> usize {
    use std::io::Read as _;
    let mut message = [0; 16 << 10];
    let had = tool.stream().read(&mut message).expect("a message");
    let announced = u16::from_le_bytes([message[2], message[3]]);
    assert_eq!(had, 8 + usize::from(announced));
    had
}
