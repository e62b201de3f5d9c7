//! Real guests on the kvm machine. Skipped loudly where `/dev/kvm` cannot be used; a failure
//! there if `ORIEL_REQUIRE` names `kvm`.

use std::sync::Arc;

use oriel_engine::Candidate;
use oriel_guests::{ATTACKER_ENTRY, Guest, KERNEL_ENTRY, conformance};
use oriel_machine::{
    End,
    kvm::{Config, Image, is_usable},
};
use oriel_policy::{Setting, Store};
use oriel_protocol::{EventKind, Verdict, commands::service::StoreGet};
use oriel_tests::{Load, Ran, host, load, native, run, zoo};

/// Whether there is a KVM to test on.
pub(crate) fn kvm() -> bool {
    let Err(why) = is_usable() else { return true };
    let required =
        std::env::var("ORIEL_REQUIRE").is_ok_and(|list| list.split(',').any(|one| one == "kvm"));
    assert!(!required, "ORIEL_REQUIRE names kvm, but: {why}");
    eprintln!("SKIPPED: {why}");
    false
}

pub(crate) fn guest(name: &str, vcpus: u32) -> Guest {
    oriel_guests::by_name(name, vcpus).expect("a guest of ours")
}

/// Runs a guest under these judges.
pub(crate) fn watch(guest: Guest, judges: Vec<Candidate>) -> Ran {
    let Guest {
        image,
        load,
        entry,
        vcpus,
        interrupts,
        ..
    } = guest;
    let build = |outlet| {
        let config = Config::new(
            Image {
                bytes: image,
                load,
                entry,
            },
            outlet,
        );
        Config {
            vcpus,
            interrupts,
            ..config
        }
        .build()
        .expect("a VM that can be made")
    };
    run(build, judges)
}

/// The zoo's policy, hearing of these MSRs' writes and reads only.
fn hears_msrs(act: &str) -> Load {
    zoo(act).hears(&[EventKind::Msr, EventKind::MsrRead])
}

fn counted(store: &Store) -> u64 {
    let bytes = store
        .apply(StoreGet {
            key: "count".to_owned(),
        })
        .expect("the store answers");
    bytes.map_or(0, |bytes| {
        u64::from_le_bytes(bytes.try_into().expect("a number"))
    })
}

#[test]
fn a_sandboxed_policy_denies_a_real_guests_msr_write() {
    if !kvm() {
        return;
    }
    let host = host();
    let protected = watch(
        guest("msr-attack", 1),
        vec![
            load("msr-guard")
                .hears(&[EventKind::Msr, EventKind::Reset])
                .candidate(&host),
        ],
    );
    assert_eq!(protected.outcome.end, End::Finished(0));
    assert_eq!(
        protected.reports,
        [KERNEL_ENTRY, 1],
        "LSTAR, and the #GPs that the guest took"
    );
    assert!(
        protected
            .verdicts()
            .contains(&(EventKind::Msr, Verdict::Deny))
    );
    let open = watch(guest("msr-attack", 1), vec![]);
    assert_eq!(open.reports, [ATTACKER_ENTRY, 0]);
}

#[test]
fn a_pin_of_one_vcpu_holds_for_another() {
    if !kvm() {
        return;
    }
    let host = host();
    let judges = vec![
        load("msr-guard")
            .hears(&[EventKind::Msr, EventKind::Reset])
            .candidate(&host),
    ];
    let ran = watch(guest("msr-attack-2", 2), judges);
    assert_eq!(ran.outcome.end, End::Finished(0));
    assert!(ran.verdicts().contains(&(EventKind::Msr, Verdict::Deny)));
}

#[test]
fn a_policy_that_always_continues_changes_no_msr() {
    if !kvm() {
        return;
    }
    let host = host();
    let alone = watch(guest("msr-conformance", 1), vec![]);
    let watched = watch(
        guest("msr-conformance", 1),
        vec![hears_msrs("continue").candidate(&host)],
    );
    assert_eq!(alone.outcome.end, End::Finished(0));
    assert!(watched.outcome.events > 0, "it was asked");
    let rows = |ran: &Ran| -> Vec<Vec<u64>> {
        ran.reports
            .chunks(conformance::REPORTS_PER_ROW)
            .map(<[u64]>::to_vec)
            .collect()
    };
    for ((row, alone), watched) in conformance::ROWS
        .iter()
        .zip(rows(&alone))
        .zip(rows(&watched))
    {
        assert_eq!(alone, watched, "{}", row.name);
    }
    assert_eq!(rows(&alone).len(), rows(&watched).len());
}

#[test]
fn no_event_of_a_storm_on_two_vcpus_is_lost() {
    if !kvm() {
        return;
    }
    let (host, store) = (host(), Arc::new(Store::default()));
    const WRITES: u32 = 500;
    let star = Setting::Numbers(vec![0xc000_0081]);
    let counts = zoo("count")
        .hears(&[EventKind::Msr])
        .set("msrs", star)
        .store(&store);
    let ran = watch(
        oriel_guests::storm(2, WRITES),
        vec![counts.candidate(&host)],
    );
    assert_eq!(
        (ran.outcome.end.clone(), ran.outcome.events),
        (End::Finished(0), 2 * u64::from(WRITES))
    );
    assert_eq!(counted(&store), 2 * u64::from(WRITES));
    assert!(ran.failures().is_empty());
}

#[test]
fn an_endless_loop_in_a_policy_does_not_hang_a_real_guest() {
    if !kvm() {
        return;
    }
    let host = host();
    let mut bad = hears_msrs("loop");
    bad.limits.event = std::time::Duration::from_millis(2);
    let ran = watch(guest("msr-attack", 1), vec![bad.candidate(&host)]);
    assert_eq!(ran.outcome.end, End::Finished(0));
    assert!(!ran.failures().is_empty());
}

#[test]
fn a_judge_reads_guest_memory_and_registers_of_a_real_guest() {
    if !kvm() {
        return;
    }
    use oriel_protocol::commands::{
        vcpu::{GetGeneral, ReadVirtual},
        vm::{PauseOthers, ReadPhysical},
    };
    let judge = native("reader", &[EventKind::Msr], |case, desk| {
        let vcpu = case.moment.vcpu;
        let general = desk.on(vcpu, GetGeneral {}).expect("registers");
        assert_eq!(general.rip, case.event.ip);
        assert_eq!(desk.vm(PauseOthers {}), Ok(()), "there is nobody else");
        let virtually = desk.on(
            vcpu,
            ReadVirtual {
                cr3: None,
                gva: general.rip,
                length: 2,
            },
        );
        let physically = desk.vm(ReadPhysical {
            gpa: general.rip,
            length: 2,
        });
        assert_eq!(virtually, Ok(vec![0x0f, 0x30]), "a WRMSR");
        assert_eq!(
            virtually, physically,
            "guests of ours are mapped one to one"
        );
        Verdict::Continue
    });
    let ran = watch(guest("msr-attack", 1), vec![judge]);
    assert_eq!(ran.outcome.end, End::Finished(0));
    assert!(ran.outcome.events >= 2);
}

#[test]
fn an_event_that_the_machine_cannot_report_is_refused_by_name() {
    if !kvm() {
        return;
    }
    let judge = native("hears-cr", &[EventKind::Cr], |_, _| Verdict::Continue);
    let Guest {
        image, load, entry, ..
    } = guest("halt", 1);
    let outlet = Arc::new(oriel_machine::outlet::Kept::default());
    let parts = Config::new(
        Image {
            bytes: image,
            load,
            entry,
        },
        outlet,
    )
    .build()
    .expect("a VM");
    let error = oriel_engine::Engine::new(host(), parts)
        .judge(judge)
        .start()
        .expect_err("no CR events here");
    let cause = std::error::Error::source(&error)
        .map(ToString::to_string)
        .unwrap_or_default();
    assert!(cause.contains("cr"), "{error}: {cause}");
}
