//! Revisions that share a guest's events, one in so many for the new one: between them they hear
//! each event once.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use oriel_engine::{
    Record, Running, Settings, Sink,
    roster::{Canary, RosterError, Share, Standing, SwapOptions, Swapped},
};
use oriel_machine::{Outlet, Parts, outlet};
use oriel_tests::{FOREVER, Load, Seen, host, watching, zoo};

use super::endless;
use crate::kvm;

/// For each vCPU, its events by number, each with who heard it.
type ByVcpu = BTreeMap<u32, Vec<(u64, Vec<u64>)>>;

/// For each vCPU, which revisions heard each event, in the order of the events.
#[derive(Default)]
struct Heard(Mutex<ByVcpu>);

impl Heard {
    fn by_vcpu(&self) -> MutexGuard<'_, ByVcpu> {
        self.0.lock().expect("no panics")
    }

    /// Waits until both vCPUs have had more events than this, heard by this revision.
    fn more_than(&self, goal: usize, revision: u64) {
        let until = std::time::Instant::now() + FOREVER;
        let heard = |vcpu: u32| {
            let all = self.by_vcpu();
            let events = all.get(&vcpu).into_iter().flatten();
            events.filter(|(_, who)| who.contains(&revision)).count()
        };
        while [0, 1].into_iter().any(|vcpu| heard(vcpu) <= goal) {
            assert!(std::time::Instant::now() < until, "the guest goes on");
            std::thread::yield_now();
        }
    }
}

impl Sink for Heard {
    fn put(&self, record: Record) {
        if let Record::Event(judged) = record {
            let who = judged.judges.iter().map(|one| one.revision).collect();
            let mut all = self.by_vcpu();
            let events = all.entry(judged.moment.vcpu).or_default();
            events.push((judged.moment.seq, who));
        }
    }
}

/// A VM with a policy that is to be changed.
struct Scene {
    running: Running,
    heard: Arc<Heard>,
}

fn policy(seen: Seen) -> Load {
    watching(seen).named("guard")
}

impl Scene {
    fn of(build: impl FnOnce(Arc<dyn Outlet>) -> Parts, first: &Load) -> Self {
        let heard = Arc::new(Heard::default());
        let settings = Settings {
            changes_per_minute: usize::MAX,
            ..Settings::default()
        };
        let engine = oriel_engine::Engine::new(host(), build(Arc::new(outlet::Kept::default())));
        let engine = engine
            .sink(heard.clone() as Arc<dyn Sink>)
            .settings(settings)
            .judge(first.candidate(&host()));
        let running = engine.start().expect("a VM that can be started");
        Self { running, heard }
    }

    fn swap(&self, next: &Load, how: &SwapOptions) -> Result<Swapped, RosterError> {
        let roster = self.running.handle().roster();
        roster.swap(next.candidate(&host()), how)
    }

    /// Ends it. Each event of each vCPU was heard by one revision, and has the next number.
    fn end(self) -> BTreeMap<u32, Vec<u64>> {
        self.running.handle().stop();
        self.running.wait();
        let mut by_vcpu = BTreeMap::new();
        for (vcpu, events) in &*self.heard.by_vcpu() {
            let mut revisions = Vec::new();
            for (at, (seq, who)) in (1..).zip(events) {
                assert_eq!(*seq, at, "vCPU {vcpu}");
                let [one] = who[..] else {
                    panic!("event {seq} of vCPU {vcpu} was heard by {who:?}");
                };
                revisions.push(one);
            }
            by_vcpu.insert(*vcpu, revisions);
        }
        by_vcpu
    }
}

fn one_in(share: u32, lasts: Duration) -> SwapOptions {
    let share = Share::OneIn(share);
    SwapOptions {
        canary: Some(Canary { share, lasts }),
        ..SwapOptions::default()
    }
}

/// Swaps with a canary while the guest runs; what each event was heard by.
fn shared_out(build: impl FnOnce(Arc<dyn Outlet>) -> Parts) -> (Swapped, BTreeMap<u32, Vec<u64>>) {
    let scene = Scene::of(build, &policy(Seen::Count));
    scene.heard.more_than(10, 1);
    // One that gets no state of the old one's would trap.
    let swapped = scene.swap(&policy(Seen::Heir), &one_in(4, Duration::from_millis(100)));
    let swapped = swapped.expect("it does well");
    let before = scene.heard.by_vcpu()[&0].len();
    scene.heard.more_than(before / 4, 2);
    (swapped, scene.end())
}

/// In order: the old one alone, both in turn, the old one alone while all is made ready, the new one
/// alone. At least and at most how many events the new one has heard in its share: if it was its turn
/// where the old one ends, it may have had that one still, with nothing for the old one to hear after.
fn has_its_phases(revisions: &[u64]) -> [u64; 2] {
    let first = revisions.iter().position(|one| *one == 2);
    let first = first.expect("the new one has heard something");
    let last_old = revisions.iter().rposition(|one| *one == 1);
    let both = &revisions[first..=last_old.expect("the old one as well")];
    let its_own: Vec<_> = (0..both.len()).filter(|&at| both[at] == 2).collect();
    assert!(
        its_own.windows(2).all(|two| two[1] - two[0] == 4),
        "{its_own:?}"
    );
    assert!(first >= 10, "it came late");
    let its_turn = its_own.last() == both.len().checked_sub(4).as_ref();
    let least = its_own.len() as u64;
    [least, least + u64::from(its_turn)]
}

/// The report counts the events that the new one has heard in its share.
fn counts_its_share((swapped, heard): &(Swapped, BTreeMap<u32, Vec<u64>>)) {
    let own = heard.values().map(|one| has_its_phases(one));
    let [least, most] = own.fold([0, 0], |[least, most], [more, at_most]| {
        [least + more, most + at_most]
    });
    let report = swapped.canary.as_ref().expect("there was one");
    assert!(
        (least..=most).contains(&report.events),
        "{report:?}: {least} to {most}"
    );
    assert_eq!(heard.len(), 2);
}

#[test]
fn two_revisions_that_observe_hear_each_event_once_between_them() {
    counts_its_share(&shared_out(endless));
}

#[test]
fn two_revisions_that_observe_hear_each_event_once_between_them_on_kvm() {
    if !kvm::kvm() {
        return;
    }
    let guest = |outlet| kvm::parts(oriel_guests::storm(2, u32::MAX), outlet);
    counts_its_share(&shared_out(guest));
}

#[test]
fn one_that_fails_in_its_share_is_gone_and_the_old_one_hears_everything() {
    let scene = Scene::of(endless, &policy(Seen::Count));
    let refused = scene.swap(&policy(Seen::Trap), &one_in(100, FOREVER));
    assert!(
        matches!(refused, Err(RosterError::Failed(_))),
        "{refused:?}"
    );
    let roster = scene.running.handle().roster();
    assert_eq!(roster.list()[0].revision, 1);
    let failures = roster.failures("guard").expect("it is known");
    assert!(!failures.is_empty() && failures.iter().all(|one| one.revision == 2));
    // A quarantine would have been the canary's, and is nobody's now.
    let asked = roster.release("guard");
    assert!(
        matches!(asked, Err(RosterError::NotInQuarantine(_))),
        "{asked:?}"
    );
    let before = scene.heard.by_vcpu().values().map(Vec::len).max();
    scene.heard.more_than(before.unwrap_or(0), 1);
    let next = scene.swap(&policy(Seen::Count), &one_in(2, Duration::ZERO));
    assert_eq!(next.expect("another may come").to, 2);
    let back = roster.rollback("guard", None).expect("a way back");
    assert_eq!((back.from, back.to), (2, 1));
    let history = roster.history("guard").expect("it is known");
    assert_eq!(history[0].standing, Standing::RolledBack);
    scene.end();
}

#[test]
fn one_instance_for_all_vcpus_shares_too() {
    let scene = Scene::of(endless, &policy(Seen::Count).per_vm());
    scene.heard.more_than(10, 1);
    let next = policy(Seen::Heir).per_vm();
    let swapped = scene.swap(&next, &one_in(3, Duration::from_millis(20)));
    assert!(swapped.expect("it does well").canary.is_some());
    scene.end();
}

#[test]
fn who_judges_shares_nothing_and_no_canary_goes_with_moving_together() {
    let scene = Scene::of(endless, &policy(Seen::Count));
    let judges = zoo("continue")
        .named("guard")
        .hears(&[oriel_protocol::EventKind::Msr]);
    let refused = scene.swap(&judges, &one_in(4, FOREVER));
    let Err(RosterError::Judges { revision: 2, kinds }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(kinds, "msr");
    for many in [0, 1] {
        let refused = scene.swap(&policy(Seen::Count), &one_in(many, FOREVER));
        assert!(matches!(refused, Err(RosterError::NoShare(no)) if no == many));
    }
    let by_vcpu = |share| SwapOptions {
        together: true,
        canary: Some(Canary {
            share,
            lasts: FOREVER,
        }),
        ..SwapOptions::default()
    };
    for share in [Share::Vcpus(vec![0]), Share::OneIn(2)] {
        let refused = scene.swap(&policy(Seen::Count), &by_vcpu(share));
        assert!(
            matches!(refused, Err(RosterError::CanaryTogether(_))),
            "{refused:?}"
        );
    }
    let first = SwapOptions {
        together: false,
        ..by_vcpu(Share::Vcpus(vec![0]))
    };
    let one_instance = scene.swap(&policy(Seen::Count).per_vm(), &first);
    assert!(matches!(one_instance, Err(RosterError::CanaryTogether(_))));
    let other_store = scene.swap(&policy(Seen::Count).schema(2), &first);
    assert!(matches!(other_store, Err(RosterError::CanaryTogether(_))));
    assert!(
        scene
            .end()
            .values()
            .flatten()
            .all(|revision| *revision == 1)
    );
}
