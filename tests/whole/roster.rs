//! Policies that come, go and change while a guest runs: nobody misses an event, and what goes
//! wrong leaves the old revision in force.

mod armed;
mod load;
mod share;
mod storm;
mod swap;
mod trial;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use oriel_engine::{Candidate, Record, Settings, Sink, VmHandle, record::Judged};
use oriel_machine::{
    Outlet, Parts,
    mock::{Scenario, Step},
    outlet,
};
use oriel_protocol::{EventKind, x86::msr};
use oriel_tests::{FOREVER, Load, host, zoo};

/// Two vCPUs that write an MSR for ever.
fn endless(outlet: Arc<dyn Outlet>) -> Parts {
    let write = |vcpu| Step::write_msr(msr::STAR, 7).on(vcpu);
    let scenario = Scenario::new("endless").vcpus(2);
    let scenario = scenario.step(write(0)).step(write(1)).looping();
    scenario.build(outlet).expect("well formed")
}

/// A policy called `guard` that lets everything happen, and counts what it sees.
fn guard() -> Load {
    zoo("continue").named("guard").hears(&[EventKind::Msr])
}

/// What a VM has told, as far as it matters here. Events are the bulk, and are only counted.
#[derive(Default)]
struct Watch {
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// By vCPU: the last event, and the revision that judged it.
    last: BTreeMap<u32, (u64, u64)>,
    /// Events whose verdict was not `continue`.
    denied: u64,
    /// What is wrong, in words.
    wrong: Vec<String>,
    /// What was told beside events.
    told: Vec<Record>,
}

impl Watch {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no panics")
    }

    /// Waits until every vCPU has had so many more events.
    fn more_events(&self, more: u64) {
        let goal = |vcpu| self.seen().last.get(&vcpu).map_or(0, |last| last.0) + more;
        let goals = [goal(0), goal(1)];
        for (vcpu, goal) in (0..).zip(goals) {
            let until = std::time::Instant::now() + FOREVER;
            while self.seen().last.get(&vcpu).map_or(0, |last| last.0) < goal {
                assert!(std::time::Instant::now() < until, "vCPU {vcpu} goes on");
                std::thread::yield_now();
            }
        }
    }
}

impl Seen {
    /// One event has exactly one opinion, of a revision that is not older than the last, and the
    /// next number.
    fn event(&mut self, judged: &Judged) {
        let vcpu = judged.moment.vcpu;
        let (seq, revision) = self.last.get(&vcpu).copied().unwrap_or_default();
        let opinions: Vec<_> = judged.judges.iter().map(|one| one.revision).collect();
        if judged.moment.seq != seq + 1 {
            self.wrong
                .push(format!("{} follows {seq}", judged.moment.seq));
        }
        let [now] = opinions[..] else {
            self.wrong.push(format!("{opinions:?} judged one event"));
            return;
        };
        if now < revision {
            self.wrong.push(format!("revision {now} after {revision}"));
        }
        self.denied += u64::from(judged.verdict != oriel_protocol::Verdict::Continue);
        self.last.insert(vcpu, (judged.moment.seq, now));
    }
}

impl Sink for Watch {
    fn put(&self, record: Record) {
        if let Record::Event(judged) = &record {
            self.seen().event(judged);
        } else {
            self.seen().told.push(record);
        }
    }
}

/// A VM with a policy that is to be changed.
struct Stage {
    running: oriel_engine::Running,
    watch: Arc<Watch>,
}

impl Stage {
    /// With this guest and these judges.
    fn with(build: impl FnOnce(Arc<dyn Outlet>) -> Parts, judges: Vec<Candidate>) -> Self {
        let watch = Arc::new(Watch::default());
        let settings = Settings {
            changes_per_minute: usize::MAX,
            ..Settings::default()
        };
        let parts = build(Arc::new(outlet::Kept::default()));
        let engine = oriel_engine::Engine::new(host(), parts)
            .sink(watch.clone() as Arc<dyn Sink>)
            .settings(settings);
        let engine = judges.into_iter().fold(engine, oriel_engine::Engine::judge);
        let running = engine.start().expect("a VM that can be started");
        Self { running, watch }
    }

    /// With the endless guest, and this policy.
    fn of(policy: &Load) -> Self {
        Self::with(endless, vec![policy.candidate(&host())])
    }

    fn vm(&self) -> VmHandle {
        self.running.handle()
    }

    fn roster(&self) -> oriel_engine::Roster {
        self.vm().roster()
    }

    /// Ends it; answers what was seen, in which nothing is wrong.
    fn end(self) -> Seen {
        self.vm().stop();
        self.running.wait();
        let seen = std::mem::take(&mut *self.watch.seen());
        assert_eq!(seen.wrong, Vec::<String>::new());
        seen
    }
}

/// How many events an instance had seen, and how many there had been, at each restore.
fn carried(seen: &Seen) -> Vec<(u64, u64)> {
    let logs = seen.told.iter().filter_map(|record| {
        let Record::Log(line) = record else {
            return None;
        };
        let (count, _) = line.message.split_once(" events were seen")?;
        let on_vcpu = line.moment.vcpu != oriel_engine::record::CLOCK;
        on_vcpu.then(|| (count.parse().expect("a number"), line.moment.seq))
    });
    logs.collect()
}
