//! The zoo: policies that do harm, each beside a good one. Whatever they do, the guest goes on, the
//! good one sees every event and answers as it would alone, and the failure mode answers for the
//! bad one. No test here asserts how long anything takes.

mod bytes;
mod carried;
mod modes;
mod paused;

use std::{sync::Arc, time::Duration};

use oriel_engine::{
    Candidate, Record, Settings,
    record::{Alert, Failed},
};
use oriel_machine::{
    End,
    mock::{Scenario, Step},
};
use oriel_policy::{Manifest, PrepareError, Setting, Store};
use oriel_protocol::{
    EventKind, Verdict,
    commands::service::{StoreGet, StoreKeys},
    x86::msr,
};
use oriel_tests::{FOREVER, Load, Ran, Vm, host, play, zoo};

const EVENTS: u64 = 6;
const SHORT: Duration = Duration::from_millis(5);

/// A policy that does harm, and what becomes of it.
struct Beast {
    at: &'static str,
    act: &'static str,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is refused when it is loaded, with these words.
    Refused(&'static str),
    /// It fails, with these words; the first event that it judges is denied in its place.
    Fails(&'static str),
    /// It fails where no verdict is asked for: the guest goes on.
    FailsUntold(&'static str),
    /// Its bounds hold, and it goes on.
    Bounded,
}

const fn beast(at: &'static str, act: &'static str, fate: Fate) -> Beast {
    Beast { at, act, fate }
}

/// All of them.
const ZOO: &[Beast] = &[
    beast("init", "loop", Fate::Refused("CPU time")),
    beast("init", "trap", Fate::Refused("told to trap")),
    beast("init", "recurse", Fate::Refused("stack")),
    beast("init", "memory-bomb", Fate::Refused("it trapped")),
    beast("init", "deny", Fate::Refused("told to refuse")),
    beast("init", "huge-text", Fate::Refused("it trapped")),
    beast("filters", "loop", Fate::Refused("CPU time")),
    beast("filters", "trap", Fate::Refused("told to trap")),
    beast("filters", "recurse", Fate::Refused("stack")),
    beast("filters", "huge-answer", Fate::Refused("4096 at most")),
    beast("judge", "loop", Fate::Fails("CPU time")),
    beast("judge", "trap", Fate::Fails("told to trap")),
    beast("judge", "trap-at-random", Fate::Fails("at random")),
    beast("judge", "recurse", Fate::Fails("stack")),
    beast("judge", "memory-bomb", Fate::Fails("it trapped")),
    beast("judge", "huge-text", Fate::Fails("it trapped")),
    beast("judge", "huge-list", Fate::Fails("it trapped")),
    beast("judge", "command-storm", Fate::Fails("it asked for more")),
    beast("judge", "store-flood", Fate::Fails("it asked for more")),
    beast("judge", "alert-flood", Fate::Fails("it asked for more")),
    beast("judge", "log-flood", Fate::Bounded),
    beast("judge", "forbidden", Fate::Bounded),
    beast("observe", "loop", Fate::FailsUntold("CPU time")),
    beast("observe", "trap", Fate::FailsUntold("told to trap")),
    beast(
        "observe",
        "alert-flood",
        Fate::FailsUntold("it asked for more"),
    ),
    beast("notice", "loop", Fate::FailsUntold("CPU time")),
    beast("notice", "recurse", Fate::FailsUntold("stack")),
];

impl Beast {
    fn load(&self) -> Load {
        let mut load = zoo(self.act)
            .text("at", self.at)
            .set("times", Setting::Number(5_000));
        // What ends by itself is not stopped before, however busy the host is.
        let time = if self.act == "loop" { SHORT } else { FOREVER };
        (load.limits.event, load.limits.init) = (time, time);
        load.limits.wall_factor = 10_000;
        load.limits.memory = 16 << 20;
        load
    }

    fn name(&self) -> String {
        format!("{} in {}", self.act, self.at)
    }
}

fn writes(count: u64) -> Scenario {
    Scenario::new("writes")
        .step(Step::write_msr(msr::STAR, 7).times(count))
        .step(Step::finish(0))
}

/// Runs a bad policy before a good one, which counts and denies nothing.
fn beside_a_good_one(bad: &Load, events: u64) -> Ran {
    let (host, store) = (host(), Arc::new(Store::default()));
    let good = zoo("count").named("good").store(&store);
    let judges = vec![bad.candidate(&host), good.candidate(&host)];
    let ran = with_time(FOREVER, &writes(events), judges);
    assert_eq!(ran.outcome.end, End::Finished(0), "the guest went on");
    let key = "count".to_owned();
    let counted = store.apply(StoreGet { key });
    let all = events.to_le_bytes().to_vec();
    assert_eq!(counted, Ok(Some(all)), "the good one saw every event");
    let blamed = |failed: &&&Failed| &*failed.judge == "good";
    assert_eq!(ran.failures().iter().filter(blamed).count(), 0);
    ran
}

/// Runs a guest under these judges, which have so much time for an event together.
fn with_time(round: Duration, scenario: &Scenario, judges: Vec<Candidate>) -> Ran {
    let settings = Settings {
        round,
        ..Settings::default()
    };
    let build = |outlet| scenario.build(outlet).expect("a scenario of ours");
    Vm::start(build, judges, settings).wait()
}

#[test]
fn every_beast_is_contained() {
    for beast in ZOO {
        let (load, name) = (beast.load(), beast.name());
        match beast.fate {
            Fate::Refused(words) => {
                let error = load.prepare(&host()).expect_err(&name).to_string();
                assert!(error.contains(words), "{name}: {error}");
            }
            Fate::Fails(words) => fails(&beside_a_good_one(&load, EVENTS), &name, words),
            Fate::FailsUntold(words) => untold(&beside_a_good_one(&load, EVENTS), &name, words),
            Fate::Bounded => bounded(&beside_a_good_one(&load, EVENTS), &name),
        }
    }
}

fn fails(ran: &Ran, name: &str, words: &str) {
    let failures = ran.failures();
    let first = failures.first().expect(name);
    assert!(first.failure.contains(words), "{name}: {}", first.failure);
    assert_eq!(first.verdict, Verdict::Deny, "{name}");
    let verdicts = ran.verdicts();
    assert_eq!(verdicts.len() as u64, EVENTS, "{name}");
    let denied = (EventKind::Msr, Verdict::Deny);
    assert!(verdicts.contains(&denied), "{name}: {verdicts:?}");
}

fn untold(ran: &Ran, name: &str, words: &str) {
    let failures = ran.failures();
    let first = failures.first().expect(name);
    assert!(first.failure.contains(words), "{name}: {}", first.failure);
    // In quarantine it is not asked any more, and what it would judge is denied.
    let first = ran.verdicts().into_iter().next();
    assert_eq!(first, Some((EventKind::Msr, Verdict::Continue)), "{name}");
}

fn bounded(ran: &Ran, name: &str) {
    let failures = ran.failures();
    assert!(failures.is_empty(), "{name}: {failures:?}");
    let logged = |record: &&Record| matches!(record, Record::Log(_));
    let lines = ran.records.iter().filter(logged).count() as u64;
    assert!(lines <= EVENTS * 64, "{name}: {lines} lines");
}

#[test]
fn what_is_dropped_of_a_flood_is_told() {
    let flood = beast("judge", "log-flood", Fate::Bounded);
    let ran = beside_a_good_one(&flood.load(), 1);
    let about = |alert: &&&Alert| alert.by_engine;
    let alerts = ran.alerts();
    let told: Vec<_> = alerts.iter().filter(about).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].message.contains("4936 log lines"), "{told:?}");
}

#[test]
fn a_store_takes_no_more_than_its_policy_may_keep() {
    let store = Arc::new(Store::default());
    let mut flood = zoo("store-flood").set("times", Setting::Number(20));
    (flood.limits.store_keys, flood.limits.store_bytes) = (5, 3 << 10);
    let flood = flood.store(&store);
    beside_a_good_one(&flood, 1);
    let prefix = String::new();
    let keys = store.apply(StoreKeys { prefix }).expect("it is there");
    // A key and a kilobyte each.
    assert_eq!(keys, ["flood/0", "flood/1"]);
}

#[test]
fn forbidden_commands_are_refused_and_change_nothing() {
    let bad = beast("judge", "forbidden", Fate::Bounded);
    let ran = beside_a_good_one(&bad.load(), 1);
    let alerts = ran.alerts();
    assert_eq!(
        alerts[0].fields,
        [("value".to_owned(), "6 of 6".to_owned())]
    );
}

#[test]
fn a_verdict_that_an_event_cannot_take_is_a_strike_and_the_failure_mode_answers() {
    // Of a string of two elements there is no one value that could be replaced.
    let out = "[[step]]\nevent = \"pio\"\nport = 0x80\nwrite = true\ncount = 2\nvalue = 1\n";
    let text = format!("{}[[step]]\nfinish = 0\n", out.repeat(4));
    let bad = zoo("replace").candidate(&host());
    let ran = play(&oriel_tests::scenario(&text), vec![bad]);
    assert_eq!(ran.outcome.end, End::Finished(0));
    let failures = ran.failures();
    assert_eq!(failures.len(), 3, "three strikes: {failures:?}");
    assert!(failures[0].failure.contains("`replace`"), "{failures:?}");
    assert_eq!(ran.verdicts(), vec![(EventKind::Pio, Verdict::Deny); 4]);
}

#[test]
fn a_trap_that_the_guest_forces_does_not_make_a_policy_forget() {
    const TRAP: u64 = 0xdead;
    let attack = Scenario::new("attack")
        .step(Step::write_msr(msr::STAR, 7))
        .step(Step::write_msr(msr::STAR, TRAP))
        .step(Step::write_msr(msr::STAR, 8))
        .step(Step::write_msr(msr::STAR, 7))
        .step(Step::finish(0));
    let guard = zoo("remember").set("value", Setting::Number(TRAP));
    let ran = play(&attack, vec![guard.candidate(&host())]);
    let verdicts = ran.verdicts().into_iter().map(|(_, verdict)| verdict);
    let expected = [
        Verdict::Continue,
        Verdict::Deny,
        Verdict::Deny,
        Verdict::Continue,
    ];
    assert_eq!(verdicts.collect::<Vec<_>>(), expected);
    assert_eq!(ran.failures().len(), 1);
}

#[test]
fn slow_policies_share_the_time_of_an_event() {
    // Each is within its own deadline, for ever.
    let slow = |name: &str| {
        let mut slow = zoo("loop").named(name);
        slow.limits.event = Duration::from_secs(3600);
        slow.candidate(&host())
    };
    let store = Arc::new(Store::default());
    let good = zoo("count").store(&store).named("good").candidate(&host());
    let judges = vec![good, slow("first"), slow("second"), slow("third")];
    let ran = with_time(SHORT, &writes(2), judges);
    assert_eq!(ran.outcome.end, End::Finished(0));
    assert_eq!(ran.verdicts(), vec![(EventKind::Msr, Verdict::Deny); 2]);
    let failures = ran.failures();
    let together = |failed: &&&Failed| failed.failure.contains("together");
    assert_eq!(failures.iter().filter(together).count(), 6, "{failures:?}");
    let blamed = failures.iter().any(|failed| failed.quarantined);
    assert!(!blamed, "time that others have used up is no strike");
    let key = "count".to_owned();
    let counted = store.apply(StoreGet { key });
    assert_eq!(counted, Ok(Some(2_u64.to_le_bytes().to_vec())));
}

#[test]
fn a_manifest_that_lies_gets_nothing() {
    let bytes = oriel_tests::plugin("oriel-zoo");
    let honest = oriel_policy::inspect(&bytes).expect("ours").manifest;
    let modest = Manifest {
        rights: Some([oriel_protocol::Right::Log].into()),
        ..honest.clone()
    };
    let lied = oriel_policy::write_manifest(&bytes, &modest).expect("a manifest");
    let loaded = host().load("liar", &lied).map(drop);
    let error = loaded.expect_err("it imports more");
    assert!(error.to_string().contains("manifest"), "{error}");

    let mut greedy = Manifest {
        name: "another's".into(),
        ..honest
    };
    greedy.deadlines.event_ms = Some(3_600_000);
    greedy.limits.insert("memory-bytes".into(), u64::MAX);
    let greedy = oriel_policy::write_manifest(&bytes, &greedy).expect("a manifest");
    let plugin = host().load("liar", &greedy).expect("it may ask");
    let refused = host().prepare(&plugin, oriel_policy::Terms::default());
    assert!(matches!(refused, Err(PrepareError::NotGranted { .. })));
    let terms = oriel_policy::Terms {
        name: "liar".into(),
        rights: oriel_protocol::Right::ALL.iter().copied().collect(),
        ..Default::default()
    };
    let policy = host().prepare(&plugin, terms).expect("granted");
    let operators = oriel_policy::Limits::default();
    assert_eq!(policy.limits().event, operators.event);
    assert_eq!(policy.limits().memory, operators.memory);
    assert_eq!(policy.name(), "liar", "the operator's name for it");
}
