//! Recorded and replayed: on both machines, what policies answered is answered again byte for byte;
//! and a policy that has been put right answers otherwise where it was wrong, and nowhere else.

mod quota;

use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use oriel_engine::{
    Candidate, Engine, Journal, Outcome, Running, Settings,
    journal::{
        self, Closed, Entry, Full, Recording,
        entry::{Asked, Called, Class, Outcome as Said},
        recording::Ending,
        replay::{Cast, Code, How, Tally, replay},
    },
    roster::SwapOptions,
};
use oriel_machine::{
    End, Outlet, Parts,
    mock::{Scenario, Step},
    outlet,
};
use oriel_policy::Setting;
use oriel_protocol::{EventKind, Identity, Verdict, x86::msr};
use oriel_tests::{FOREVER, Load, host, load, native, plugin, zoo};

use super::kvm::{guest, kvm, parts};

/// A file in memory, which refuses its first writes behind the beginning, and takes so many bytes.
#[derive(Clone)]
struct Disk {
    bytes: Arc<Mutex<Vec<u8>>>,
    refusals: Arc<Mutex<usize>>,
    room: usize,
}

impl Default for Disk {
    fn default() -> Self {
        Self {
            bytes: Arc::default(),
            refusals: Arc::default(),
            room: usize::MAX,
        }
    }
}

impl Disk {
    fn refusing(times: usize) -> Self {
        Self {
            refusals: Arc::new(Mutex::new(times)),
            ..Self::default()
        }
    }

    fn with_room(room: usize) -> Self {
        Self {
            room,
            ..Self::default()
        }
    }

    fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().expect("no panics").clone()
    }
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut kept = self.bytes.lock().expect("no panics");
        let mut refusals = self.refusals.lock().expect("no panics");
        if *refusals > 0 && !kept.is_empty() {
            *refusals -= 1;
            return Err(io::ErrorKind::StorageFull.into());
        }
        let fits = bytes.len().min(self.room.saturating_sub(kept.len()));
        if fits == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        kept.extend_from_slice(&bytes[..fits]);
        Ok(fits)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A VM that is recorded.
struct Recorder {
    disk: Disk,
    journal: Arc<Journal>,
    running: Running,
}

impl Recorder {
    fn start(
        (build, judges): (impl FnOnce(Arc<dyn Outlet>) -> Parts, Vec<Candidate>),
        disk: Disk,
        settings: journal::Settings,
    ) -> Self {
        let parts = build(Arc::new(outlet::Kept::default()));
        let identity: Identity = parts.machine.identity().clone();
        let vcpus = u32::try_from(parts.vcpus.len()).expect("a few");
        let journal = Journal::start(disk.clone(), (&identity, vcpus), settings);
        let journal = journal.expect("a journal that begins");
        let engine = Engine::new(host(), parts)
            .settings(Settings {
                round: FOREVER,
                ..Settings::default()
            })
            .record(journal.clone());
        let engine = judges.into_iter().fold(engine, Engine::judge);
        let running = engine.start().expect("a VM that can be started");
        Self {
            disk,
            journal,
            running,
        }
    }

    fn of(build: impl FnOnce(Arc<dyn Outlet>) -> Parts, judges: Vec<Candidate>) -> Self {
        let settings = journal::Settings::default();
        Self::start((build, judges), Disk::default(), settings)
    }

    fn wait(self) -> (Outcome, Closed, Vec<u8>) {
        let Self {
            disk,
            journal,
            running,
        } = self;
        let (send, receive) = mpsc::channel();
        // Whoever waits may have given up.
        std::thread::spawn(move || send.send(running.wait()));
        let outcome = receive.recv_timeout(2 * FOREVER).expect("the VM ends");
        let closed = journal.finish("it ended").expect("it is closed once");
        (outcome, closed, disk.bytes())
    }

    /// What was recorded, all of it.
    fn end(self) -> Recording {
        let (_, closed, bytes) = self.wait();
        assert_eq!((closed.whole, closed.lost), (true, 0));
        let recording = Recording::read(&bytes).expect("a journal of ours");
        assert!(matches!(recording.ending, Ending::Whole { lost: 0, .. }));
        recording
    }
}

/// Replays with the code of these policies.
fn cast(codes: &[(&str, Vec<u8>)]) -> Cast {
    let host = host();
    let codes = codes.iter().map(|(name, bytes)| Code {
        name: Some((*name).to_owned()),
        file: format!("{name}.wasm"),
        plugin: host.load(name, bytes).expect("a plugin of ours"),
    });
    Cast {
        codes: codes.collect(),
        host: host.clone(),
        settings: BTreeMap::new(),
    }
}

/// What is answered again, and the events that are answered otherwise.
struct Replayed {
    tally: Tally,
    changed: Vec<(u32, u64, Said, Said)>,
    /// What was and what is answered, to be compared as bytes.
    was: String,
    is: String,
}

fn again(recording: &Recording, cast: &Cast) -> Replayed {
    let mut changed = Vec::new();
    let [mut was, mut is] = [const { String::new() }; 2];
    let tally = replay(recording, cast, |judged| {
        was += &format!("{:?}\n", judged.recorded);
        is += &format!("{:?}\n", judged.replayed);
        if judged.recorded != judged.replayed {
            let (was, is) = (judged.recorded.clone(), judged.replayed.clone());
            changed.push((judged.moment.vcpu, judged.moment.seq, was, is));
        }
    });
    Replayed {
        tally: tally.expect("code for every policy"),
        changed,
        was,
        is,
    }
}

/// The same code says the same, call by call.
fn repeats(recording: &Recording, cast: &Cast) -> Tally {
    let Replayed { tally, was, is, .. } = again(recording, cast);
    assert_eq!(was, is);
    assert_eq!((tally.changed, tally.unknown, tally.unanswered), (0, 0, 0));
    assert_eq!(tally.others_changed, 0, "{tally:?}");
    assert_eq!(tally.exact, tally.instances);
    tally
}

fn calls(recording: &Recording) -> impl Iterator<Item = &Called> {
    recording.entries.iter().filter_map(|entry| {
        let Entry::Called(called) = entry else {
            return None;
        };
        Some(called)
    })
}

fn recorded_calls(recording: &Recording) -> u64 {
    calls(recording)
        .filter(|called| matches!(called.asked, Asked::Judge(_)))
        .count() as u64
}

/// Two vCPUs that write an MSR, each value once.
fn writes(count: u64) -> impl FnOnce(Arc<dyn Outlet>) -> Parts {
    move |outlet| {
        let mut scenario = Scenario::new("writes").vcpus(2);
        for value in 0..count {
            for vcpu in 0..2 {
                scenario = scenario.step(Step::write_msr(msr::STAR, value).on(vcpu));
            }
        }
        // The guest ends when both have come to the end.
        let scenario = scenario
            .step(Step::signal("done").on(1))
            .step(Step::wait_for("done").on(0))
            .step(Step::finish(0).on(0));
        scenario.build(outlet).expect("well formed")
    }
}

/// Counts in the store, and remembers the first value that was written.
fn remembers() -> Load {
    let mut load = zoo("remember")
        .named("guard")
        .set("value", Setting::Number(u64::MAX));
    load.limits.event = FOREVER;
    load
}

#[test]
fn on_the_mock_what_was_answered_is_answered_again() {
    let recorder = Recorder::of(writes(200), vec![remembers().candidate(&host())]);
    let recording = recorder.end();
    let tally = repeats(&recording, &cast(&[("guard", plugin("oriel-zoo"))]));
    assert_eq!(tally.events, recorded_calls(&recording));
    assert_eq!(tally.same, tally.events);
    assert!(tally.events > 200, "{tally:?}");
}

#[test]
fn on_kvm_two_vcpus_with_a_shared_store_are_replayed_byte_for_byte() {
    if !kvm() {
        return;
    }
    for policy in [
        load("msr-guard").hears(&[EventKind::Msr, EventKind::Reset]),
        zoo("count").named("msr-guard").hears(&[EventKind::Msr]),
    ] {
        let build = |outlet| parts(guest("msr-attack-2", 2), outlet);
        let recording = Recorder::of(build, vec![policy.candidate(&host())]).end();
        let tally = repeats(&recording, &cast(&[("msr-guard", policy.bytes())]));
        assert!(tally.events >= 2 && tally.instances >= 2, "{tally:?}");
    }
}

#[test]
fn one_instance_for_all_vcpus_is_replayed_in_its_own_order() {
    let policy = remembers().per_vm();
    let recording = Recorder::of(writes(100), vec![policy.candidate(&host())]).end();
    let tally = repeats(&recording, &cast(&[("guard", policy.bytes())]));
    assert_eq!(
        (tally.instances, tally.events),
        (1, recorded_calls(&recording))
    );
}

#[test]
fn a_policy_put_right_answers_otherwise_where_it_was_wrong_and_nowhere_else() {
    // It lets everything happen but the one value that it is told of; the value is the wrong one.
    let bug = |value| {
        zoo("deny")
            .named("guard")
            .set("when-new", Setting::Number(value))
    };
    let recording = Recorder::of(writes(50), vec![bug(7).candidate(&host())]).end();
    let mut fixed = cast(&[("guard", plugin("oriel-zoo"))]);
    let text = |text: &str| Setting::Text(text.to_owned());
    let settings = [
        ("act".to_owned(), text("deny")),
        ("when-new".to_owned(), Setting::Number(9)),
    ];
    fixed.settings.insert("guard".into(), settings.into());
    let replayed = again(&recording, &fixed);
    let (deny, go_on) = (Said::Verdict(Verdict::Deny), Said::Continue);
    let mut changed: Vec<_> = replayed.changed.into_iter().collect();
    changed.sort_by_key(|(vcpu, seq, ..)| (*vcpu, *seq));
    assert_eq!(changed.len(), 4, "two values on two vCPUs: {changed:?}");
    for pair in changed.chunks(2) {
        let [(_, first, was, is), (_, second, then, now)] = pair else {
            panic!("two on each vCPU")
        };
        assert_eq!((was, is), (&deny, &go_on));
        assert_eq!((then, now), (&go_on, &deny));
        assert_eq!(second - first, 2, "9 is two events after 7");
    }
    assert_eq!((replayed.tally.exact, replayed.tally.unanswered), (0, 0));
}

#[test]
fn an_overdue_event_is_repeated_and_the_same_policy_goes_on_behind_it() {
    let mut policy = zoo("loop")
        .named("guard")
        .set("when-new", Setting::Number(3));
    policy.limits.event = Duration::from_millis(5);
    policy.limits.wall_factor = 10_000;
    let recording = Recorder::of(writes(6), vec![policy.candidate(&host())]).end();
    let overdue = |called: &&Called| {
        let Said::Failed { class, .. } = called.outcome else {
            return false;
        };
        class == Class::Overdue
    };
    let overdue = calls(&recording).filter(overdue).count() as u64;
    assert!(overdue > 0);
    let tally = repeats(&recording, &cast(&[("guard", plugin("oriel-zoo"))]));
    assert_eq!(tally.repeated, overdue);
    // One that does not loop is asked, and answers.
    let mut fixed = cast(&[("guard", plugin("oriel-zoo"))]);
    let settings = [("act".to_owned(), Setting::Text("continue".to_owned()))];
    fixed.settings.insert("guard".into(), settings.into());
    let mut hows = Vec::new();
    let tally = replay(&recording, &fixed, |judged| {
        hows.push(judged.how);
        assert_eq!(*judged.replayed, Said::Continue);
    });
    let tally = tally.expect("code for the policy");
    assert!(hows.iter().all(|how| *how == How::Asked));
    assert_eq!((tally.changed, tally.restarts), (overdue, 0));
}

#[test]
fn a_trap_and_the_fresh_instance_behind_it_are_repeated() {
    let policy = zoo("trap")
        .named("guard")
        .set("when-new", Setting::Number(3));
    let recording = Recorder::of(writes(6), vec![policy.candidate(&host())]).end();
    let tally = repeats(&recording, &cast(&[("guard", plugin("oriel-zoo"))]));
    assert_eq!(tally.repeated, 0, "a trap is no matter of the clock");
    assert!(tally.instances >= 4, "{tally:?}");
}

#[test]
fn a_swap_in_the_journal_is_replayed_with_the_state_that_was_handed_over() {
    let endless = |outlet: Arc<dyn Outlet>| {
        let write = |vcpu| Step::write_msr(msr::STAR, 7).on(vcpu);
        let scenario = Scenario::new("endless").vcpus(2);
        let scenario = scenario.step(write(0)).step(write(1)).looping();
        scenario.build(outlet).expect("well formed")
    };
    let first = zoo("count").named("guard").hears(&[EventKind::Msr]);
    let second = zoo("deny").named("guard").hears(&[EventKind::Msr]);
    let recorder = Recorder::of(endless, vec![first.candidate(&host())]);
    let vm = recorder.running.handle();
    let swapped = vm
        .roster()
        .swap(second.candidate(&host()), &SwapOptions::default());
    assert_eq!(swapped.expect("a swap").to, 2);
    vm.stop();
    let recording = recorder.end();
    let asked = |wanted: fn(&Asked) -> bool| {
        let asked = calls(&recording).map(|called| &called.asked);
        asked.filter(|asked| wanted(asked)).count()
    };
    assert!(asked(|asked| matches!(asked, Asked::Save)) >= 2);
    assert!(asked(|asked| matches!(asked, Asked::Restore { .. })) >= 2);
    let revisions = recording.entries.iter().filter_map(|entry| {
        let Entry::Begun(begun) = entry else {
            return None;
        };
        Some(begun.revision)
    });
    assert_eq!(revisions.max(), Some(2));
    let tally = repeats(&recording, &cast(&[("guard", plugin("oriel-zoo"))]));
    assert!(tally.others_same >= 4, "{tally:?}");
}

/// A ring that holds a few events, before a disk that is full for a while or for ever.
fn on_a_full_disk(full: Full, disk: Disk, patience: Duration) -> (Outcome, Closed, Vec<u8>) {
    let settings = journal::Settings {
        full,
        ring: 1024,
        patience,
    };
    let guest = (writes(100), vec![remembers().candidate(&host())]);
    Recorder::start(guest, disk, settings).wait()
}

#[test]
fn where_the_guest_is_to_wait_a_full_disk_costs_no_event() {
    let (outcome, closed, bytes) = on_a_full_disk(Full::Block, Disk::refusing(3), FOREVER);
    assert_eq!(outcome.end, End::Finished(0));
    assert_eq!((closed.whole, closed.lost), (true, 0));
    let recording = Recording::read(&bytes).expect("a journal of ours");
    assert_eq!(recorded_calls(&recording), outcome.events);
}

#[test]
fn where_it_is_to_go_on_what_is_lost_is_counted_and_the_rest_is_readable() {
    let (outcome, closed, bytes) = on_a_full_disk(Full::Drop, Disk::refusing(usize::MAX), FOREVER);
    assert_eq!(outcome.end, End::Finished(0));
    assert!(!closed.whole && closed.lost > 0, "{closed:?}");
    let recording = Recording::read(&bytes).expect("a journal of ours");
    assert_eq!(recording.ending, Ending::Open);
    assert_eq!(recording.entries, []);
}

#[test]
fn a_guest_does_not_wait_for_ever_for_a_disk_that_stays_full() {
    let disk = Disk::with_room(2000);
    let patience = Duration::from_millis(50);
    let (outcome, closed, bytes) = on_a_full_disk(Full::Block, disk, patience);
    assert_eq!(outcome.end, End::Finished(0));
    assert!(!closed.whole && closed.lost > 0, "{closed:?}");
    assert_eq!(bytes.len(), 2000, "all that there was room for");
    let recording = Recording::read(&bytes).expect("a journal of ours");
    assert!(matches!(recording.ending, Ending::Cut(_) | Ending::Open));
    let recorded = recorded_calls(&recording);
    assert!(recorded > 0 && recorded < outcome.events, "{recorded}");
    let again = again(&recording, &cast(&[("guard", plugin("oriel-zoo"))]));
    assert_eq!((again.tally.changed, again.tally.events), (0, recorded));
}
