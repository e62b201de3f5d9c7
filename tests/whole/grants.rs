//! Grants with arguments: what lies outside of them is refused at the gate, whoever asks, before
//! anything runs.

use std::time::Duration;

use oriel_engine::{Candidate, Record, tool};
use oriel_machine::{
    End,
    mock::{Map, Scenario, Step},
};
use oriel_policy::Setting;
use oriel_protocol::{
    Access, Bounds, Dialect, EventKind, Grant, Ranges, Reach, Refusal, Right, Verdict,
    commands::{
        vcpu::{
            ControlMsr, GetMsr, GetRegisters, Place, ReadVirtual, SetBreakpoint, TranslateGva,
            TranslateIn, WriteVirtual,
        },
        vm::{CoversMemory, PageRule, ReadPhysical, ReadWord, SetPageAccess, WritePhysical},
    },
    x86::msr,
};
use oriel_tests::{
    Ran, Vm, host, native, play, scenario,
    tool::{NAME, settings},
    zoo,
};

const KIND: &[EventKind] = &[EventKind::Msr];
const DENIED: Refusal = Refusal::Denied;
/// A page that may be read, and where it is mapped besides.
const OPEN: u64 = 0x6000;
const OPEN_GVA: u64 = 0xffff_8000_0000_0000;
/// The page behind it may not, and is mapped behind the first.
const SHUT_GVA: u64 = OPEN_GVA + 0x1000;

fn ranges(first: u64, last: u64) -> Ranges<u64> {
    Ranges::from_iter([first..=last])
}

/// Reading and writing within [`OPEN`] only.
fn one_page() -> Bounds {
    let reach = Some(Reach {
        physical: ranges(OPEN, OPEN + 0xfff),
        ..Reach::default()
    });
    Bounds {
        read: reach.clone(),
        write: reach,
        ..Bounds::default()
    }
}

fn within(mut judge: Candidate, bounds: Bounds) -> Candidate {
    judge.grant.bounds = Some(bounds.into());
    judge
}

/// A guest with a window of two pages: one that may be read, and one that may not.
fn guest() -> Scenario {
    let map = Map {
        gva: OPEN_GVA,
        gpa: OPEN,
        size: 0x2000,
        present: true,
        writable: true,
        executable: false,
        user: false,
        cr3: None,
    };
    Scenario::new("window")
        .memory(OPEN, vec![7; 0x1000])
        .memory(OPEN + 0x1000, vec![9; 0x1000])
        .map(map)
        .vcpus(2)
        .step(Step::write_msr(msr::STAR, 1))
        .step(Step::write_msr(msr::LSTAR, 2))
        .step(Step::signal("written"))
        .step(Step::wait_for("written").on(1))
        .step(Step::finish(0))
}

fn refusals(ran: &Ran) -> Vec<&'static str> {
    let refused = ran.records.iter().filter_map(|record| {
        if let Record::Refusal(refused) = record {
            Some(refused.command.name())
        } else {
            None
        }
    });
    refused.collect()
}

/// Plays the guest under one judge that is narrowed.
fn narrowed(
    bounds: Bounds,
    judge: impl Fn(&mut oriel_engine::Desk) + Clone + Send + Sync + 'static,
) -> Ran {
    let judge = native("narrow", KIND, move |_, desk| {
        judge(desk);
        Verdict::Continue
    });
    let ran = play(&guest(), vec![within(judge, bounds)]);
    assert_eq!(ran.outcome.end, End::Finished(0));
    ran
}

#[test]
fn physical_memory_outside_of_the_ranges_is_refused_whole() {
    let ran = narrowed(one_page(), |desk| {
        let read = |gpa, length| ReadPhysical { gpa, length };
        assert_eq!(desk.vm(read(OPEN, 0x1000)), Ok(vec![7; 0x1000]));
        assert_eq!(
            desk.vm(read(OPEN + 0xfff, 2)),
            Err(DENIED),
            "partly outside"
        );
        assert_eq!(desk.vm(read(OPEN - 1, 1)), Err(DENIED));
        let (gpa, size) = (OPEN + 0x1000, 8);
        assert_eq!(desk.vm(ReadWord { gpa, size }), Err(DENIED));
        let length = 1;
        assert_eq!(desk.vm(CoversMemory { gpa, length }), Err(DENIED));
        let bytes = vec![1; 2];
        let gpa = OPEN + 0xfff;
        assert_eq!(desk.vm(WritePhysical { gpa, bytes }), Err(DENIED));
        assert_eq!(
            desk.vm(read(OPEN + 0xff8, 8)),
            Ok(vec![7; 8]),
            "nothing was written"
        );
    });
    assert_eq!(refusals(&ran).len(), 2 * 5, "each is told of");
}

#[test]
fn virtual_memory_is_granted_by_the_pages_behind_it() {
    narrowed(one_page(), |desk| {
        let cr3 = None;
        let read = |gva, length| ReadVirtual { cr3, gva, length };
        for vcpu in [0, 1] {
            let answer = desk.on(vcpu, read(OPEN_GVA + 8, 16));
            // The other one may have ended, or have too much to do.
            let other = vcpu == 1 && matches!(answer, Err(Refusal::Gone | Refusal::Busy));
            assert!(other || answer == Ok(vec![7; 16]), "{answer:?}");
        }
        assert_eq!(
            desk.on(0, read(SHUT_GVA - 8, 16)),
            Err(DENIED),
            "partly outside"
        );
        assert_eq!(
            desk.on(0, read(OPEN_GVA - 0x1000, 8)),
            Err(DENIED),
            "not mapped"
        );
        let gva = OPEN_GVA + 5;
        assert_eq!(desk.on(0, TranslateGva { gva }), Ok(OPEN + 5));
        let gva = SHUT_GVA;
        assert_eq!(desk.on(0, TranslateIn { cr3, gva }), Err(DENIED));
        let write = |gva, bytes: &[u8]| WriteVirtual {
            gva,
            bytes: bytes.to_vec(),
        };
        assert_eq!(desk.on(0, write(SHUT_GVA - 1, &[1, 2])), Err(DENIED));
        assert_eq!(desk.on(0, write(OPEN_GVA, &[7, 7])), Ok(()));
        assert_eq!(desk.on(99, read(OPEN_GVA, 8)), Err(Refusal::NotFound));
        assert_eq!(desk.on(0, read(OPEN_GVA, 0)), Err(Refusal::Invalid));
    });
}

#[test]
fn virtual_ranges_hold_whatever_the_pages_and_for_the_tables_in_force_only() {
    let bounds = Bounds {
        read: Some(Reach {
            linear: ranges(SHUT_GVA, SHUT_GVA + 7),
            ..Reach::default()
        }),
        ..Bounds::default()
    };
    narrowed(bounds, |desk| {
        let read = |cr3, gva, length| ReadVirtual { cr3, gva, length };
        assert_eq!(desk.on(0, read(None, SHUT_GVA, 8)), Ok(vec![9; 8]));
        assert_eq!(desk.on(0, read(None, SHUT_GVA, 9)), Err(DENIED));
        let registers = desk.on(0, GetRegisters { msrs: vec![] });
        let cr3 = registers.map(|registers| registers.special.cr3).ok();
        assert_eq!(desk.on(0, read(cr3, SHUT_GVA, 8)), Err(DENIED));
        let (gpa, length) = (OPEN + 0x1000, 8);
        assert_eq!(desk.vm(ReadPhysical { gpa, length }), Err(DENIED));
    });
}

#[test]
fn breakpoints_and_traps_lie_where_may_be_read() {
    narrowed(one_page(), |desk| {
        let set = |place| SetBreakpoint { place, tag: 1 };
        assert_eq!(desk.on(0, set(Place::Gpa(OPEN + 0x1000))), Err(DENIED));
        assert_eq!(desk.on(0, set(Place::Gva(SHUT_GVA))), Err(DENIED));
        assert_eq!(desk.on(0, set(Place::Gva(OPEN_GVA))), Ok(()));
        let trap = |gpa| SetPageAccess {
            view: 0,
            entries: vec![PageRule {
                gpa,
                allowed: Access::READ,
                tag: 1,
            }],
        };
        assert_eq!(desk.vm(trap(OPEN + 0x10)), Ok(()));
        assert_eq!(desk.vm(trap(OPEN + 0x1000)), Err(DENIED));
    });
}

#[test]
fn only_granted_msrs_are_heard_read_and_armed() {
    let bounds = Bounds {
        msrs: Some(ranges(msr::STAR.into(), msr::STAR.into())),
        ..Bounds::default()
    };
    let ran = narrowed(bounds, |desk| {
        let (star, lstar) = (msr::STAR, msr::LSTAR);
        assert!(desk.on(0, GetMsr { msr: star }).is_ok());
        assert_eq!(desk.on(0, GetMsr { msr: lstar }), Err(DENIED));
        let both = vec![star, lstar];
        assert_eq!(desk.on(0, GetRegisters { msrs: both }).err(), Some(DENIED));
        let (msr, enable) = (lstar, true);
        assert_eq!(desk.on(0, ControlMsr { msr, enable }), Err(DENIED));
    });
    assert_eq!(ran.outcome.events, 1, "its filter asks for all of them");
}

#[test]
fn a_policys_reads_are_held_to_its_grant() {
    for (gpa, expected) in [
        (OPEN, ("value", "[07, 07")),
        (OPEN + 0x1000, ("refusal", "denied")),
    ] {
        let reads = zoo("read-memory").set("value", Setting::Number(gpa));
        let ran = play(&guest(), vec![reads.within(one_page()).candidate(&host())]);
        let alerts = ran.alerts();
        let (name, value) = &alerts[0].fields[0];
        assert!(
            name == expected.0 && value.starts_with(expected.1),
            "{name} {value}"
        );
    }
}

#[test]
fn a_policy_hears_only_the_msrs_that_it_is_granted() {
    let bounds = Bounds {
        msrs: Some(ranges(msr::LSTAR.into(), msr::LSTAR.into())),
        ..Bounds::default()
    };
    let denies = zoo("deny").hears(KIND).within(bounds);
    let ran = play(&guest(), vec![denies.candidate(&host())]);
    let verdicts = ran.verdicts();
    assert_eq!(verdicts, [(EventKind::Msr, Verdict::Deny)]);
}

#[test]
fn what_a_policy_may_do_can_be_told_of_a_running_one() {
    let policy = zoo("continue").right(Right::Control).within(one_page());
    let prepared = policy.prepare(&host()).expect("granted");
    let effective = prepared.effective();
    assert_eq!(effective.bounds.as_deref(), Some(&one_page()));
    let standing = |right| {
        let one = effective.rights.iter().find(|one| one.what == right);
        one.is_some_and(oriel_policy::Standing::in_effect)
    };
    assert!(standing(Right::MemoryRead));
    assert!(!standing(Right::Control), "it is granted and not imported");
}

#[test]
fn the_operators_commands_are_held_to_the_judges_grant() {
    let judge = within(native("narrow", &[], |_, _| Verdict::Continue), one_page());
    let vm = Vm::of(&guest(), vec![judge]);
    let handle = vm.handle();
    let read = |gva| {
        let (cr3, length) = (None, 4);
        handle.run(
            0,
            0,
            ReadVirtual { cr3, gva, length },
            Duration::from_secs(60),
        )
    };
    assert_eq!(read(OPEN_GVA), Ok(vec![7; 4]));
    assert_eq!(read(SHUT_GVA), Err(DENIED));
    let gpa = OPEN + 0x1000;
    let place = SetBreakpoint {
        place: Place::Gpa(gpa),
        tag: 1,
    };
    assert_eq!(
        handle.run(0, 0, place, Duration::from_secs(60)),
        Err(DENIED)
    );
    vm.stop();
}

#[test]
fn a_tool_is_held_to_its_bounds() {
    let mut allowed = settings(Dialect::V7);
    allowed.grant = Grant {
        bounds: Some(
            Bounds {
                msrs: Some(ranges(msr::STAR.into(), msr::STAR.into())),
                ..one_page()
            }
            .into(),
        ),
        ..Grant::all()
    };
    let seat = tool::candidate(NAME, allowed);
    let vm = Vm::of(&guest(), vec![seat]);
    let mut tool = vm.hook(NAME);
    let perm = Err(Refusal::Denied.errno());
    let read = |gpa, length| ReadPhysical { gpa, length };
    assert_eq!(tool.vm(read(OPEN, 4)), Ok(vec![7; 4]));
    assert_eq!(tool.vm(read(OPEN + 0x1000, 4)), perm);
    let bytes = vec![0xcc];
    let gpa = OPEN + 0x1000;
    assert_eq!(
        tool.vm(WritePhysical { gpa, bytes }),
        Err(Refusal::Denied.errno())
    );
    let gva = OPEN_GVA + 1;
    assert_eq!(tool.on(0, TranslateGva { gva }), Ok(OPEN + 1));
    let gva = SHUT_GVA;
    assert_eq!(
        tool.on(0, TranslateGva { gva }),
        Err(Refusal::Denied.errno())
    );
    let enable = true;
    let arm = |msr| ControlMsr { msr, enable };
    assert_eq!(tool.on(0, arm(msr::STAR)), Ok(()));
    assert_eq!(tool.on(0, arm(msr::LSTAR)), Err(Refusal::Denied.errno()));
    vm.stop();
}

#[test]
fn what_narrows_one_judge_does_not_narrow_another() {
    let narrow = within(
        native("narrow", KIND, |_, desk| {
            let (gpa, length) = (0, 1);
            assert_eq!(desk.vm(ReadPhysical { gpa, length }), Err(DENIED));
            Verdict::Continue
        }),
        one_page(),
    );
    let wide = native("wide", KIND, |_, desk| {
        let (gpa, length) = (0, 1);
        assert!(desk.vm(ReadPhysical { gpa, length }).is_ok());
        Verdict::Continue
    });
    let ran = play(&scenario(ONE_WRITE), vec![narrow, wide]);
    assert_eq!(ran.verdicts().len(), 1);
}

const ONE_WRITE: &str = "
    [[step]]
    event = \"msr\"
    msr = \"star\"
    value = 1
    [[step]]
    finish = 0
";
