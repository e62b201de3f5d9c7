//! Where a kernel is watched on its way: what it says and what a judge sees come as signs, in order,
//! each with the time since the start.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};

use oriel_engine::{Candidate, Desk, Engine, Running, Settings, VmHandle};
use oriel_machine::{
    Machine, Outlet,
    kvm::{Config, Kernel},
};
use oriel_protocol::{
    Case, EventKind, Verdict,
    commands::vcpu::{Place, SetBreakpoint},
    events::{Breakpoint, Page},
};
use oriel_tests::{host, native};

/// How long a kernel may take. Nothing but failure is decided by it: where KVM emulates kernel code a
/// vmlinux says its banner after 15 s and a bzImage after 90 s, and later beside other tests.
const LIMIT: Duration = Duration::from_secs(900);

/// Something that happened on the way.
#[derive(Debug)]
pub(super) enum Sign {
    /// A line on the serial line, whole.
    Line(String),
    /// A breakpoint: the instruction pointer, the event, and what the judge found there.
    Hit {
        ip: u64,
        breakpoint: Breakpoint,
        found: Vec<u8>,
    },
    /// An access to a trapped page, and the judge's tag.
    Page { page: Page, tag: u64 },
}

/// The sending end of the way.
pub(super) type Signs = mpsc::Sender<Sign>;

/// The folder of the guests, if there is one.
///
/// Panics where there is none and `ORIEL_REQUIRE` names `guests`.
pub(super) fn guests() -> Option<PathBuf> {
    let folder = std::env::var_os("ORIEL_GUESTS").map(PathBuf::from);
    if folder.is_none() {
        let required = std::env::var("ORIEL_REQUIRE").unwrap_or_default();
        assert!(
            !required.split(',').any(|word| word.trim() == "guests"),
            "ORIEL_REQUIRE names guests, and ORIEL_GUESTS names no folder of them: use `cargo xtask guests --test`"
        );
        eprintln!("SKIPPED: ORIEL_GUESTS is not set; `cargo xtask guests --test` runs this");
    }
    folder
}

/// Tells each line once it is whole.
struct Listener {
    line: Mutex<Vec<u8>>,
    signs: Signs,
}

impl Outlet for Listener {
    fn serial(&self, bytes: &[u8]) {
        let mut line = self.line.lock().expect("no listener panics");
        for byte in bytes {
            if *byte != b'\n' {
                line.push(*byte);
                continue;
            }
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            line.clear();
            // Whoever asked may have stopped listening.
            let _ = self.signs.send(Sign::Line(text));
        }
    }

    fn report(&self, _: u32, _: u64) {}
}

/// A kernel that runs, under one judge.
pub(super) struct Stage {
    running: Running,
    machine: Arc<dyn Machine>,
    signs: mpsc::Receiver<Sign>,
    started: Instant,
    said: Vec<String>,
}

impl Stage {
    /// Starts a kernel that is broken into at these places, by their tags, under a judge that hears of
    /// breakpoints, pages, and writes to MSRs.
    pub(super) fn start<F>(kernel: Kernel, places: &[(u64, Place)], judge: F) -> Self
    where
        F: Fn(&Case<'_>, &mut Desk, &Signs) -> Verdict + Clone + Send + Sync + 'static,
    {
        let (tell, signs) = mpsc::channel();
        let listener = Listener {
            line: Mutex::default(),
            signs: tell.clone(),
        };
        let parts = Config::new(kernel, Arc::new(listener))
            .build()
            .expect("a VM");
        let machine = parts.machine.clone();
        let kinds = [EventKind::Breakpoint, EventKind::Page, EventKind::Msr];
        let judge: Candidate = native("watcher", &kinds, move |case, desk| {
            judge(case, desk, &tell)
        });
        let settings = Settings {
            held: true,
            ..Settings::default()
        };
        let engine = Engine::new(host(), parts).settings(settings).judge(judge);
        let running = engine.start().expect("a VM that can be started");
        let started = Instant::now();
        break_at(&running.handle(), places);
        running.handle().resume(0).expect("a vCPU that waits");
        Self {
            running,
            machine,
            signs,
            started,
            said: Vec::new(),
        }
    }

    /// The next sign that this function knows what to do with; lines that it does not want are kept
    /// for the report of a failure.
    pub(super) fn wait<T>(&mut self, what: &str, wanted: impl Fn(&Sign) -> Option<T>) -> T {
        loop {
            let left = LIMIT.saturating_sub(self.started.elapsed());
            let Ok(sign) = self.signs.recv_timeout(left) else {
                panic!("no sign of {what} in {LIMIT:?}; it said {:#?}", self.said);
            };
            if let Some(found) = wanted(&sign) {
                println!("{:>6.1} s  {what}", self.started.elapsed().as_secs_f64());
                return found;
            }
            match sign {
                Sign::Line(line) => self.said.push(line),
                Sign::Hit { .. } | Sign::Page { .. } => panic!("before {what}: {sign:x?}"),
            }
        }
    }

    /// Ends it, and gives what is left of it.
    pub(super) fn stop(self) -> Arc<dyn Machine> {
        self.running.handle().stop();
        let outcome = self.running.wait();
        println!(
            "{:>6.1} s  stopped: {:?}, {} events",
            self.started.elapsed().as_secs_f64(),
            outcome.end,
            outcome.events
        );
        self.machine
    }
}

/// Has the judge place its breakpoints while the vCPU is held before its first instruction.
fn break_at(vm: &VmHandle, places: &[(u64, Place)]) {
    for &(tag, place) in places {
        let placed = vm.run(0, 0, SetBreakpoint { tag, place }, LIMIT);
        assert_eq!(placed, Ok(()), "a breakpoint at {place:x?}");
    }
}
