//! A policy natively in the SDK's mock engine, and as a component under the whole engine: a thousand
//! random scenarios go the same way, verdict by verdict, and leave the same behind. `oriel plugin test`
//! on the same scenarios is in the program's own tests.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use oriel_engine::{Candidate, Record, Settings, roster::SwapOptions};
use oriel_machine::{Parts, mock};
use oriel_policy::Store;
use oriel_protocol::{
    EventKind, Right, Verdict,
    commands::service::{StoreGet, StoreKeys, StoreSet},
};
use oriel_tests::{
    FOREVER, Load, Ran, Vm, host, load, scenario,
    scripts::{self, Script, WAITED_FOR},
};
use proptest::test_runner::TestCaseError;

/// Another seed, another thousand.
const SEED: u64 = 0x0c1e_1000;
const CASES: u32 = 1000;

/// What came of a scenario, in words.
#[derive(Debug, Default, PartialEq, Eq)]
struct Came {
    end: String,
    verdicts: Vec<String>,
    outcomes: Vec<String>,
    alerts: Vec<String>,
    log: Vec<String>,
    store: BTreeMap<String, Vec<u8>>,
    reports: Vec<u64>,
    failures: Vec<String>,
}

fn verdict(vcpu: u32, seq: u64, kind: &str, verdict: &Verdict) -> String {
    format!("{vcpu} {seq} {kind} {verdict:?}")
}

fn natively(script: &Script) -> Came {
    let (played, bench) = script.natively().expect("a policy that begins");
    let judged = played.judged.iter().map(|one| {
        let kind = EventKind::from(one.kind).name();
        verdict(one.vcpu, one.seq, kind, &one.verdict)
    });
    let alerts = bench.engine.alerts.iter();
    let alerts = alerts.map(|one| format!("{:?} {} {:?}", one.severity, one.message, one.fields));
    Came {
        end: format!("{:?}", played.end),
        verdicts: sorted(judged),
        outcomes: played.outcomes.iter().filter_map(outcome).collect(),
        alerts: alerts.collect(),
        log: bench
            .engine
            .log
            .iter()
            .map(|(_, line)| line.clone())
            .collect(),
        store: bench.engine.store.clone(),
        reports: played.reports.iter().map(|(_, value)| *value).collect(),
        failures: played.failures,
    }
}

/// Whether somebody was asked who let it happen is nobody's business: natively the machine tells more than
/// the filters want. Nor is whether the vCPU that is waited for has played its last step before the other
/// one ended the VM.
fn outcome(outcome: &mock::Outcome) -> Option<String> {
    let (step, verdict) = (outcome.step, outcome.verdict.unwrap_or_default());
    (outcome.vcpu != WAITED_FOR).then(|| format!("{step} {verdict:?} {:x?}", outcome.value))
}

fn sorted(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<_> = lines.filter(|line| !line.starts_with('1')).collect();
    lines.sort();
    lines
}

/// The policy with all that it asks for.
fn policy(store: &Arc<Store>) -> Load {
    let rights = [
        Right::Inject,
        Right::Intercept,
        Right::MemoryRead,
        Right::MemoryWords,
        Right::MemoryWrite,
        Right::PageAccess,
        Right::RegistersRead,
        Right::RegistersWrite,
    ];
    let mut policy = load("oriel-scripted").store(store).rights(rights);
    // A busy host is no failure of the policy's.
    (policy.limits.event, policy.limits.init) = (FOREVER, FOREVER);
    policy.limits.alerts_per_second = u64::MAX;
    policy.limits.log_bytes_per_second = u64::MAX;
    policy
}

fn in_the_engine(script: &Script) -> Came {
    let store = Arc::new(Store::default());
    let scenario = scenario(&script.noting());
    let probe = Mutex::new(None);
    let build = |outlet| -> Parts {
        let (parts, seen) = scenario.build_probed(outlet).expect("well formed");
        *probe.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
        parts
    };
    let settings = Settings {
        held: true,
        changes_per_minute: usize::MAX,
        ..Settings::default()
    };
    let vm = Vm::start(build, vec![policy(&store).candidate(&host())], settings);
    vm.go(1);
    if script.swaps() {
        let next = policy(&store).candidate(&host());
        let swapped = vm.handle().roster().swap(next, &SwapOptions::default());
        // A guest that a verdict has stopped has nothing to swap.
        let ended = swapped.is_err();
        if ended {
            return came(vm.wait(), &probe, &store);
        }
    }
    // It may have ended already.
    let _ = vm.handle().resume(WAITED_FOR);
    came(vm.wait(), &probe, &store)
}

fn came(ran: Ran, probe: &Mutex<Option<mock::Probe>>, store: &Store) -> Came {
    let probe = probe.lock().unwrap_or_else(PoisonError::into_inner);
    let outcomes = probe
        .as_ref()
        .map(mock::Probe::outcomes)
        .unwrap_or_default();
    let failures = ran
        .failures()
        .iter()
        .map(|failed| failed.failure.clone())
        .collect();
    let alerts = ran.alerts().into_iter().filter(|alert| !alert.by_engine);
    let alerts = alerts.map(|one| {
        let fields: BTreeMap<_, _> = one.fields.iter().cloned().collect();
        format!("Severity::{:?} {} {fields:?}", one.severity, one.message)
    });
    let alerts = alerts.collect();
    let verdicts = ran.records.iter().filter_map(|record| {
        let Record::Event(judged) = record else {
            return None;
        };
        let (moment, event) = (judged.moment, &judged.event);
        Some(verdict(
            moment.vcpu,
            moment.seq,
            event.kind().name(),
            &judged.verdict,
        ))
    });
    let log = ran.records.iter().filter_map(|record| {
        let Record::Log(line) = record else {
            return None;
        };
        Some(line.message.clone())
    });
    Came {
        end: format!("{:?}", ran.outcome.end),
        verdicts: sorted(verdicts),
        outcomes: outcomes.iter().filter_map(outcome).collect(),
        alerts,
        log: log.collect(),
        store: everything(store),
        reports: ran.reports.clone(),
        failures,
    }
}

fn everything(store: &Store) -> BTreeMap<String, Vec<u8>> {
    let prefix = String::new();
    let keys = store.apply(StoreKeys { prefix }).expect("keys");
    let value = |key: String| {
        let value = store.apply(StoreGet { key: key.clone() }).expect("a value");
        (key, value.unwrap_or_default())
    };
    keys.into_iter().map(value).collect()
}

/// The first line that the clock's instance logs over this store.
fn first_tick(store: &Arc<Store>) -> String {
    let candidate = Candidate {
        tick: Some(Duration::from_millis(1)),
        ..policy(store).candidate(&host())
    };
    let resting = scenario("loop = true\n[[step]]\nidle = 1");
    let build = |outlet| resting.build(outlet).expect("well formed");
    let vm = Vm::start(build, vec![candidate], Settings::default());
    let until = Instant::now() + FOREVER;
    let line = loop {
        let told = vm.told().into_iter();
        let mut lines = told.filter_map(|record| {
            let Record::Log(line) = record else {
                return None;
            };
            Some(line.message)
        });
        if let Some(line) = lines.next() {
            break line;
        }
        assert!(Instant::now() < until, "the clock calls");
        std::thread::yield_now();
    };
    vm.stop();
    line
}

#[test]
fn the_clock_finds_natively_what_it_finds_in_the_engine() {
    for script in scripts::some(20, SEED) {
        let (_, mut bench) = script.natively().expect("a policy that begins");
        let store = Arc::new(Store::default());
        for (key, value) in bench.engine.store.clone() {
            store.apply(StoreSet { key, value }).expect("it has room");
        }
        bench.engine.log.clear();
        bench.tick(0).expect("an instance for the clock");
        assert_eq!(bench.engine.log[0].1, first_tick(&store));
    }
}

/// What has been seen of what scenarios can do.
#[derive(Debug, Default)]
struct Census {
    verdicts: BTreeSet<String>,
    ends: BTreeSet<String>,
    lines: usize,
    alerts: usize,
    keys: usize,
    swaps: usize,
}

impl Census {
    fn count(&mut self, script: &Script, came: &Came) {
        let words = came
            .verdicts
            .iter()
            .filter_map(|line| line.split(' ').nth(3));
        let words = words.filter_map(|word| word.split('(').next());
        self.verdicts.extend(words.map(str::to_owned));
        self.ends.insert(came.end.clone());
        self.lines += came.log.len();
        self.alerts += came.alerts.len();
        self.keys += came.store.len();
        self.swaps += usize::from(script.swaps());
    }

    /// A comparison of what never happens would prove nothing.
    fn check(&self) {
        let all = "Continue Crash Deny Emulate Inject Replace Retry Skip Step";
        let seen: Vec<_> = self.verdicts.iter().map(String::as_str).collect();
        assert_eq!(seen.join(" "), all);
        assert!(self.ends.len() > 1, "{self:?}");
        assert!(self.lines > 1000 && self.alerts > 20, "{self:?}");
        assert!(self.keys > 200 && self.swaps > 200, "{self:?}");
    }
}

#[test]
fn a_thousand_random_scenarios_go_natively_as_they_go_in_the_engine() {
    let mut runner = scripts::runner(SEED, CASES);
    let census = RefCell::new(Census::default());
    let ran = runner.run(&scripts::scripts(), |script| {
        let (native, engine) = (natively(&script), in_the_engine(&script));
        if native == engine {
            census.borrow_mut().count(&script, &native);
            return Ok(());
        }
        let text = script.noting();
        let message = format!("natively {native:#?}\nin the engine {engine:#?}\nof {text}");
        Err(TestCaseError::fail(message))
    });
    if let Err(found) = ran {
        panic!("seed {SEED:#x}: {found}");
    }
    census.borrow().check();
}
