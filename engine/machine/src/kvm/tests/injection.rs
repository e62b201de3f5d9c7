//! Exceptions that judges ask for, and the `trap` events that tell of them.

use oriel_guests::{RAX_BEFORE, STAR_SECOND};
use oriel_protocol::{
    Event, EventData, EventKind, Refusal, Value, Verdict, VerdictSet,
    events::Trap,
    x86::{Exception, msr},
};

use super::theatre::{Play, has_kvm, play, writes_of};
use crate::{End, Vcpu, Wants};

const UD: Exception = exception(6, None, 0);
const PF: Exception = exception(14, Some(2), 0xdead_0000);

const fn exception(vector: u8, error_code: Option<u32>, address: u64) -> Exception {
    Exception {
        vector,
        error_code,
        address,
    }
}

fn wants() -> Wants {
    let mut wants = writes_of(msr::STAR);
    wants.events.insert(EventKind::Trap);
    wants
}

fn is_second(event: &Event) -> bool {
    event.data.proposed() == Some(Value::Word(STAR_SECOND))
}

/// Runs `msr-verdicts` with this answer to its second write, and no answer to deliveries.
fn second_write(answer: impl Fn(&mut dyn Vcpu) -> Verdict + Sync) -> Play {
    let play = play("msr-verdicts", 1, &wants(), |event, vcpu| {
        if is_second(event) {
            return answer(vcpu);
        }
        Verdict::Continue
    });
    assert_eq!(play.end(), &End::Finished(0));
    play
}

/// The deliveries that were told, with where the vCPU stood.
fn told(play: &Play) -> Vec<(Trap, u64)> {
    let trap = |(_, event): &(u32, Event)| {
        if let EventData::Trap(trap) = event.data {
            Some((trap, event.ip))
        } else {
            None
        }
    };
    play.events.iter().filter_map(trap).collect()
}

fn trap(exception: Exception) -> Trap {
    Trap {
        vector: exception.vector,
        error_code: exception.error_code,
        address: exception.address,
    }
}

/// Where the second write stands.
fn write_ip(play: &Play) -> u64 {
    let second = play.events.iter().find(|(_, event)| is_second(event));
    second.map(|(_, event)| event.ip).unwrap()
}

#[test]
fn an_injected_exception_is_told_before_it_is_delivered_and_then_is() {
    if !has_kvm() {
        return;
    }
    for (exception, faults) in [(UD, [1, 0, 0]), (PF, [0, 1, 0xdead_0000])] {
        let play = second_write(|_| Verdict::Inject(exception));
        assert_eq!(told(&play), [(trap(exception), write_ip(&play))]);
        assert_eq!(play.values()[3..], faults, "#UD, #PF and CR2 in the guest");
        let event = &play.events[2].1;
        assert_eq!(event.allowed, VerdictSet::CONTINUE.union(VerdictSet::CRASH));
    }
}

#[test]
fn what_a_command_injects_is_told_behind_the_instruction_that_happens() {
    if !has_kvm() {
        return;
    }
    let play = second_write(|vcpu| {
        assert_eq!(vcpu.inject(UD), Ok(()));
        assert_eq!(vcpu.inject(PF), Err(Refusal::Busy));
        Verdict::Continue
    });
    assert_eq!(told(&play), [(trap(UD), write_ip(&play) + 2)]);
    assert_eq!(play.values()[3], 1, "the guest took it");
}

#[test]
fn a_fault_takes_the_place_of_a_pending_injection_and_is_told_instead() {
    if !has_kvm() {
        return;
    }
    let play = second_write(|vcpu| {
        assert_eq!(vcpu.inject(UD), Ok(()));
        Verdict::Deny
    });
    assert_eq!(told(&play), [(trap(Exception::GP0), write_ip(&play))]);
    assert_eq!(play.values()[2..4], [1, 0], "#GP and no #UD");
}

#[test]
fn a_denied_instruction_faults_without_a_trap_event() {
    if !has_kvm() {
        return;
    }
    let play = second_write(|_| Verdict::Deny);
    assert_eq!(told(&play), []);
    assert_eq!(play.values()[2], 1, "the guest took #GP");
}

#[test]
fn an_exception_in_delivery_leaves_no_room_for_another_until_it_is_delivered() {
    if !has_kvm() {
        return;
    }
    let play = play("msr-verdicts", 1, &wants(), |event, vcpu| {
        if event.kind() == EventKind::Trap {
            assert_eq!(vcpu.inject(PF), Err(Refusal::Busy));
        } else if is_second(event) {
            vcpu.inject(UD).unwrap();
        } else {
            assert_eq!(vcpu.inject(exception(32, None, 0)), Err(Refusal::Invalid));
            assert_eq!(vcpu.inject(exception(13, None, 0)), Err(Refusal::Invalid));
        }
        Verdict::Continue
    });
    assert_eq!(play.end(), &End::Finished(0));
    assert_eq!(play.values()[3..5], [1, 0], "one #UD and no #PF");
}

#[test]
fn a_delivery_can_stop_the_vm() {
    if !has_kvm() {
        return;
    }
    let play = play("msr-verdicts", 1, &wants(), |event, _| {
        if event.kind() == EventKind::Trap {
            Verdict::Crash
        } else if is_second(event) {
            Verdict::Inject(UD)
        } else {
            Verdict::Continue
        }
    });
    assert_eq!(play.end(), &End::Stopped);
    assert!(play.values().iter().all(|value| *value != RAX_BEFORE));
}
