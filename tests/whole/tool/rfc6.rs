//! The rules of the posted RFC v6 series, which had no implementation of their own to be tested
//! with: one test each.

use oriel_engine::tool::candidate;
use oriel_machine::End;
use oriel_protocol::{
    CommandId, CommandSet, Dialect, EventKind, Grant,
    commands::{
        VcpuId, VmId,
        vcpu::{GetRegisters, GetXsave},
        vm::{ControlCommandResponse, GetVersion, ReadPhysical, WritePhysical},
    },
};
use oriel_tests::{
    Vm, scenario,
    tool::{NAME, Tool, settings},
};

use super::{WRITES, errno, hear_star, hooked};

fn talk() -> (Vm, Tool) {
    hooked(Dialect::Rfc6, &scenario(WRITES))
}

#[test]
fn what_is_received_is_limited_to_a_page_less_a_header() {
    let (_vm, mut tool) = talk();
    assert_eq!(tool.raw(0x7777, &[0; 4088]), Err(errno::OPNOTSUPP));
    let _ = tool.send_raw(0x7777, &[0; 4089]);
    assert!(tool.is_hung_up_on());
    assert!(tool.ended().contains("4088"));
}

#[test]
fn a_write_of_a_whole_page_is_too_long_and_of_4072_bytes_is_not() {
    let (_vm, mut tool) = talk();
    let write = |size| WritePhysical {
        gpa: 0x5000,
        bytes: vec![1; size],
    };
    assert_eq!(tool.vm(write(4072)), Ok(()));
    let payload = [0x5000_u64, 4096].map(u64::to_le_bytes).concat();
    let _ = tool.send_raw(18, &[payload, vec![1; 4096]].concat());
    assert!(tool.is_hung_up_on());
}

#[test]
fn what_is_sent_may_be_longer() {
    let (_vm, mut tool) = talk();
    let (gpa, length) = (0x5000, 4096);
    let page = tool.vm(ReadPhysical { gpa, length });
    assert_eq!(page.map(|bytes| bytes.len()), Ok(4096));
    let area = tool.on(0, GetXsave {});
    assert_eq!(area.map(|bytes| bytes.len()), Ok(4096));
    let msrs = vec![0x174; 226];
    let registers = tool.on(0, GetRegisters { msrs });
    assert!(
        registers.is_err(),
        "but not registers, which name the limit"
    );
}

/// All but this.
fn all_but(command: CommandId) -> Grant {
    let all = Grant::all();
    let mut commands = CommandSet::default();
    let known = (0..64).filter_map(|id| CommandId::of(Dialect::Rfc6, id));
    known
        .filter(|&id| id != command)
        .for_each(|id| commands.insert(id));
    Grant { commands, ..all }
}

fn granted(grant: Grant) -> (Vm, Tool) {
    let seat = candidate(
        NAME,
        oriel_engine::tool::Settings {
            grant,
            ..settings(Dialect::Rfc6)
        },
    );
    let vm = Vm::of(&scenario(WRITES), vec![seat]);
    let tool = vm.hook(NAME);
    (vm, tool)
}

#[test]
fn unknown_and_unimplemented_ids_are_read_past_and_eopnotsupp() {
    let (_vm, mut tool) = talk();
    for id in [12].into_iter().chain(28..=64).chain([0xffff]) {
        let payload = vec![0xff; usize::from(id % 97)];
        assert_eq!(tool.raw(id, &payload), Err(errno::OPNOTSUPP), "{id}");
    }
    tool.sync();
    // Number 1 is an event where a tool reads it, so its refusal is compared as bytes.
    let _ = tool.send_raw(1, &[0; 5]);
    let mut message = [0xee; 64];
    let had = std::io::Read::read(&mut tool.stream(), &mut message).expect("an answer");
    assert_eq!((had, &message[..4]), (16, [1, 0, 8, 0].as_slice()));
    assert_eq!(message[8..12], errno::OPNOTSUPP.to_le_bytes());
}

#[test]
fn unsupported_comes_before_not_allowed() {
    let (_vm, mut tool) = granted(Grant {
        commands: CommandSet::default(),
        ..Grant::all()
    });
    assert_eq!(tool.raw(12, &[]), Err(errno::OPNOTSUPP));
    assert_eq!(tool.raw(29, &[]), Err(errno::OPNOTSUPP));
    assert_eq!(tool.raw(5, &[]), Err(errno::PERM));
}

#[test]
fn what_is_not_allowed_is_eperm_even_while_replies_are_off() {
    let (_vm, mut tool) = granted(all_but(CommandId::Vm(VmId::ReadPhysical)));
    let read = ReadPhysical { gpa: 0, length: 1 };
    assert_eq!(tool.vm(read.clone()), Err(errno::PERM));
    let (now, report_errors) = (true, false);
    let _ = tool.send(ControlCommandResponse {
        enable: false,
        now,
        report_errors,
    });
    assert_eq!(tool.vm(read), Err(errno::PERM));
    assert_eq!(tool.raw(0x7777, &[]), Err(errno::OPNOTSUPP));
    let enable = true;
    let on = ControlCommandResponse {
        enable,
        now,
        report_errors,
    };
    assert_eq!(tool.vm(on), Ok(()));
}

#[test]
fn answers_to_events_are_let_through_whatever_is_allowed() {
    let mut commands = CommandSet::default();
    commands.insert(CommandId::Vcpu(VcpuId::ControlEvents));
    commands.insert(CommandId::Vcpu(VcpuId::ControlMsr));
    let (vm, mut tool) = granted(Grant {
        commands,
        ..Grant::all()
    });
    hear_star(&mut tool, 0);
    vm.go(1);
    let event = tool.event_of(EventKind::Msr);
    tool.value(&event, 33);
    assert_eq!(vm.wait().reports, [33]);
}

#[test]
fn a_command_that_returns_data_while_replies_are_off_closes() {
    let (vm, mut tool) = talk();
    let _ = tool.send(ControlCommandResponse {
        enable: false,
        now: true,
        report_errors: false,
    });
    let _ = tool.send(GetVersion {});
    assert!(tool.is_hung_up_on());
    vm.go(1);
    assert_eq!(vm.wait().outcome.end, End::Finished(0));
}

#[test]
fn the_first_short_read_closes() {
    let (vm, mut tool) = talk();
    tool.bytes(&[2, 0, 0]);
    assert!(tool.hang_up().contains("closed"));
    vm.go(1);
    assert_eq!(vm.wait().outcome.end, End::Finished(0));
}
