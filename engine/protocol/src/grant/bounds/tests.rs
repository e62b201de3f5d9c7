use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::{
    Access, Grant, Refusal, Request,
    commands::{
        vcpu::{
            ControlMsr, GetMsr, GetRegisters, ReadVirtual, SetBreakpoint, SetMsr, SetRegister,
            TranslateIn, WriteVirtual,
        },
        vm::{CoversMemory, ReadPhysical, ReadScattered, ReadWord, SetPageAccess, WritePhysical},
    },
    page::PAGE_SIZE,
};

fn ranges(list: &[(u64, u64)]) -> Ranges<u64> {
    list.iter().map(|&(first, last)| first..=last).collect()
}

fn granted(bounds: Bounds) -> Grant {
    Grant {
        bounds: Some(Arc::new(bounds)),
        ..Grant::all()
    }
}

fn reading(physical: &[(u64, u64)], linear: &[(u64, u64)]) -> Grant {
    granted(Bounds {
        read: Some(Reach {
            physical: ranges(physical),
            linear: ranges(linear),
        }),
        ..Bounds::default()
    })
}

fn list() -> impl Strategy<Value = Vec<(u64, u64)>> {
    proptest::collection::vec((0u64..64, 0u64..64), 0..6)
}

/// Every command that reads or writes physical memory, with what it touches.
fn touching(gpa: u64, length: u32) -> Vec<(VmCall, u64, u64, bool)> {
    let (size, more) = (u8::try_from(length).unwrap_or(8), u64::from(length));
    let page = gpa / PAGE_SIZE * PAGE_SIZE;
    let rule = PageRule {
        gpa,
        allowed: Access::NONE,
        tag: 0,
    };
    let entries = vec![rule];
    vec![
        (ReadPhysical { gpa, length }.into_call(), gpa, more, false),
        (ReadWord { gpa, size }.into_call(), gpa, more, false),
        (
            CoversMemory { gpa, length: more }.into_call(),
            gpa,
            more,
            false,
        ),
        (
            ReadScattered {
                ranges: vec![(gpa, length)],
            }
            .into_call(),
            gpa,
            more,
            false,
        ),
        (
            SetPageAccess { view: 0, entries }.into_call(),
            page,
            PAGE_SIZE,
            false,
        ),
        (
            WritePhysical {
                gpa,
                bytes: vec![0; length as usize],
            }
            .into_call(),
            gpa,
            more,
            true,
        ),
    ]
}

proptest! {
    #[test]
    fn what_is_admitted_lies_wholly_within_the_ranges(
        read in list(), write in list(), gpa in 0u64..66, length in 0u32..20,
    ) {
        let reach = |list: &[(u64, u64)]| Some(Reach {
            physical: ranges(list), ..Reach::default()
        });
        let grant = granted(Bounds {
            read: reach(&read), write: reach(&write), ..Bounds::default()
        });
        for (call, first, length, writes) in touching(gpa, length) {
            let list = if writes { &write } else { &read };
            let within = |at: u64| list.iter().any(|&(first, last)| (first..=last).contains(&at));
            let all = (first..first + length).all(within);
            prop_assert_eq!(grant.admit_vm(&call).is_ok(), all, "{:?}", call);
        }
    }

    #[test]
    fn a_scattered_read_is_refused_whole(
        list in list(), wanted in proptest::collection::vec((0u64..66, 1u32..8), 1..5),
    ) {
        let grant = reading(&list, &[]);
        let each = wanted.iter().all(|&(gpa, length)| {
            grant.admit_vm(&ReadPhysical { gpa, length }.into_call()).is_ok()
        });
        let all = grant.admit_vm(&ReadScattered { ranges: wanted }.into_call());
        prop_assert_eq!(all.is_ok(), each);
    }

    #[test]
    fn a_virtual_access_lies_in_the_virtual_ranges_or_depends_on_its_pages(
        linear in list(), gva in 0u64..66, length in 1u32..20, cr3 in proptest::option::of(Just(1)),
    ) {
        let grant = reading(&[(0, 0)], &linear);
        let within = |at: u64| linear.iter().any(|&(first, last)| (first..=last).contains(&at));
        let all = (gva..gva + u64::from(length)).all(within);
        let call = ReadVirtual { cr3, gva, length }.into_call();
        let expected = if all && cr3.is_none() {
            Admission::Whole
        } else {
            Admission::Pages(Span { cr3, gva, length: length.into(), write: false })
        };
        prop_assert_eq!(grant.admit_vcpu(&call), Ok(expected));
    }

    #[test]
    fn the_pages_of_a_virtual_access_all_lie_in_the_physical_ranges(
        physical in list(), pieces in proptest::collection::vec((0u64..66, 1usize..8), 1..5),
    ) {
        let grant = reading(&physical, &[]);
        let span = Span { cr3: None, gva: 0, length: 1, write: false };
        let within = |at: u64| physical.iter().any(|&(first, last)| (first..=last).contains(&at));
        let all = pieces.iter().all(|&(gpa, length)| (gpa..gpa + length as u64).all(within));
        prop_assert_eq!(grant.admit_pages(&span, &pieces).is_ok(), all);
    }

    #[test]
    fn only_granted_msrs_are_read_written_and_armed(list in list(), msr in 0u32..66) {
        let within = list.iter().any(|&(first, last)| (first..=last).contains(&u64::from(msr)));
        let grant = granted(Bounds { msrs: Some(ranges(&list)), ..Bounds::default() });
        let calls = [
            GetMsr { msr }.into_call(),
            SetMsr { msr, value: 0 }.into_call(),
            ControlMsr { msr, enable: true }.into_call(),
            GetRegisters { msrs: vec![msr] }.into_call(),
        ];
        for call in calls {
            prop_assert_eq!(grant.admit_vcpu(&call).is_ok(), within, "{:?}", call);
        }
        prop_assert_eq!(grant.has_msr(msr), within);
    }
}

#[test]
fn one_direction_says_nothing_about_the_other() {
    let grant = reading(&[(0x1000, 0x1fff)], &[]);
    let write = WritePhysical {
        gpa: 0x9000,
        bytes: vec![1],
    };
    assert_eq!(grant.admit_vm(&write.into_call()), Ok(()));
    let gva = WriteVirtual {
        gva: 0x9000,
        bytes: vec![1],
    };
    assert_eq!(grant.admit_vcpu(&gva.into_call()), Ok(Admission::Whole));
}

#[test]
fn virtual_ranges_alone_admit_no_physical_address_and_no_other_tables() {
    let grant = reading(&[], &[(0, u64::MAX)]);
    let physical = ReadPhysical {
        gpa: 0x1000,
        length: 8,
    };
    let denied = Err(Refusal::Denied);
    assert_eq!(grant.admit_vm(&physical.into_call()), denied);
    let by_other_tables = TranslateIn {
        cr3: Some(0x1000),
        gva: 0x1000,
    };
    assert_eq!(
        grant.admit_vcpu(&by_other_tables.into_call()),
        Err(Refusal::Denied)
    );
}

#[test]
fn a_breakpoint_lies_where_may_be_read() {
    let grant = reading(&[(0x1000, 0x1fff)], &[(0x8000, 0x8fff)]);
    let at = |place| grant.admit_vcpu(&SetBreakpoint { place, tag: 1 }.into_call());
    assert_eq!(at(Place::Gpa(0x1fff)), Ok(Admission::Whole));
    assert_eq!(at(Place::Gpa(0x2000)), Err(Refusal::Denied));
    assert_eq!(at(Place::Gva(0x8000)), Ok(Admission::Whole));
    assert!(matches!(at(Place::Gva(0x9000)), Ok(Admission::Pages(_))));
}

#[test]
fn registers_that_are_msrs_are_set_only_where_these_are_granted() {
    let grant = granted(Bounds {
        msrs: Some(ranges(&[(msr::EFER.into(), msr::EFER.into())])),
        ..Bounds::default()
    });
    let set = |register| {
        let value = 0;
        grant.admit_vcpu(&SetRegister { register, value }.into_call())
    };
    assert_eq!(set(Register::Efer), Ok(Admission::Whole));
    assert_eq!(set(Register::GsBase), Err(Refusal::Denied));
    assert_eq!(set(Register::Rax), Ok(Admission::Whole));
}

#[test]
fn nothing_is_narrowed_where_nothing_is_said() {
    let grant = granted(Bounds::default());
    for (call, ..) in touching(u64::MAX, 8) {
        assert_eq!(grant.admit_vm(&call), Ok(()), "{call:?}");
    }
    assert!(Bounds::default().is_open() && grant.has_msr(u32::MAX));
}
