//! What the guest does, as vCPU threads see it, and what their verdicts do.

use oriel_protocol::{
    Access, EventData, EventKind, HardwarePoint, Refusal, VerdictKind, VerdictSet,
    events::Breakpoint, x86::General,
};

use super::*;
use crate::ArmError;

#[test]
fn a_breakpoint_that_is_met_is_an_event_and_the_vcpu_runs_its_instruction_alone() {
    let fake = Fake::new(2, &then_the_end(&[Act::Reach(1, code(0x10))]));
    let attached = attached(&fake, &[0x10]);
    let seen = run(attached.parts.vcpus, go_on);
    assert!(ips(&seen[0].0).is_empty());
    let Exit::Event(event) = &seen[1].0[0] else {
        panic!("{seen:?}")
    };
    let expected = Breakpoint {
        gva: code(0x10),
        gpa: CODE_GPA + 0x10,
        length: 1,
        managed: true,
        access: Access::EXECUTE,
    };
    assert_eq!(event.data, EventData::Breakpoint(expected));
    assert_eq!((event.ip, event.cr3, event.cpl), (code(0x10), fake::CR3, 0));
    assert!(!event.retired && !event.allowed.contains(VerdictKind::Deny.set()));
    let log = fake.lock().log.clone();
    let passed = log.windows(2).any(|two| two == ["vCont;s:2", "vCont;c"]);
    assert!(passed, "{log:?}");
    assert!(log.contains(&format!("Z0,{:x},1", code(0x10))), "{log:?}");
}

#[test]
fn two_vcpus_are_judged_one_by_one_and_the_world_stands_meanwhile() {
    let acts = [Act::Reach(0, code(0x10)), Act::Reach(1, code(0x10))];
    let fake = Arc::new(Fake::new(2, &then_the_end(&acts)));
    let attached = attached(&fake, &[0x10]);
    let looked = Arc::clone(&fake);
    let seen = run(attached.parts.vcpus, move |_, _| {
        assert!(!looked.lock().running, "an event is open");
        Verdict::Continue
    });
    assert_eq!((ips(&seen[0].0).len(), ips(&seen[1].0).len()), (1, 1));
}

#[test]
fn a_cycle_of_a_breakpoint_takes_no_packet_that_is_not_needed() {
    let fake = Arc::new(Fake::new(1, &then_the_end(&[Act::Reach(0, code(0x10))])));
    let attached = attached(&fake, &[0x10]);
    let looked = Arc::clone(&fake);
    run(attached.parts.vcpus, move |vcpu, exit| {
        let asked = std::mem::take(&mut looked.lock().asked);
        let since = asked.rsplit(|packet| packet == "vCont;c").next();
        let all = since.unwrap_or_default().iter();
        assert_eq!(all.filter(|packet| *packet == "g").count(), 1, "{asked:?}");
        let control = vcpu.control().unwrap();
        assert_eq!((control.cr3, control.efer), (fake::CR3, 0x500));
        let Exit::Event(event) = exit else {
            panic!("{exit:?}")
        };
        assert_eq!(vcpu.general().unwrap().rip, event.ip);
        Verdict::Continue
    });
    let asked = fake.lock().asked.clone();
    assert_eq!(asked, ["vCont;s:1", "p10", "vCont;c"], "RIP is register 16");
}

#[test]
fn skip_goes_on_behind_the_instruction() {
    let fake = Fake::new(1, &then_the_end(&[Act::Reach(0, code(0x10))]));
    let attached = attached(&fake, &[0x10]);
    run(attached.parts.vcpus, |_, _| Verdict::Skip);
    let log = fake.lock().log.clone();
    let moved = log.iter().any(|line| line.starts_with("P10=1100008"));
    assert!(moved, "RIP is register 16: {log:?}");
    assert!(
        !log.iter().any(|line| line.starts_with("vCont;s")),
        "{log:?}"
    );
}

#[test]
fn registers_that_are_written_are_set_before_the_guest_goes_on() {
    let fake = Fake::new(1, &then_the_end(&[Act::Reach(0, code(0x10))]));
    let attached = attached(&fake, &[0x10]);
    run(attached.parts.vcpus, |vcpu, _| {
        let general = General {
            rax: 0x1234,
            ..vcpu.general().unwrap()
        };
        vcpu.set_general(&general).unwrap();
        assert_eq!(vcpu.general().unwrap().rax, 0x1234);
        Verdict::Continue
    });
    let state = fake.lock();
    assert_eq!(state.vcpus[0].get("rax"), Some(&0x1234));
    let written = state.log.iter().filter(|line| line.starts_with('P'));
    assert_eq!(written.count(), 1, "only what has changed: {:?}", state.log);
}

#[test]
fn a_verdict_that_was_not_allowed_ends_the_vm_in_words() {
    let fake = Fake::new(1, &[Act::Reach(0, code(0x10))]);
    let attached = attached(&fake, &[0x10]);
    let seen = run(attached.parts.vcpus, |_, _| Verdict::Deny);
    let End::Failed(words) = &seen[0].1 else {
        panic!("{seen:?}")
    };
    assert!(words.contains("`deny`"), "{words}");
}

#[test]
fn a_watched_access_is_an_event_behind_the_instruction() {
    let fake = Fake::new(1, &[]);
    let attached = attached(&fake, &[]);
    let wants = Wants {
        hardware: vec![HardwarePoint::new(0x2000, 8, Access::WRITE).unwrap()],
        ..wants(&[])
    };
    attached.machine.arm(&wants).unwrap();
    fake.play(&[Act::Write(0, 0x2000), Act::ShutDown]);
    let seen = run(attached.parts.vcpus, go_on);
    let Exit::Event(event) = &seen[0].0[0] else {
        panic!("{seen:?}")
    };
    let EventData::Breakpoint(hit) = event.data else {
        panic!("{event:?}")
    };
    assert_eq!(
        (hit.gva, hit.length, hit.access),
        (0x2000, 8, Access::WRITE)
    );
    assert!(event.retired);
    let takes = VerdictSet::CONTINUE.union(VerdictSet::CRASH);
    assert_eq!(event.allowed, takes);
    assert!(fake.lock().log.contains(&"Z2,2000,8".to_owned()));
}

#[test]
fn a_stepped_vcpu_tells_of_each_instruction() {
    let fake = Arc::new(Fake::new(2, &[]));
    let attached = attached(&fake, &[]);
    let wants = Wants {
        events: EventSet::from_iter([EventKind::Singlestep]),
        singlestep: vec![1],
        ..Wants::default()
    };
    attached.machine.arm(&wants).unwrap();
    let (machine, left) = (
        attached.machine.clone(),
        std::sync::atomic::AtomicU32::new(3),
    );
    let looked = Arc::clone(&fake);
    let seen = run(attached.parts.vcpus, move |_, _| {
        if left.fetch_sub(1, std::sync::atomic::Ordering::SeqCst) == 1 {
            machine.arm(&Wants::default()).unwrap();
            looked.play(&[Act::ShutDown]);
        }
        Verdict::Continue
    });
    assert_eq!(ips(&seen[1].0), [code(1), code(2), code(3)]);
    assert!(fake.lock().log.contains(&"vCont;s:2;c:1".to_owned()));
}

#[test]
fn what_cannot_be_reported_is_refused_with_the_reason_and_nothing_changes() {
    let fake = Fake::new(1, &[]);
    let attached = attached(&fake, &[0x10]);
    for kind in [EventKind::Msr, EventKind::Page, EventKind::Trap] {
        let wants = Wants {
            events: EventSet::from_iter([kind]),
            ..Wants::default()
        };
        let error = attached.machine.arm(&wants).unwrap_err();
        assert_eq!(Refusal::from(&error), Refusal::Unsupported);
        assert!(error.to_string().contains("gdbstub"), "{error}");
    }
    let error = attached.machine.arm(&wants(&[0x1_8000])).unwrap_err();
    assert!(matches!(error, ArmError::Unsupported { .. }), "{error}");
    assert!(error.to_string().contains("virtual"), "{error}");
    assert_eq!(fake.lock().points.len(), 1, "the first one is still there");
}

#[test]
fn a_breakpoint_of_another_address_space_is_gone_over_in_silence() {
    let fake = Fake::new(1, &[]);
    let attached = attached(&fake, &[0x10]);
    // The page moves: the same virtual address leads elsewhere now.
    fake.lock().memory[0x4000..0x4008].copy_from_slice(&0x1_1003_u64.to_le_bytes());
    fake.play(&then_the_end(&[Act::Reach(0, code(0x10))]));
    let seen = run(attached.parts.vcpus, go_on);
    assert!(ips(&seen[0].0).is_empty());
    assert!(fake.lock().log.contains(&"vCont;s:1".to_owned()));
}

#[test]
fn without_paging_breakpoints_are_where_the_segment_says() {
    let acts = [Act::Reach(0, 0x1_0020)];
    let fake = Fake::new(1, &then_the_end(&acts));
    for name in ["cr0", "efer", "cr3"] {
        fake.lock().vcpus[0].insert(name.to_owned(), 0);
    }
    let attached = attached(&fake, &[0x20]);
    let seen = run(attached.parts.vcpus, go_on);
    // The made-up monitor says that the base of CS is 0.
    assert_eq!(ips(&seen[0].0), [0x1_0020]);
}
