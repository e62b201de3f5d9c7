use oriel_machine::Wants;
use oriel_protocol::{HardwarePoint, Only, events::Breakpoint};

use super::*;

const PAGE: Gpa = 0x5000;

fn rule(allowed: Access, tag: u64) -> PageRule {
    PageRule {
        gpa: PAGE,
        allowed,
        tag,
    }
}

fn union(all: &[Holdings]) -> Wants {
    let all: Vec<_> = all.iter().cloned().map(Arc::new).collect();
    crate::ledger::union(&all)
}

#[test]
fn setting_a_page_to_rwx_never_clears_anothers_trap() {
    let (mut guard, mut tool) = (Holdings::default(), Holdings::default());
    assert_eq!(guard.set_page(rule(Access::READ, 1)), Ok(()));
    assert_eq!(tool.set_page(rule(Access::READ | Access::WRITE, 2)), Ok(()));
    let both = union(&[guard.clone(), tool.clone()]);
    assert_eq!(both.pages[&page::frame(PAGE)], Access::READ);
    assert_eq!(tool.set_page(rule(Access::ALL, 2)), Ok(()));
    assert_eq!(
        union(&[guard, tool]).pages[&page::frame(PAGE)],
        Access::READ
    );
}

#[test]
fn a_page_event_goes_to_those_whose_own_rule_it_breaks() {
    let (mut no_write, mut no_execute) = (Holdings::default(), Holdings::default());
    assert_eq!(
        no_write.set_page(rule(Access::READ | Access::EXECUTE, 7)),
        Ok(())
    );
    assert_eq!(
        no_execute.set_page(rule(Access::READ | Access::WRITE, 8)),
        Ok(())
    );
    let write = Page {
        gva: None,
        gpa: PAGE + 8,
        access: Access::WRITE,
        size: 8,
        value: None,
        view: 0,
    };
    let event = crate::test_event(write);
    assert_eq!(no_write.meets(&event), Some(Some(7)));
    assert_eq!(no_execute.meets(&event), None);
}

#[test]
fn a_managed_breakpoint_is_its_owners_only() {
    let (mut owner, other) = (Holdings::default(), Holdings::default());
    assert_eq!(owner.set_breakpoint(3, Placed::Int3(0x1234)), Ok(true));
    let elsewhere = owner.set_breakpoint(3, Placed::Int3(0x9999));
    assert_eq!(elsewhere, Err(Refusal::Conflict));
    let hit = crate::test_event(Breakpoint {
        gva: 0,
        gpa: 0x1234,
        length: 1,
        managed: true,
        access: Access::EXECUTE,
    });
    assert_eq!(owner.meets(&hit), Some(Some(3)));
    assert_eq!(other.meets(&hit), None);
    let guests = crate::test_event(Breakpoint {
        gva: 0,
        gpa: 0x1234,
        length: 1,
        managed: false,
        access: Access::EXECUTE,
    });
    assert_eq!(other.meets(&guests), Some(None));
}

#[test]
fn a_hardware_point_and_an_int3_at_one_address_are_met_together_each_under_its_own_tag() {
    let (mut soft, mut hard) = (Holdings::default(), Holdings::default());
    let point = HardwarePoint::execute(0x7000).unwrap();
    assert_eq!(soft.set_breakpoint(1, Placed::Int3(0x1234)), Ok(true));
    assert_eq!(hard.set_breakpoint(2, Placed::Hardware(point)), Ok(true));
    let hit = |gva| {
        crate::test_event(Breakpoint {
            gva,
            gpa: 0x1234,
            length: 1,
            managed: true,
            access: Access::EXECUTE,
        })
    };
    assert_eq!(soft.meets(&hit(0x7000)), Some(Some(1)));
    assert_eq!(hard.meets(&hit(0x7000)), Some(Some(2)));
    assert_eq!(soft.meets(&hit(0x8000)), Some(Some(1)), "mapped twice");
    assert_eq!(hard.meets(&hit(0x8000)), None);
    let both = union(&[soft, hard]);
    assert_eq!(
        (both.breakpoints, both.hardware),
        ([0x1234].into(), vec![point])
    );
}

#[test]
fn a_watched_access_goes_to_those_who_watch_for_it() {
    let watching = |access| {
        let mut holdings = Holdings::default();
        let point = HardwarePoint::new(0x7000, 4, access).unwrap();
        assert_eq!(
            holdings.set_breakpoint(5, Placed::Hardware(point)),
            Ok(true)
        );
        holdings
    };
    let (writes, both) = (watching(Access::WRITE), watching(HardwarePoint::READ_WRITE));
    let hit = |gva, length, access| {
        crate::test_event(Breakpoint {
            gva,
            gpa: 0x1000,
            length,
            managed: true,
            access,
        })
    };
    let write = hit(0x7000, 4, Access::WRITE);
    let either = hit(0x7000, 4, HardwarePoint::READ_WRITE);
    assert_eq!(writes.meets(&write), Some(Some(5)));
    assert_eq!(both.meets(&write), Some(Some(5)));
    assert_eq!(writes.meets(&either), None, "it may have been a read");
    assert_eq!(both.meets(&either), Some(Some(5)));
    assert_eq!(both.meets(&hit(0x7000, 2, Access::WRITE)), None);
    assert_eq!(both.meets(&hit(0x7004, 4, Access::WRITE)), None);
    assert_eq!(both.meets(&hit(0x7000, 4, Access::EXECUTE)), None);
}

#[test]
fn only_the_msrs_of_the_filters_are_wanted() {
    let lstar = Filter {
        only: Only::Numbers {
            first: 0x82,
            last: 0x83,
        },
        ..Filter::any(EventKind::Msr)
    };
    let wants = union(&[Holdings::declared(vec![lstar], vec![])]);
    assert!(wants.msr_writes.contains(0x83) && !wants.msr_writes.contains(0x84));
    assert!(wants.msr_reads.is_empty());
    assert!(wants.kind(EventKind::Msr) && !wants.kind(EventKind::MsrRead));
}

#[test]
fn a_judge_hears_and_arms_granted_msrs_only_however_it_asks() {
    let grant = Grant {
        bounds: Some(Arc::new(Bounds {
            msrs: Some(Ranges::from_iter([0x82..=0x82])),
            ..Bounds::default()
        })),
        ..Grant::all()
    };
    let observation = Observation {
        kind: EventKind::MsrRead,
        one_in: 1,
        per_second: 0,
        scope: oriel_protocol::Scope::default(),
    };
    let all = vec![Filter::any(EventKind::Msr)];
    let mut holdings = Holdings::declared(all, vec![observation]).granted(&grant);
    let added = Filter::any(EventKind::Msr);
    assert_eq!(holdings.switch(None, added, true), Ok(()));
    let only = Ranges::from_iter([0x82..=0x82]);
    let kept = holdings.kept();
    let wants = union(&[holdings.clone()]);
    assert_eq!((&wants.msr_writes, &wants.msr_reads), (&only, &only));
    assert_eq!(
        union(&[kept]).msr_writes,
        only,
        "and what outlasts a session"
    );
    let event = |msr| {
        let (old, new) = (0, 1);
        crate::test_event(Msr { msr, old, new })
    };
    assert_eq!(holdings.meets(&event(0x82)), Some(None));
    assert_eq!(holdings.meets(&event(0x83)), None);
    let read = crate::test_event(MsrRead {
        msr: 0x83,
        value: 0,
    });
    assert_eq!(holdings.meets(&read), None);
}

#[test]
fn what_is_switched_on_can_be_switched_off() {
    let filter = Filter {
        only: Only::Numbers { first: 1, last: 1 },
        ..Filter::any(EventKind::Msr)
    };
    let mut holdings = Holdings::default();
    assert_eq!(holdings.switch(Some(0), filter, true), Ok(()));
    assert_eq!(holdings.switch(Some(0), filter, true), Ok(()));
    assert_eq!(
        holdings.filters(EventKind::Msr, 1).len(),
        0,
        "another vCPU's"
    );
    assert_eq!(holdings.filters(EventKind::Msr, 0).len(), 1);
    assert_eq!(holdings.switch(Some(0), filter, false), Ok(()));
    assert!(holdings.judges().is_empty());
}
