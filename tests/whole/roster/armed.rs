//! What a revision has armed by command is its own: it goes with it, and with the VM.

use std::{sync::Arc, time::Instant};

use oriel_engine::{
    Assembly, Candidate, Desk, Engine, Judge, Ruling, policies,
    roster::{OnRefusal, SwapOptions},
};
use oriel_machine::{Wants, outlet};
use oriel_policy::Saved;
use oriel_protocol::{
    Access, Case, EventKind, EventSet, Grant, Moment,
    commands::{
        vcpu::{ControlSinglestep, Place, SetBreakpoint},
        vm::{PageRule, SetPageAccess},
    },
    page::frame,
};
use oriel_tests::{FOREVER, Noted, host};

use super::{Stage, endless, guard};

/// Where the first revision arms, and where the second does.
const FIRST: u64 = 0x1000;
const SECOND: u64 = 0x3000;

/// A policy that arms things at its first event.
struct Armer {
    policy: Box<dyn Judge>,
    at: u64,
    armed: bool,
}

impl Armer {
    fn arm(&self, desk: &mut Desk) {
        let (vcpu, tag) = (desk.index(), self.at);
        let breakpoint = SetBreakpoint {
            place: Place::Gpa(self.at),
            tag,
        };
        assert_eq!(desk.on(vcpu, breakpoint), Ok(()));
        let entries = vec![PageRule {
            gpa: self.at,
            allowed: Access::READ,
            tag,
        }];
        assert_eq!(desk.vm(SetPageAccess { view: 0, entries }), Ok(()));
        let step = ControlSinglestep { enable: true };
        assert_eq!(desk.on(vcpu, step), Ok(()));
    }
}

impl Judge for Armer {
    fn judge(&mut self, case: &Case<'_>, mut desk: Box<Desk>) -> (Ruling, Box<Desk>) {
        if !std::mem::replace(&mut self.armed, true) {
            self.arm(&mut desk);
        }
        // The policy hears of MSRs; what comes of what was armed is let through.
        if case.event.kind() == EventKind::Msr {
            return self.policy.judge(case, desk);
        }
        (Ruling::CONTINUE, desk)
    }

    fn ready(&mut self, desk: Box<Desk>) -> (Ruling, Box<Desk>) {
        self.policy.ready(desk)
    }

    fn save(&mut self, desk: Box<Desk>) -> (Result<Option<Saved>, String>, Box<Desk>) {
        self.policy.save(desk)
    }

    fn notice(&mut self, kind: EventKind, at: Moment, desk: Box<Desk>) -> (Ruling, Box<Desk>) {
        self.policy.notice(kind, at, desk)
    }
}

/// The policy, arming there.
fn armer(at: u64) -> Candidate {
    let policy = guard().candidate(&host());
    let make = policy.make;
    Candidate {
        grant: Grant::all(),
        judges: EventSet::all(),
        make: Box::new(move |bench, slot| {
            Box::new(Armer {
                policy: make(bench, slot),
                at,
                armed: false,
            })
        }),
        ..policy
    }
}

/// What is to be reported of breakpoints, pages and steps.
fn armed(wants: &Wants) -> (Vec<u64>, Vec<u64>, Vec<u32>) {
    (
        wants.breakpoints.iter().copied().collect(),
        wants.pages.keys().copied().collect(),
        wants.singlestep.clone(),
    )
}

/// All that is armed there, on both vCPUs.
fn all_at(at: u64) -> (Vec<u64>, Vec<u64>, Vec<u32>) {
    (vec![at], vec![frame(at)], vec![0, 1])
}

fn nothing() -> (Vec<u64>, Vec<u64>, Vec<u32>) {
    Default::default()
}

fn await_all(noted: &Noted, at: u64) {
    let until = Instant::now() + FOREVER;
    while armed(&noted.wants()) != all_at(at) {
        assert!(Instant::now() < until, "{:?}", noted.wants());
        std::thread::yield_now();
    }
}

#[test]
fn what_a_revision_has_armed_goes_with_it() {
    let noted = Noted::default();
    let stage = Stage::with(|outlet| noted.of(endless(outlet)), vec![armer(FIRST)]);
    await_all(&noted, FIRST);
    let fresh = SwapOptions {
        state: OnRefusal::Fresh,
        ..SwapOptions::default()
    };
    let swapped = stage.roster().swap(armer(SECOND), &fresh);
    assert_eq!(swapped.expect("a swap").to, 2);
    // Nothing of the first is left, whatever the second has come to.
    let (breakpoints, pages, _) = armed(&noted.wants());
    assert!(!breakpoints.contains(&FIRST) && !pages.contains(&frame(FIRST)));
    await_all(&noted, SECOND);
    let plain = stage.roster().swap(guard().candidate(&host()), &fresh);
    assert_eq!(plain.expect("a swap").to, 3);
    let wants = noted.wants();
    assert_eq!(armed(&wants), nothing());
    assert!(wants.kind(EventKind::Msr), "this one listens");
    stage.watch.more_events(3);
    stage.end();
}

#[test]
fn what_a_policy_has_armed_goes_when_it_is_unloaded() {
    let noted = Noted::default();
    let stage = Stage::with(|outlet| noted.of(endless(outlet)), vec![armer(FIRST)]);
    await_all(&noted, FIRST);
    stage.roster().unload("guard").expect("it is there");
    assert_eq!(noted.wants(), Wants::default());
    stage.end();
}

#[test]
fn stations_that_are_dropped_leave_nothing_armed() {
    let noted = Noted::default();
    let parts = noted.of(endless(Arc::new(outlet::Kept::default())));
    let policy = guard().prepare(&host()).expect("it can be prepared");
    let judge = policies::candidate(&host(), &Arc::new(policy), Arc::default());
    let assembly = Engine::new(host(), parts).judge(judge).assemble();
    let Assembly {
        mut stations,
        handle,
        ..
    } = assembly.expect("a VM that can be put together");
    let wanted = noted.wants();
    assert!(wanted.kind(EventKind::Msr));
    drop(stations.remove(0));
    assert_eq!(noted.wants(), wanted, "the other still runs");
    drop(stations);
    assert_eq!(noted.wants(), Wants::default());
    drop(handle);
}
