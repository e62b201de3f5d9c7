//! Rows that need no guest to run.

use oriel_protocol::{
    CommandId, EventKind, Grant,
    commands::{
        VcpuId, VmId,
        vcpu::{
            ControlEvents, GetCpuid, GetMtrrType, GetRegisters, GetVcpuInfo, GetXcr, GetXsave,
            SetRegisters, SetXsave, TranslateGva,
        },
        vm::{
            CheckCommand, CheckEvent, ControlVmEvents, GetGuestInfo, GetMaxGfn, GetVersion,
            ReadPhysical, WritePhysical,
        },
    },
    x86::{General, msr},
};
use oriel_tests::{
    Vm, scenario,
    tool::{NAME, settings},
};

use super::{super::errno, IDLE, row, row_of_v7, run_out};

#[test]
fn an_invalid_command_is_enosys() {
    row(IDLE, |_vm, mut tool| {
        assert_eq!(tool.raw(0xffff, &[]), Err(errno::NOSYS));
        assert_eq!(
            tool.raw(0xffff, &[7; 100]),
            Err(errno::NOSYS),
            "its payload is read past"
        );
        tool.sync();
    });
}

#[test]
fn the_version_is_1_and_v12_tells_its_limit() {
    row(IDLE, |_vm, mut tool| {
        let data = tool.raw(2, &[]).unwrap();
        assert_eq!(data.len(), 16);
        let version = tool.vm(GetVersion {}).unwrap();
        assert_eq!(version.version, 1);
        assert!(version.singlestep, "the mock machine steps");
        let limit = if tool.is_v12() { 8184 } else { 0 };
        assert_eq!(version.max_message, limit);
        assert!(!(version.spp || version.vmfunc || version.eptp || version.ve));
    });
}

#[test]
fn checking_a_command_tells_unknown_from_allowed() {
    row(IDLE, |_vm, mut tool| {
        let version = CommandId::Vm(VmId::GetVersion);
        assert_eq!(tool.vm(CheckCommand { command: version }), Ok(()));
        let (check, unknown) = if tool.is_v12() {
            (4, errno::NOENT)
        } else {
            (3, errno::INVAL)
        };
        assert_eq!(
            tool.raw(check, &[0xff, 0xff, 0, 0, 0, 0, 0, 0]),
            Err(unknown)
        );
        assert_eq!(
            tool.raw(check, &[2, 0, 1, 0, 0, 0, 0, 0]),
            Err(errno::INVAL),
            "padding"
        );
    });
}

#[test]
fn checking_an_event_tells_unknown_from_allowed() {
    row(IDLE, |_vm, mut tool| {
        let event = EventKind::Unhook;
        assert_eq!(tool.vm(CheckEvent { event }), Ok(()));
        let (check, unknown) = if tool.is_v12() {
            (6, errno::NOENT)
        } else {
            (4, errno::INVAL)
        };
        assert_eq!(
            tool.raw(check, &[0xff, 0xff, 0, 0, 0, 0, 0, 0]),
            Err(unknown)
        );
        assert_eq!(
            tool.raw(check, &[0, 0, 0, 0, 0, 0, 0, 1]),
            Err(errno::INVAL)
        );
    });
}

#[test]
fn what_the_operator_forbids_is_eperm_and_checks_say_so() {
    for dialect in super::KERNELS {
        let mut allowed = settings(dialect);
        let Grant {
            commands, events, ..
        } = &mut allowed.grant;
        let mut few = oriel_protocol::CommandSet::default();
        few.insert(CommandId::Vm(VmId::GetGuestInfo));
        few.insert(CommandId::Vcpu(VcpuId::ControlEvents));
        *commands = few;
        events.remove(EventKind::Pause);
        let seat = oriel_engine::tool::candidate(NAME, allowed);
        let vm = Vm::of(&scenario(IDLE), vec![seat]);
        let mut tool = vm.hook(NAME);
        let read = CommandId::Vm(VmId::ReadPhysical);
        assert_eq!(
            tool.vm(CheckCommand { command: read }),
            Err(errno::PERM),
            "{dialect:?}"
        );
        let request = ReadPhysical { gpa: 0, length: 8 };
        assert_eq!(tool.vm(request), Err(errno::PERM));
        assert_eq!(
            tool.on(0, GetVcpuInfo {}),
            Err(errno::PERM),
            "on a vCPU too"
        );
        let event = EventKind::Pause;
        assert_eq!(tool.vm(CheckEvent { event }), Err(errno::PERM));
        let arm = |event| ControlEvents {
            event,
            enable: true,
        };
        assert_eq!(tool.on(0, arm(EventKind::Pause)), Err(errno::PERM));
        assert_eq!(tool.on(0, arm(EventKind::Msr)), Ok(()));
        assert!(
            tool.vm(GetVersion {}).is_ok(),
            "that is allowed to everybody"
        );
        assert_eq!(tool.vm(GetGuestInfo {}), Ok(1));
    }
}

#[test]
fn there_is_one_vcpu() {
    row(IDLE, |_vm, mut tool| {
        assert_eq!(tool.vm(GetGuestInfo {}), Ok(1));
        let data = tool.raw(if tool.is_v12() { 8 } else { 5 }, &[]);
        assert_eq!(data.unwrap().len(), 16);
    });
}

#[test]
fn vm_events_are_switched_on_and_off() {
    row(IDLE, |_vm, mut tool| {
        for enable in [true, true, false, false] {
            let event = EventKind::Unhook;
            assert_eq!(tool.vm(ControlVmEvents { event, enable }), Ok(()));
        }
        let (event, enable) = (EventKind::Msr, true);
        assert_eq!(
            tool.vm(ControlVmEvents { event, enable }),
            Err(errno::INVAL),
            "a vCPU's"
        );
        let (id, two) = if tool.is_v12() {
            (10, Err(errno::INVAL))
        } else {
            (8, Ok(vec![]))
        };
        assert_eq!(tool.raw(id, &[0, 0, 2, 0, 0, 0, 0, 0]), two, "enable = 2");
        let unknown = tool.raw(id, &[0xff, 0xff, 1, 0, 0, 0, 0, 0]);
        assert_eq!(unknown, Err(errno::INVAL));
    });
}

#[test]
fn vcpu_events_are_switched_on_and_off() {
    row(IDLE, |_vm, mut tool| {
        for enable in [true, true, false, false] {
            let event = EventKind::Pause;
            assert_eq!(tool.on(0, ControlEvents { event, enable }), Ok(()));
        }
        let (event, enable) = (EventKind::Unhook, true);
        let refused = tool.on(0, ControlEvents { event, enable });
        assert_eq!(refused, Err(errno::INVAL), "the VM's");
        let (id, pause, two) = if tool.is_v12() {
            (5, 1, Err(errno::INVAL))
        } else {
            (9, 10, Ok(vec![]))
        };
        let unknown = tool.raw_on(id, 0, &[0xff, 0xff, 1, 0, 0, 0, 0, 0]);
        assert_eq!(unknown, Err(errno::INVAL));
        let enable_2 = tool.raw_on(id, 0, &[pause, 0, 2, 0, 0, 0, 0, 0]);
        assert_eq!(enable_2, two);
        let padding = tool.raw_on(id, 0, &[pause, 0, 1, 1, 0, 0, 0, 0]);
        assert_eq!(padding, Err(errno::INVAL));
        assert_eq!(
            tool.on(1, GetVcpuInfo {}),
            Err(errno::INVAL),
            "no such vCPU"
        );
    });
}

#[test]
fn a_page_is_written_seen_by_the_guest_and_read_back() {
    let guest = "[[step]]\nreport = \"memory\"\ngpa = 0x5008\n[[step]]\nfinish = 0\n";
    row(guest, |vm, mut tool| {
        let page: Vec<u8> = (0..=255).cycle().take(4096).collect();
        let bytes = page.clone();
        assert_eq!(tool.vm(WritePhysical { gpa: 0x5000, bytes }), Ok(()));
        let read = |gpa, length| ReadPhysical { gpa, length };
        assert_eq!(tool.vm(read(0x5000, 4096)), Ok(page));
        assert_eq!(tool.vm(read(0x5ffe, 2)), Ok(vec![254, 255]));
        let reports = run_out(vm).reports;
        assert_eq!(
            reports,
            [u64::from_le_bytes([8, 9, 10, 11, 12, 13, 14, 15])]
        );
    });
}

#[test]
fn memory_is_reached_within_a_page_and_where_there_is_some() {
    row(IDLE, |_vm, mut tool| {
        let read = |gpa, length| ReadPhysical { gpa, length };
        let write = |gpa, size| WritePhysical {
            gpa,
            bytes: vec![0x55; size],
        };
        for (gpa, size) in [(0x5000, 0), (0x5000, 4097), (0x5001, 4096), (0x5fff, 2)] {
            assert_eq!(tool.vm(read(gpa, size)), Err(errno::INVAL), "{gpa:#x}");
            let size = usize::try_from(size).unwrap();
            assert_eq!(tool.vm(write(gpa, size)), Err(errno::INVAL), "{gpa:#x}");
        }
        for gpa in [16 << 20, 1 << 40, u64::MAX - 0xfff] {
            assert_eq!(tool.vm(read(gpa, 8)), Err(errno::NOENT), "{gpa:#x}");
            assert_eq!(tool.vm(write(gpa, 8)), Err(errno::NOENT), "{gpa:#x}");
        }
    });
}

#[test]
fn the_speed_of_the_tsc_is_answered() {
    row(IDLE, |_vm, mut tool| {
        assert!(tool.on(0, GetVcpuInfo {}).is_ok());
    });
}

#[test]
fn registers_are_answered_with_the_msrs_that_were_asked_for() {
    let guest = "[registers]\nrip = 0x1234\nrbx = 7\n[msrs]\nstar = 5\n[[step]]\nfinish = 0\n";
    row(guest, |_vm, mut tool| {
        let msrs = vec![msr::STAR, msr::EFER];
        let answer = tool.on(0, GetRegisters { msrs }).unwrap();
        assert_eq!((answer.general.rip, answer.general.rbx), (0x1234, 7));
        assert_eq!(
            answer.msrs,
            [(msr::STAR, 5), (msr::EFER, answer.special.efer)]
        );
        let id = if tool.is_v12() { 7 } else { 13 };
        let sizes = |tool: &mut oriel_tests::tool::Tool, n: u8| {
            let mut asked = vec![n, 0, 0, 0, 0, 0, 0, 0];
            let list = std::iter::repeat_n(msr::STAR.to_le_bytes(), n.into());
            asked.extend(list.flatten());
            tool.raw_on(id, 0, &asked).map(|data| data.len())
        };
        assert_eq!(sizes(&mut tool, 0), Ok(472));
        assert_eq!(sizes(&mut tool, 7), Ok(472 + 16 * 7));
        let short = tool.raw_on(id, 0, &[2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(short, Err(errno::INVAL), "two announced, one given");
        let padding = tool.raw_on(id, 0, &[0, 0, 1, 0, 0, 0, 0, 0]);
        assert_eq!(padding, Err(errno::INVAL));
    });
}

#[test]
fn a_list_of_msrs_too_long_for_an_answer_is_refused() {
    row(IDLE, |_vm, mut tool| {
        let fits = vec![msr::STAR; (8184 - 8 - 472) / 16];
        let longer = [fits.as_slice(), &[msr::STAR]].concat();
        let answer = tool.on(0, GetRegisters { msrs: fits });
        assert_eq!(answer.map(|registers| registers.msrs.len()), Ok(481));
        let (refused, nomem) = (tool.on(0, GetRegisters { msrs: longer }), -12);
        let expected = if tool.is_v12() { errno::INVAL } else { nomem };
        assert_eq!(refused, Err(expected));
    });
}

#[test]
fn an_msr_that_does_not_exist_is_einval() {
    row(IDLE, |_vm, mut tool| {
        let msrs = vec![msr::STAR, 0xdead];
        assert_eq!(tool.on(0, GetRegisters { msrs }), Err(errno::INVAL));
    });
}

#[test]
fn registers_are_not_set_outside_of_an_event() {
    row(IDLE, |_vm, mut tool| {
        let general = General::default();
        let refused = tool.on(0, SetRegisters { general });
        assert_eq!(refused, Err(errno::OPNOTSUPP));
    });
}

#[test]
fn a_cpuid_leaf_is_answered_and_a_missing_one_is_enoent() {
    row(IDLE, |_vm, mut tool| {
        let leaf = |function| GetCpuid { function, index: 0 };
        let zero = tool.on(0, leaf(0)).unwrap();
        assert!(zero.eax > 0, "the highest leaf");
        assert_eq!(tool.on(0, leaf(0x1234)), Err(errno::NOENT));
    });
}

#[test]
fn the_end_of_memory_is_answered_where_the_dialect_asks() {
    row_of_v7(IDLE, |_vm, mut tool| {
        assert_eq!(tool.vm(GetMaxGfn {}), Ok(4096), "16 MiB");
    });
}

#[test]
fn the_xsave_area_is_read_back_and_set() {
    row(IDLE, |_vm, mut tool| {
        let mut area = tool.on(0, GetXsave {}).unwrap();
        assert_eq!(area.len(), 4096);
        area[200] = 0x77;
        assert_eq!(tool.on(0, SetXsave { area: area.clone() }), Ok(()));
        assert_eq!(tool.on(0, GetXsave {}), Ok(area.clone()));
        let longer = vec![0; 4097];
        assert_eq!(tool.on(0, SetXsave { area: longer }), Err(errno::INVAL));
        area.truncate(576);
        let shorter = if tool.is_v12() {
            Err(errno::INVAL)
        } else {
            Ok(())
        };
        assert_eq!(
            tool.on(0, SetXsave { area }),
            shorter,
            "{:?}",
            tool.dialect()
        );
    });
}

#[test]
fn the_memory_type_is_answered() {
    row(IDLE, |_vm, mut tool| {
        let write_back = 6;
        assert_eq!(tool.on(0, GetMtrrType { gpa: 0x1000 }), Ok(write_back));
    });
}

#[test]
fn xcr0_is_answered_and_there_is_no_other() {
    row(IDLE, |_vm, mut tool| {
        assert_eq!(tool.on(0, GetXcr { xcr: 0 }), Ok(3));
        assert_eq!(tool.on(0, GetXcr { xcr: 1 }), Err(errno::INVAL));
    });
}

#[test]
fn an_address_translates_and_one_that_leads_nowhere_is_all_ones() {
    let guest = "[[map]]\ngva = \"0xffffffff81000000\"\ngpa = 0x6000\n[[step]]\nfinish = 0\n";
    row(guest, |_vm, mut tool| {
        let gva = 0xffff_ffff_8100_0123;
        assert_eq!(tool.on(0, TranslateGva { gva }), Ok(0x6123));
        assert_eq!(tool.on(0, TranslateGva { gva: u64::MAX }), Ok(u64::MAX));
        let hole = 0xffff_ffff_9100_0000;
        assert_eq!(tool.on(0, TranslateGva { gva: hole }), Ok(u64::MAX));
    });
}
