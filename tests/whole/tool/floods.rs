//! What no tool should send, and more than it should: nothing panics, what it makes us hold is
//! bounded, and the guest goes on.

mod anything;

use std::{
    io::{ErrorKind, Read as _, Write as _},
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use oriel_engine::tool::{Settings, candidate};
use oriel_machine::End;
use oriel_protocol::{
    Dialect, EventKind, Verdict,
    commands::{
        vcpu::GetVcpuInfo,
        vm::{ControlCommandResponse, GetVersion, ReadPhysical},
    },
    kvmi::tool::raw,
};
use oriel_tests::{
    FOREVER, Vm, native, scenario,
    tool::{NAME, Tool, on_vcpu, seat, settings},
};

use super::{BOTH_WRITE, KERNELS, WRITES, hear_star, hooked, hooked_by};

/// Numbers without order, the same each time (xorshift64).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let words = std::iter::repeat_with(|| self.next().to_le_bytes());
        words.flatten().take(length).collect()
    }
}

fn impatient(dialect: Dialect) -> Settings {
    Settings {
        deadline: Duration::from_millis(50),
        ..settings(dialect)
    }
}

fn goes_on(vm: Vm, what: &str) {
    vm.go(1);
    let ran = vm.wait();
    assert_eq!(ran.outcome.end, End::Finished(0), "{what}");
    assert_eq!(ran.reports, [9], "{what}");
}

#[test]
fn garbage_ends_the_connection_and_nothing_else() {
    for dialect in Dialect::ALL {
        for seed in 1..40 {
            let (vm, mut tool) = hooked(dialect, &scenario(WRITES));
            let garbage = Noise(seed).bytes(20_000);
            // It may be hung up on before all is sent.
            let _ = tool.try_bytes(&garbage);
            let _ = tool.hang_up();
            goes_on(vm, &format!("{dialect:?}, seed {seed}"));
        }
    }
}

#[test]
fn every_size_up_to_the_limit_is_read_and_one_more_is_not() {
    for dialect in Dialect::ALL {
        let (vm, mut tool) = hooked(dialect, &scenario(WRITES));
        let limit = dialect.max_received();
        for size in 0..=limit {
            // Longer than it needs to be: ignored.
            let _ = tool.send_raw(2, &vec![0; size]);
            if size % 16 == 0 {
                tool.sync();
            }
        }
        let _ = tool.send_raw(2, &vec![0; limit + 1]);
        assert!(tool.is_hung_up_on());
        assert_eq!(tool.answers_so_far(), limit + 1, "{dialect:?}");
        goes_on(vm, dialect.name());
    }
}

/// Every number that is no answer to an event and does not switch replies.
fn ids(dialect: Dialect) -> impl Iterator<Item = u16> {
    let batch = (dialect != Dialect::V12).then_some(27);
    (0..=u16::MAX).filter(move |&id| id != dialect.event_reply() && Some(id) != batch)
}

#[test]
fn every_number_is_answered_once() {
    // Refusals of number 1 read like events.
    for dialect in KERNELS {
        let (vm, mut tool) = hooked(dialect, &scenario(WRITES));
        let mut sent = 0;
        for id in ids(dialect).filter(|&id| id > 1) {
            let _ = tool.send_raw(id, &[0; 64]);
            sent += 1;
            if id % 64 == 0 {
                tool.sync();
            }
        }
        // A vCPU may be slower than the thread that answers this.
        while sent > 0 {
            let _ = tool.next_answered();
            sent -= 1;
        }
        let _ = tool.hang_up();
        goes_on(vm, dialect.name());
    }
}

#[test]
fn padding_that_is_not_zero_is_refused_or_closes_and_nothing_else() {
    for dialect in Dialect::ALL {
        for id in (2..64).filter(|&id| id != dialect.event_reply()) {
            for payload in [vec![0xff; 64], on_vcpu(0, &[0xff; 64])] {
                let (vm, mut tool) = hooked(dialect, &scenario(WRITES));
                let seq = tool.send_raw(id, &payload);
                let last = tool.next_seq();
                // It may be hung up on by now.
                let _ = tool.try_bytes(&raw(2, last, &[]));
                // Both are answered, or the connection has ended and neither of the two is left.
                let up = tool.is_answered(seq) && tool.is_answered(last);
                assert!(up || !tool.is_answered(last), "{dialect:?} {id}");
                let _ = tool.hang_up();
                vm.go(1);
                let ran = vm.wait();
                assert_eq!(ran.outcome.end, End::Finished(0), "{dialect:?} {id}");
            }
        }
    }
}

#[test]
fn a_tool_that_does_not_read_is_hung_up_on() {
    for dialect in KERNELS {
        let (vm, mut tool) = hooked_by(candidate(NAME, impatient(dialect)), &scenario(WRITES));
        let (gpa, length) = (0, 4096);
        let (_, read) = tool.vm_bytes(ReadPhysical { gpa, length });
        // Far more than two sockets hold.
        while tool.try_bytes(&read.repeat(100)) {}
        assert!(tool.ended().contains("does not read"), "{dialect:?}");
        goes_on(vm, dialect.name());
    }
}

#[test]
fn a_vcpu_that_waits_for_a_tool_that_does_not_read_goes_on() {
    for dialect in KERNELS {
        let (vm, mut tool) = hooked_by(candidate(NAME, impatient(dialect)), &scenario(WRITES));
        hear_star(&mut tool, 0);
        vm.go(1);
        let _open = tool.event_of(EventKind::Msr);
        let (gpa, length) = (0, 4096);
        let (_, read) = tool.vm_bytes(ReadPhysical { gpa, length });
        while tool.try_bytes(&read.repeat(100)) {}
        // Which of the two deadlines ends it, that of its answer or that of ours, is a matter of
        // microseconds.
        let _ = tool.ended();
        let ran = vm.wait();
        assert_eq!((ran.outcome.end, ran.reports), (End::Finished(0), vec![9]));
    }
}

#[test]
fn errors_as_events_that_nobody_reads_end_the_connection() {
    let seat = candidate(NAME, impatient(Dialect::V7));
    let (vm, mut tool) = hooked_by(seat, &scenario(WRITES));
    let _ = tool.send(ControlCommandResponse {
        enable: false,
        now: true,
        report_errors: true,
    });
    let bad = raw(7, 5, &on_vcpu(9, &[0; 8]));
    while tool.try_bytes(&bad.repeat(100)) {}
    assert!(tool.ended().contains("does not read"));
    goes_on(vm, "v7");
}

/// A vCPU that is at work for as long as the test wants.
fn busy() -> (
    oriel_engine::Candidate,
    mpsc::Receiver<()>,
    mpsc::Sender<()>,
) {
    let (entered, at_work) = mpsc::channel();
    let (let_go, gate) = mpsc::channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    let judge = native("busy", &[EventKind::Msr], move |case, _| {
        if case.moment.vcpu == 0 {
            // The test may have seen enough.
            let _ = entered.send(());
            let gate = gate.lock().expect("no panics");
            gate.recv_timeout(FOREVER).expect("the test lets it go");
        }
        Verdict::Continue
    });
    (judge, at_work, let_go)
}

#[test]
fn commands_for_a_vcpu_that_does_not_come_to_them_are_read_no_further() {
    let (judge, at_work, let_go) = busy();
    let vm = Vm::of(&scenario(WRITES), vec![judge, seat(Dialect::V7)]);
    let mut tool = vm.hook(NAME);
    vm.go(1);
    at_work.recv_timeout(FOREVER).expect("it is at work");
    let sent = fill(&mut tool);
    assert!(sent < 4 << 20, "it would hold everything that it is sent");
    // It never reads its answers: sending them would take as long as its patience.
    drop(tool);
    let_go.send(()).expect("it waits");
    let ran = vm.wait();
    assert_eq!((ran.outcome.end, ran.reports), (End::Finished(0), vec![9]));
}

/// Sends commands for vCPU 0 until no more are taken; how many bytes were.
fn fill(tool: &mut Tool) -> usize {
    let patience = Some(Duration::from_millis(200));
    tool.stream().set_write_timeout(patience).expect("a socket");
    let (_, command) = tool.vcpu_bytes(0, GetVcpuInfo {});
    let block = command.repeat(1000);
    let mut sent = 0;
    while sent < 4 << 20 {
        match tool.stream().write(&block) {
            Ok(more) => sent += more,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                break;
            }
        }
    }
    sent
}

#[test]
fn a_burst_for_a_vcpu_is_answered_to_the_last() {
    const COMMANDS: u32 = 20_000;
    for dialect in KERNELS {
        let (vm, mut tool) = hooked(dialect, &scenario(BOTH_WRITE));
        hear_star(&mut tool, 0);
        vm.go(2);
        let event = tool.event_of(EventKind::Msr);
        let mut burst = Vec::new();
        for nth in 0..COMMANDS {
            let vcpu = u16::from(nth % 3 == 0);
            burst.extend(tool.vcpu_bytes(vcpu, GetVcpuInfo {}).1);
        }
        let mut sender = tool.stream().try_clone().expect("a socket");
        let sending = std::thread::spawn(move || sender.write_all(&burst));
        for _ in 0..COMMANDS {
            let _ = tool.next_answered();
        }
        assert!(sending.join().expect("no panics").is_ok());
        tool.go_on(&event);
        assert_eq!(vm.wait().outcome.end, End::Finished(0), "{dialect:?}");
    }
}

#[test]
fn messages_that_come_byte_by_byte_or_all_at_once_mean_the_same() {
    for dialect in KERNELS {
        let (vm, mut tool) = hooked(dialect, &scenario(WRITES));
        let mut bytes = Vec::new();
        let mut seqs = Vec::new();
        for _ in 0..30 {
            let (seq, one) = tool.vm_bytes(GetVersion {});
            bytes.extend(one);
            seqs.push(seq);
            let (seq, one) = tool.vcpu_bytes(0, GetVcpuInfo {});
            bytes.extend(one);
            seqs.push(seq);
        }
        for byte in &bytes {
            tool.bytes(std::slice::from_ref(byte));
        }
        for &seq in &seqs {
            assert!(tool.answer_to(seq).1.is_ok());
        }
        tool.bytes(&bytes);
        for &seq in &seqs {
            assert!(tool.answer_to(seq).1.is_ok());
        }
        goes_on(vm, dialect.name());
    }
}

#[test]
fn nothing_is_sent_that_was_not_asked_for() {
    for dialect in Dialect::ALL {
        let vm = Vm::of(
            &oriel_machine::mock::builtin("every-kind").expect("built in"),
            vec![seat(dialect)],
        );
        let tool = vm.hook(NAME);
        vm.go(1);
        let mut rest = Vec::new();
        let read = tool.stream().read_to_end(&mut rest);
        assert_eq!(read.ok(), Some(0), "{dialect:?}");
        let _ = vm.wait();
    }
}
