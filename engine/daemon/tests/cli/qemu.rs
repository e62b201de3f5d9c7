//! `oriel attach qemu` on Debian under a stock QEMU: what is seen, and that the guest's heart goes on
//! beating whatever becomes of Oriel. The heartbeat itself calls the function that is broken at.

#[path = "qemu/proxy.rs"]
mod proxy;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use oriel_guests::qemu::{self, Linux, Running};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use self::proxy::{Cut, Proxy, When};
use super::{directory, file, oriel, plugin, status, stderr};

/// Beats, and calls a function of the kernel that nothing else calls, some times a second.
const HEART: &str = "{ (while :; do hostname beating; echo be''at; usleep 100000; done) & }";
const FUNCTION: &str = "__x64_sys_sethostname";

/// The guests' folder, if this can be tested here.
fn guests() -> Option<PathBuf> {
    let required = std::env::var("ORIEL_REQUIRE")
        .is_ok_and(|list| list.split(',').any(|word| word.trim() == "qemu"));
    let folder = std::env::var_os("ORIEL_GUESTS").map(PathBuf::from);
    let found = folder.filter(|_| qemu::is_installed());
    if found.is_none() {
        let missing = "QEMU or ORIEL_GUESTS is not there: run `cargo xtask test`";
        assert!(!required, "ORIEL_REQUIRE names qemu, and {missing}");
        eprintln!("SKIPPED: {missing}");
    }
    found
}

/// A guest with a heart, and a policy that breaks at each beat.
struct Patient {
    guest: Running,
    folder: TempDir,
    config: String,
}

impl Patient {
    fn new(guests: &Path) -> Self {
        let folder = directory();
        let linux = Linux::new(guests, folder.path());
        let mut guest = linux.boot().expect("a guest that boots");
        let command = format!("grep ' {FUNCTION}$' /proc/kallsyms");
        let line = guest.ask(&command).expect("an answer");
        let address = line
            .split_whitespace()
            .next()
            .expect("an address")
            .to_owned();
        guest.ask(HEART).expect("a heart");
        let config = file(
            &folder,
            "calls.toml",
            format!("watch = [\"0x{address}\"]\n"),
        );
        let patient = Self {
            guest,
            folder,
            config,
        };
        patient.beats();
        patient
    }

    /// Waits for three more beats.
    fn beats(&self) {
        for _ in 0..3 {
            let from = self.guest.said_so_far();
            self.guest
                .wait_for(from, "beat")
                .expect("a heart that beats");
        }
    }

    fn gdb(&self) -> PathBuf {
        self.guest.gdb()
    }

    /// `oriel attach qemu`, with its stub there.
    fn attach(&self, gdb: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oriel"));
        command
            .args(["attach", "qemu", "--gdb"])
            .arg(format!("unix:{}", gdb.display()))
            .arg("--qmp")
            .arg(format!("unix:{}", self.guest.qmp().display()));
        command
    }

    /// The same, under the policy, with event lines on standard output.
    fn watch(&self, gdb: &Path) -> Child {
        self.attach(gdb)
            .args(["--policy", &plugin("call-guard"), "--policy-config"])
            .arg(format!("call-guard={}", self.config))
            .args(["--grant", "call-guard=all", "--events", "-"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts")
    }
}

/// Reads event lines until so many breakpoints were hit.
fn hits(child: &mut Child, count: usize) {
    let lines = BufReader::new(child.stdout.as_mut().expect("a pipe")).lines();
    let hit = |line: &String| line.contains("\"breakpoint\"") && line.contains("\"event\"");
    let seen = lines.map_while(Result::ok).filter(hit).take(count).count();
    assert_eq!(seen, count, "it ended before");
}

fn signal(process: u32, signal: Signal) {
    let process = i32::try_from(process).ok().and_then(Pid::from_raw);
    kill_process(process.expect("a process"), signal).expect("it is there");
}

#[test]
fn a_signal_ends_the_watching_and_the_vm_runs_on_without_a_breakpoint() {
    let Some(guests) = guests() else { return };
    let patient = Patient::new(&guests);
    for end in [Signal::INT, Signal::TERM] {
        let mut child = patient.watch(&patient.gdb());
        hits(&mut child, 3);
        signal(child.id(), end);
        let status = child.wait().expect("it ends");
        assert_eq!(status.code(), Some(128 + end.as_raw()));
        patient.beats();
    }
    let taken = patient.watch(&patient.gdb());
    let mut taken = taken;
    hits(&mut taken, 1);
    let second = patient.attach(&patient.gdb()).output().expect("it starts");
    assert_eq!(status(&second), 1);
    assert!(
        stderr(&second).contains("somebody else uses this QMP socket"),
        "{}",
        stderr(&second)
    );
    hits(&mut taken, 1);
    signal(taken.id(), Signal::INT);
    taken.wait().expect("it ends");
    patient.beats();
}

/// Where Oriel is killed: at the nth packet that begins so, before or after QEMU, or Oriel, has it.
const CUTS: [Cut; 10] = [
    Cut::new("$?", 1, When::After),
    Cut::new("$Z0", 1, When::Before),
    Cut::new("$Z0", 1, When::After),
    Cut::new("$vCont;c", 2, When::After),
    Cut::new("$T05thread", 2, When::Before),
    Cut::new("$T05thread", 2, When::After),
    Cut::new("$vCont;s", 1, When::Before),
    Cut::new("$vCont;s", 1, When::After),
    Cut::new("$vCont;s", 3, When::After),
    Cut::new("$g", 12, When::After),
];

#[test]
fn the_heart_beats_on_when_oriel_is_killed_at_any_step_of_a_breakpoint() {
    let Some(guests) = guests() else { return };
    let patient = Patient::new(&guests);
    for (number, cut) in CUTS.iter().enumerate() {
        let path = patient.folder.path().join(format!("proxy-{number}"));
        let proxy = Proxy::start(&path, &patient.gdb(), *cut);
        let mut child = patient.watch(&path);
        proxy.victim(child.id());
        let ended = child.wait().expect("it is killed");
        assert_eq!(ended.code(), None, "{cut:?}: it ended by itself: {ended}");
        patient.beats();
        println!("killed at {cut:?}: the heart beats");
    }
    let said = oriel(&[
        "attach",
        "qemu",
        "--repair",
        "--gdb",
        &format!("unix:{}", patient.gdb().display()),
        "--qmp",
        &format!("unix:{}", patient.guest.qmp().display()),
    ]);
    assert_eq!(status(&said), 0, "{}", stderr(&said));
    patient.beats();
}

#[test]
fn a_vm_whose_guard_was_killed_too_is_repaired_by_hand() {
    let Some(guests) = guests() else { return };
    let patient = Patient::new(&guests);
    let mut child = patient.watch(&patient.gdb());
    hits(&mut child, 2);
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    let guard = fs::read_to_string(children).expect("its children");
    let guard = guard.split_whitespace().next().expect("a guard");
    signal(guard.parse().expect("a number"), Signal::KILL);
    signal(child.id(), Signal::KILL);
    child.wait().expect("it is killed");
    let repaired = patient
        .attach(&patient.gdb())
        .arg("--repair")
        .output()
        .expect("it starts");
    assert_eq!(status(&repaired), 0, "{}", stderr(&repaired));
    assert!(String::from_utf8_lossy(&repaired.stdout).contains("it runs"));
    patient.beats();
}
