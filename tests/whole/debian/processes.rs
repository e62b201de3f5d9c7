//! Processes: numbers, parents, users and names as the guest's own `ps` has them.

use std::collections::BTreeMap;

use oriel_guest::{Ending, Guest, Task};

use super::Vm;

/// Starts, as a user of its own, what lives until it is killed, and waits until it is what it will
/// be. Without a name in a file `ps` says a user's number.
const SLEEPER: &str = "mkdir -p /etc; echo 'one:x:1000:1001::/:/bin/sh' > /etc/passwd; \
    su one -c 'exec sleep 100000' & \
    while ! grep -q sleep /proc/$!/comm; do :; done; rm /etc/passwd";
/// The longest name that a task has room for.
const LONGEST: usize = 15;
/// How often the vCPUs are looked at until both run what they are to run.
const LOOKS: usize = 1000;

/// Parent, user and name.
type Row = (u32, u32, String);

/// What `ps` says, by pid.
fn ps(vm: &mut Vm) -> BTreeMap<u32, Row> {
    let text = vm.ask("ps -o pid,ppid,user,comm");
    let row = |line: &str| {
        let mut words = line.split_whitespace();
        let mut number = || words.next()?.parse::<u32>().ok();
        let (pid, parent, uid) = (number()?, number()?, number()?);
        let name = words.collect::<Vec<_>>().join(" ");
        Some((pid, (parent, uid, short(&name))))
    };
    let rows: BTreeMap<_, _> = text.lines().skip(1).filter_map(row).collect();
    assert_eq!(rows.len(), text.lines().count() - 1, "{text}");
    rows
}

/// A name without what a worker works at, which changes all the time.
fn short(name: &str) -> String {
    let name = match name.starts_with("kworker/") {
        true => name.split(['-', '+']).next().unwrap_or(name),
        false => name,
    };
    name.chars().take(LONGEST).collect()
}

/// The same, as it is seen from outside.
fn row(guest: &Guest<'_>, task: &Task) -> Row {
    let credentials = task.credentials.expect("who it is");
    let parent = task.parent.expect("a parent");
    (parent, credentials.euid, short(&guest.name_of(task)))
}

fn seen(vm: &Vm) -> BTreeMap<u32, Row> {
    vm.look(|guest, _| {
        let listing = guest.tasks().expect("tasks");
        assert_eq!(listing.ending, Ending::Whole);
        let tasks = listing.items.iter();
        tasks.map(|task| (task.pid, row(guest, task))).collect()
    })
}

/// The guest goes on meanwhile, so what is compared is what was there before and still is after.
pub(super) fn are_those_of_ps(vm: &mut Vm) {
    vm.ask(SLEEPER);
    let before = ps(vm);
    let ours = seen(vm);
    let after = ps(vm);
    let lasting = before
        .iter()
        .filter(|(pid, row)| after.get(pid) == Some(row));
    let mut compared = 0;
    for (pid, theirs) in lasting {
        assert_eq!(ours.get(pid), Some(theirs), "{pid}");
        compared += 1;
    }
    assert!(compared > 30, "{compared} of {before:?}");
    let sleeper = before.values().find(|(_, uid, _)| *uid == 1000);
    assert!(
        sleeper.is_some_and(|(_, _, name)| name == "sleep"),
        "{before:?}"
    );
    for (pid, ours) in ours {
        let known = before.contains_key(&pid) || after.contains_key(&pid);
        // A worker may have come and gone between the two.
        assert!(known || ours.2.starts_with("kworker/"), "{pid}: {ours:?}");
    }
    // Waited for here, so that nothing ends while the shell waits for its next line.
    vm.ask("killall sleep; wait");
}

/// Two loops on two vCPUs, in user mode nearly always.
pub(super) fn run_where_the_vcpus_say(vm: &mut Vm) {
    let loops = vm.ask("for i in 0 1; do (while :; do :; done) & echo $!; done");
    let mut pids: Vec<u32> = loops.lines().filter_map(|line| line.parse().ok()).collect();
    pids.sort_unstable();
    assert_eq!(pids.len(), 2, "{loops}");
    let runs = |_: &usize| {
        let mut running: Vec<u32> = vm.look(|guest, sights| {
            let current = sights.iter().map(|sight| guest.current(sight));
            let current = current.filter_map(Result::ok).map(|task| task.value);
            current.map(|task| task.pid).collect()
        });
        running.sort_unstable();
        running == pids
    };
    assert!(
        (0..LOOKS).any(|look| runs(&look)),
        "{pids:?} never run together"
    );
    vm.ask("kill %1 %2; wait");
}
