//! What is refused although its bytes are in order, and with which error.

use super::*;
use crate::{
    Access,
    commands::{
        vcpu::{
            ControlCr, ControlEvents, ControlMsr, ControlSinglestep, GetRegisters, GetXcr,
            InjectException, SetXsave,
        },
        vm::{ControlSpp, ControlVmEvents, PageRule, ReadPhysical, SetPageAccess, WritePhysical},
    },
    x86::Exception,
};

fn taken(intake: &Result<Intake, Close>) -> bool {
    matches!(intake, Ok(Intake::Vm(..) | Intake::Vcpu(..)))
}

#[test]
fn memory_is_read_and_written_within_a_page() {
    let good = [(0x1000, 1), (0x1000, 4096), (0x1fff, 1), (u64::MAX, 1)];
    let bad = [(0x1000, 0), (0x1000, 4097), (0x1fff, 2), (u64::MAX, 2)];
    for dialect in Dialect::ALL {
        let mut wire = Wire::new(dialect);
        for (gpa, length) in good {
            assert!(taken(&wire.vm(ReadPhysical { gpa, length })));
        }
        for (gpa, length) in bad {
            assert_eq!(errno(dialect, wire.vm(ReadPhysical { gpa, length })), INVAL);
        }
        for (gpa, length) in [(0x1000, 0), (0x1fff, 2)] {
            let bytes = vec![0; length];
            assert_eq!(errno(dialect, wire.vm(WritePhysical { gpa, bytes })), INVAL);
        }
        let bytes = vec![0; 4072];
        assert!(taken(&wire.vm(WritePhysical { gpa: 0x1000, bytes })));
    }
}

#[test]
fn a_size_beyond_32_bits_is_invalid_too() {
    let mut wire = Wire::new(Dialect::V7);
    let mut payload = [0; 16];
    payload[12] = 1;
    assert_eq!(errno(Dialect::V7, wire.send(17, &payload)), INVAL);
    payload[8..].fill(0xff);
    assert_eq!(errno(Dialect::V7, wire.send(17, &payload)), INVAL);
}

#[test]
fn a_write_of_fewer_bytes_than_it_announces_closes() {
    for dialect in Dialect::ALL {
        for size in [5_u16, 4096, u16::MAX] {
            let mut wire = Wire::new(dialect);
            let mut payload = [0; 20];
            payload[8..10].copy_from_slice(&size.to_le_bytes());
            let intake = wire.send(wire.number("write-physical"), &payload);
            let Err(Close::Short {
                announced, had: 4, ..
            }) = intake
            else {
                panic!("{intake:?}");
            };
            assert_eq!(announced, u64::from(size));
        }
    }
}

#[test]
fn three_control_registers_can_be_watched() {
    for dialect in Dialect::ALL {
        let mut wire = Wire::new(dialect);
        for cr in 0..=9 {
            let intake = wire.vcpu(ControlCr { cr, enable: true });
            if matches!(cr, 0 | 3 | 4) {
                assert!(taken(&intake), "{cr}");
            } else {
                assert_eq!(errno(dialect, intake), INVAL, "{cr}");
            }
        }
    }
}

#[test]
fn msrs_of_two_ranges_can_be_watched() {
    let good = [0, 0x1fff, 0xc000_0000, 0xc000_1fff];
    let bad = [0x2000, 0xbfff_ffff, 0xc000_2000, u32::MAX];
    for dialect in Dialect::ALL {
        let mut wire = Wire::new(dialect);
        for msr in good {
            assert!(taken(&wire.vcpu(ControlMsr { msr, enable: true })));
        }
        for msr in bad {
            assert_eq!(
                errno(dialect, wire.vcpu(ControlMsr { msr, enable: true })),
                INVAL
            );
        }
    }
}

#[test]
fn one_extended_control_register_is_known() {
    for dialect in [Dialect::V7, Dialect::V12] {
        let mut wire = Wire::new(dialect);
        assert!(taken(&wire.vcpu(GetXcr { xcr: 0 })));
        assert_eq!(errno(dialect, wire.vcpu(GetXcr { xcr: 1 })), INVAL);
    }
}

#[test]
fn an_xsave_area_has_at_most_a_page() {
    for dialect in [Dialect::V7, Dialect::V12] {
        let mut wire = Wire::new(dialect);
        assert!(taken(&wire.vcpu(SetXsave {
            area: vec![0; 4096]
        })));
        assert_eq!(
            errno(
                dialect,
                wire.vcpu(SetXsave {
                    area: vec![0; 4097]
                })
            ),
            INVAL
        );
    }
}

#[test]
fn registers_that_do_not_fit_a_message_are_refused() {
    for (dialect, most, too_many) in [
        (Dialect::Rfc6, 225, NOMEM),
        (Dialect::V6, 481, NOMEM),
        (Dialect::V7, 481, NOMEM),
        (Dialect::V12, 481, INVAL),
    ] {
        let mut wire = Wire::new(dialect);
        assert!(taken(&wire.vcpu(GetRegisters {
            msrs: vec![0x174; most]
        })));
        let msrs = vec![0x174; most + 1];
        assert_eq!(errno(dialect, wire.vcpu(GetRegisters { msrs })), too_many);
    }
}

#[test]
fn a_list_of_msrs_that_is_cut_or_padded_is_invalid() {
    for dialect in Dialect::ALL {
        let mut wire = Wire::new(dialect);
        let id = wire.number("get-registers");
        let mut payload = [0; 23];
        payload[8] = 2;
        assert_eq!(errno(dialect, wire.send(id, &payload)), INVAL);
        assert!(taken(&wire.send(id, &[&payload[..], &[0]].concat())));
        payload[8] = 0;
        payload[10] = 1;
        assert_eq!(errno(dialect, wire.send(id, &payload)), INVAL);
    }
}

#[test]
fn page_rules_are_taken_whole_or_not_at_all() {
    let rule = |gpa| PageRule {
        gpa,
        allowed: Access::READ,
        tag: 0,
    };
    let entries = vec![rule(0x1000), rule(0x2000)];
    let request = SetPageAccess { view: 0, entries }.into_call();
    for dialect in Dialect::ALL {
        let good = tool::command_vm(dialect, 7, &request).unwrap();
        assert!(taken(&Wire::new(dialect).message(&good)));
        // Unknown bits, padding of an entry, padding in front.
        let front = if dialect == Dialect::V12 { 2 } else { 4 };
        for at in [8 + 16 + 8, 8 + 16 + 9, 8 + 16 + 15, front] {
            let mut bad = good.clone();
            bad[HEADER + at] |= 8;
            assert_eq!(
                errno(dialect, Wire::new(dialect).message(&bad)),
                INVAL,
                "{at}"
            );
        }
        let short = &good[HEADER..good.len() - 1];
        let mut wire = Wire::new(dialect);
        let intake = wire.send(wire.number("set-page-access"), short);
        match dialect {
            Dialect::Rfc6 | Dialect::V6 | Dialect::V7 => {
                assert_eq!(errno(dialect, intake), INVAL);
            }
            Dialect::V12 => assert!(matches!(intake, Err(Close::Short { .. }))),
        }
    }
}

#[test]
fn sub_page_protection_is_not_switched_off() {
    for dialect in [Dialect::Rfc6, Dialect::V6, Dialect::V7] {
        let mut wire = Wire::new(dialect);
        assert_eq!(
            errno(dialect, wire.vm(ControlSpp { enable: false })),
            OPNOTSUPP
        );
        assert!(taken(&wire.vm(ControlSpp { enable: true })));
        let id = wire.number("control-spp");
        assert_eq!(errno(dialect, wire.send(id, &[0, 1])), INVAL);
    }
}

#[test]
fn each_event_is_switched_where_it_belongs_and_only_if_granted() {
    for dialect in Dialect::ALL {
        for &event in EventKind::ALL {
            if event.numbers().of(dialect).is_none() {
                continue;
            }
            let of_vm = matches!(event, EventKind::Unhook | EventKind::CreateVcpu);
            let enable = true;
            let mut all = Wire::new(dialect);
            let mut without = Wire::without_event(dialect, event);
            let vm = |wire: &mut Wire| wire.vm(ControlVmEvents { event, enable });
            let vcpu = |wire: &mut Wire| wire.vcpu(ControlEvents { event, enable });
            if of_vm {
                assert!(taken(&vm(&mut all)));
                assert_eq!(errno(dialect, vm(&mut without)), PERM);
                assert_eq!(errno(dialect, vcpu(&mut all)), INVAL);
            } else {
                assert!(taken(&vcpu(&mut all)));
                assert_eq!(errno(dialect, vcpu(&mut without)), PERM);
                assert_eq!(errno(dialect, vm(&mut all)), INVAL);
            }
        }
    }
}

#[test]
fn an_unknown_event_is_invalid() {
    for dialect in Dialect::ALL {
        let mut wire = Wire::new(dialect);
        let mut payload = [0; 16];
        payload[..2].copy_from_slice(&[0xff, 0xff]);
        assert_eq!(
            errno(
                dialect,
                wire.send(wire.number("control-vm-events"), &payload)
            ),
            INVAL
        );
        payload = [0; 16];
        payload[8..10].copy_from_slice(&[0xff, 0xff]);
        assert_eq!(
            errno(dialect, wire.send(wire.number("control-events"), &payload)),
            INVAL
        );
    }
}

#[test]
fn v12_takes_no_switch_but_0_and_1() {
    // Each row, and where its switch is.
    let switches = [
        ("control-vm-events", 2),
        ("pause-vcpu", 2),
        ("control-cleanup", 0),
        ("control-events", 8 + 2),
        ("control-cr", 8 + 1),
        ("control-msr", 8),
        ("control-singlestep", 8),
    ];
    for (row, at) in switches {
        let mut wire = Wire::new(Dialect::V12);
        let id = wire.number(row);
        let mut payload = [0; 16];
        if row == "control-events" {
            payload[8] = 7;
        }
        payload[at] = 1;
        assert!(taken(&wire.send(id, &payload)), "{row}");
        payload[at] = 2;
        assert_eq!(errno(Dialect::V12, wire.send(id, &payload)), INVAL, "{row}");
    }
}

#[test]
fn v12_refuses_what_ends_in_an_event_that_is_not_granted() {
    let inject = || InjectException {
        exception: Exception::GP0,
    };
    for dialect in [Dialect::V7, Dialect::V12] {
        let mut wire = Wire::without_event(dialect, EventKind::Trap);
        let injected = wire.vcpu(inject());
        let mut wire = Wire::without_event(dialect, EventKind::Singlestep);
        let stepped = wire.vcpu(ControlSinglestep { enable: true });
        if dialect == Dialect::V12 {
            assert_eq!(errno(dialect, injected), PERM);
            assert_eq!(errno(dialect, stepped), PERM);
        } else {
            assert!(taken(&injected) && taken(&stepped));
        }
    }
}

#[test]
fn an_exception_has_one_of_32_vectors() {
    for dialect in Dialect::ALL {
        let mut wire = Wire::new(dialect);
        for (vector, good) in [(0, true), (31, true), (32, false), (255, false)] {
            let exception = Exception {
                vector,
                error_code: None,
                address: 0,
            };
            let intake = wire.vcpu(InjectException { exception });
            assert_eq!(taken(&intake), good, "{vector}");
        }
    }
}

#[test]
fn padding_of_a_fixed_row_is_invalid() {
    // Each row, and the bytes of its payload that must be zero.
    let rows: [(&str, &[usize]); 5] = [
        ("control-vm-events", &[3, 7]),
        ("control-events", &[8 + 3, 8 + 7]),
        ("control-msr", &[8 + 1, 8 + 3]),
        ("inject-exception", &[8 + 2, 8 + 3]),
        ("get-registers", &[8 + 2, 8 + 7]),
    ];
    for dialect in Dialect::ALL {
        for (row, places) in rows {
            for &at in places {
                let mut wire = Wire::new(dialect);
                let mut payload = [0; 24];
                payload[at] = 1;
                let intake = wire.send(wire.number(row), &payload);
                assert_eq!(errno(dialect, intake), INVAL, "{dialect:?} {row} {at}");
            }
        }
    }
}
