//! `exec-watch`, the real component, on Debian under QEMU: every exec is told of once, and the
//! forbidden one is refused by the kernel.

use std::{collections::BTreeMap, sync::Arc};

use oriel_engine::{Engine, Record, Running, record};
use oriel_guests::qemu::Linux;
use oriel_machine::{
    End,
    qemu::{Attached, Leave, QemuMachine, RamChoice},
};
use oriel_policy::Setting;
use oriel_protocol::{EventKind, Right};
use oriel_tests::{Load, host, load};

use super::{Backend, Guest, guests, stop};

/// How many programs and scripts each of two shells runs, side by side.
const PROGRAMS: usize = 75;
const SCRIPTS: usize = 25;
/// What is made before anybody watches: the same program by many names, scripts, and one that is
/// forbidden, with a link to it and a script for it.
const SETUP: &str = "mkdir /t; cd /t; for i in $(seq 150); do mkdir $i; ln -s /bin/busybox $i/true; done; \
    for i in $(seq 50); do printf '#!/bin/sh\\n:\\n' >script-$i; chmod +x script-$i; done; \
    cp /bin/busybox evil; ln -s /t/evil harmless; printf '#!/t/evil sh\\n' >helper; chmod +x helper; cd /";

/// A policy that watches a guest, and what it has told.
struct Watched {
    running: Running,
    machine: Arc<QemuMachine>,
    told: Arc<record::Kept>,
}

fn exec_watch() -> Load {
    load("exec-watch")
        .rights([
            Right::GuestOs,
            Right::Intercept,
            Right::MemoryRead,
            Right::RegistersRead,
            Right::RegistersWrite,
        ])
        .set("report-all", Setting::Flag(true))
        // QEMU tells of no reset in time.
        .hears(&[EventKind::Breakpoint])
}

impl Watched {
    /// Attaches to a guest that has booted, and waits until the policy says where it meets execs.
    fn start(guest: &mut Guest, policy: &Load) -> Self {
        let watched = Self::attach(guest.attach(RamChoice::Auto), policy);
        watched.has_to_begin(guest, 1);
        watched
    }

    fn attach(attached: Attached, policy: &Load) -> Self {
        let machine = Arc::clone(&attached.machine);
        let told = Arc::new(record::Kept::default());
        let engine = Engine::new(host(), attached.parts)
            .sink(told.clone())
            .judge(policy.candidate(&host()));
        let running = engine.start().expect("a VM that can be watched");
        Self {
            running,
            machine,
            told,
        }
    }

    /// Waits until it has said so often where it meets execs.
    fn has_to_begin(&self, guest: &mut Guest, times: usize) {
        let begun = |line: &&String| line.contains("execs are met in");
        while self.lines().iter().filter(begun).count() < times {
            guest.has_to_answer();
        }
    }

    /// What the policy has logged.
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for record in self.told.records() {
            if let Record::Log(line) = record {
                lines.push(line.message);
            } else if let Record::Failure(failed) = record {
                panic!("the policy has failed: {failed:?}");
            }
        }
        lines
    }

    /// The execs that were told of, as their fields.
    fn execs(&self) -> Vec<BTreeMap<String, String>> {
        let lines = self.lines();
        let execs = lines.iter().filter_map(|line| line.strip_prefix("exec "));
        execs.map(fields).collect()
    }

    fn alerts(&self) -> Vec<record::Alert> {
        let mut alerts = Vec::new();
        for record in self.told.records() {
            if let Record::Alert(alert) = record {
                alerts.push(alert);
            }
        }
        alerts
    }

    fn stop(self, guest: &mut Guest) {
        assert_eq!(stop(self.running).end, End::Cancelled);
        self.machine.leave(Leave::Running).expect("it runs");
        guest.has_to_answer();
    }
}

impl Guest {
    /// Has the shell answer without running anything.
    fn has_to_answer(&mut self) {
        assert_eq!(self.running.ask("echo here").expect("an answer"), "here");
    }
}

/// `name=value`, `name="value"` and `name=[…]`, one behind the other.
fn fields(mut line: &str) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    while let Some((name, rest)) = line.trim_start().split_once('=') {
        let end = match rest.chars().next() {
            Some('"') => rest[1..].find('"').map(|end| end + 2),
            Some('[') => rest.find(']').map(|end| end + 1),
            _ => rest.find(' '),
        };
        let (value, next) = rest.split_at(end.unwrap_or(rest.len()));
        fields.insert(name.to_owned(), value.trim_matches('"').to_owned());
        line = next;
    }
    fields
}

/// The loops of one shell: programs and scripts from there on.
fn one_shell(number: usize) -> String {
    let (program, script) = (number * PROGRAMS, number * SCRIPTS);
    format!(
        "(i={program}; while [ $i -lt {} ]; do i=$((i+1)); /t/$i/true $i 'a b'; done; \
          i={script}; while [ $i -lt {} ]; do i=$((i+1)); /t/script-$i; done)",
        program + PROGRAMS,
        script + SCRIPTS
    )
}

#[test]
fn each_of_two_hundred_execs_is_told_of_once_by_its_name_and_the_forbidden_one_is_refused() {
    let Some(guests) = guests() else { return };
    let mut guest = Guest::boot(&guests, |_| Backend::Memfd);
    guest.running.ask(SETUP).unwrap();
    let forbidden = Setting::Texts(vec!["/t/evil".to_owned()]);
    let policy = exec_watch().text("mode", "deny").set("forbid", forbidden);
    let watched = Watched::start(&mut guest, &policy);
    let loops = format!("{} & {}; wait", one_shell(0), one_shell(1));
    guest.running.ask(&loops).unwrap();
    let execs = watched.execs();
    let count = |path: &str| execs.iter().filter(|exec| exec["path"] == path).count();
    for i in 1..=2 * PROGRAMS {
        assert_eq!(count(&format!("/t/{i}/true")), 1, "{i}");
    }
    for i in 1..=2 * SCRIPTS {
        assert_eq!(count(&format!("/t/script-{i}")), 1, "{i}");
    }
    assert_eq!(execs.len(), 200, "none missed, none doubled");
    for exec in &execs {
        let who = ["uid", "euid", "comm", "parent-comm", "answer"].map(|name| &*exec[name]);
        assert_eq!(who, ["0", "0", "sh", "sh", "goes-on"], "{exec:?}");
    }
    let third = execs.iter().find(|exec| exec["path"] == "/t/3/true");
    let third = third.expect("it was counted");
    assert_eq!(third["file"], "/bin/busybox");
    assert_eq!(third["arguments"], r#"["/t/3/true", "3", "a b"]"#);
    assert_eq!(third["argc"], "3");
    assert!(watched.alerts().is_empty(), "{:?}", watched.alerts());

    let own = guest.running.ask("/bin/sh -c 'echo $$ $PPID'").unwrap();
    let last = watched.execs().pop().expect("it was an exec");
    assert_eq!(own, format!("{} {}", last["pid"], last["parent"]));

    for attempt in [
        "/t/evil true",
        "cd /t; ./evil true; cd /",
        "/t/harmless true",
        "/t/helper",
    ] {
        let said = guest.running.ask(attempt).unwrap();
        assert!(said.contains("not permitted"), "{attempt}: {said}");
    }
    let messages: Vec<String> = watched
        .alerts()
        .into_iter()
        .map(|alert| alert.message)
        .collect();
    let refused = "a forbidden program was to run, and was refused";
    let interpreter =
        "a forbidden program was to run as the interpreter of a script, and was refused";
    assert_eq!(messages, [refused, refused, refused, interpreter]);
    watched.stop(&mut guest);
    let after = guest.running.ask("/t/harmless").unwrap();
    assert!(
        after.contains("harmless: applet not found"),
        "it runs: {after}"
    );
}

#[test]
fn a_guest_that_has_yet_to_boot_is_watched_once_it_has_and_so_it_is_when_it_boots_again() {
    let Some(guests) = guests() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let linux = Linux {
        reboots: true,
        ..Linux::new(&guests, folder.path())
    };
    let running = linux.start().expect("QEMU");
    let mut guest = Guest { running, folder };
    // QEMU opens its sockets when it has come so far.
    let attached = loop {
        if let Ok(attached) = guest.try_attach(RamChoice::Auto) {
            break attached;
        }
    };
    let watched = Watched::attach(attached, &exec_watch());
    let mut from = 0;
    for boot in 1..=2 {
        let up = guest.running.wait_for(from, "the guest is up");
        up.expect("it boots");
        guest.running.ask("stty -echo").expect("a shell");
        watched.has_to_begin(&mut guest, boot);
        let before = watched.execs().len();
        let some = "/bin/true; /bin/false; /bin/cat /proc/version";
        guest.running.ask(some).unwrap();
        let execs = watched.execs();
        let paths = execs[before..].iter().map(|exec| &*exec["path"]);
        assert!(
            paths.eq(["/bin/true", "/bin/false", "/bin/cat"]),
            "{execs:?}"
        );
        println!("boot {boot}: {:?} came first", execs[0]["path"]);
        if boot == 1 {
            from = guest.running.said_so_far();
            guest.running.say("reboot -f").expect("QEMU");
        }
    }
    watched.stop(&mut guest);
}
