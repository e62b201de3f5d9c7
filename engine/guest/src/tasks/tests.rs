use super::*;
use oriel_protocol::Gva;

use crate::{Ending, Index, Source, Unknown, forge::Forged};

/// `init`, `kthreadd` and a shell.
fn some() -> (Forged, [Gva; 3]) {
    let mut forged = Forged::new(0);
    let first = forged.init_task();
    let init = forged.process(1, "init", first);
    let kthreadd = forged.process(2, "kthreadd", first);
    let shell = forged.process(700, "sh", init);
    (forged, [init, kthreadd, shell])
}

fn index(forged: &Forged) -> Index {
    Index::build(forged.memory(), &[forged.sight()]).unwrap()
}

#[test]
fn processes_come_with_all_that_is_known_of_them() {
    let (forged, [_, _, shell]) = some();
    forged.give(shell, 1000);
    let index = index(&forged);
    let listing = index.guest(forged.memory()).tasks().unwrap();
    assert_eq!(
        (listing.ending, listing.source),
        (Ending::Whole, Source::KallsymsAndBtf)
    );
    let pids: Vec<_> = listing.items.iter().map(|task| task.pid).collect();
    assert_eq!(pids, [1, 2, 700]);
    let found = &listing.items[2];
    assert_eq!(
        (found.address, found.comm.as_str(), found.parent),
        (shell, "sh", Some(1))
    );
    assert_eq!(found.state.map(State::letter), Some('S'));
    assert_eq!(found.cr3, Some(0x1_0000));
    let credentials = found.credentials.unwrap();
    assert_eq!(
        (credentials.uid, credentials.egid, credentials.effective),
        (1000, 1000, 0)
    );
    assert_eq!(credentials.permitted, 0x1ff_ffff_ffff);
    assert_eq!(found.start_time, None, "this kernel's types do not say");
}

#[test]
fn threads_are_those_of_every_process() {
    let (mut forged, [_, _, shell]) = some();
    forged.thread(shell, 701, "worker");
    let index = index(&forged);
    let threads = index.guest(forged.memory()).threads().unwrap();
    let pids: Vec<_> = threads
        .items
        .iter()
        .map(|task| (task.tgid, task.pid))
        .collect();
    assert_eq!(pids, [(1, 1), (2, 2), (700, 700), (700, 701)]);
    assert_eq!(threads.ending, Ending::Whole);
}

#[test]
fn the_tree_of_pids_has_threads_too() {
    let (mut forged, [init, _, shell]) = some();
    let worker = forged.thread(shell, 701, "worker");
    let index = index(&forged);
    let pids = index.guest(forged.memory()).pids().unwrap();
    assert_eq!(pids.ending, Ending::Whole);
    assert_eq!(pids.items.len(), 4);
    assert!(pids.items.contains(&(1, init)) && pids.items.contains(&(701, worker)));
}

#[test]
fn what_a_vcpu_runs_is_found_by_its_area() {
    let (forged, [_, _, shell]) = some();
    forged.run(shell);
    let index = index(&forged);
    let guest = index.guest(forged.memory());
    let current = guest.current(&forged.sight()).unwrap();
    assert_eq!(
        (current.value.pid, current.source),
        (700, Source::KallsymsAndBtf)
    );
    let area = forged.read(guest.symbol("__per_cpu_offset").unwrap());
    let mut sight = forged.sight();
    sight.kernel_gs_base = Some(area);
    assert_eq!(guest.current(&sight).unwrap().source, Source::Register);
    sight.kernel_gs_base = Some(area + 8);
    assert_eq!(
        guest.current(&sight).unwrap().source,
        Source::KallsymsAndBtf,
        "GS leads to no task"
    );
}

#[test]
fn a_task_that_left_the_list_is_hidden_and_others_are_not() {
    let (mut forged, [_, _, shell]) = some();
    forged.thread(shell, 701, "worker");
    let hidden = forged.process(800, "rootkit", shell);
    forged.hide(hidden);
    let index = index(&forged);
    let view = index
        .guest(forged.memory())
        .cross_view(&[forged.sight()])
        .unwrap();
    let found: Vec<_> = view.hidden().map(|seen| seen.task.pid).collect();
    assert_eq!(found, [800]);
    assert_eq!(view.tasks.len(), 5);
    assert!(view.tasks.iter().all(|seen| seen.numbered));
}

#[test]
fn a_task_without_list_and_number_is_seen_while_it_runs() {
    let (mut forged, _) = some();
    let init = forged.init_task();
    let hidden = forged.process(800, "rootkit", init);
    forged.hide(hidden);
    forged.unnumber(800);
    forged.run(hidden);
    let index = index(&forged);
    let view = index
        .guest(forged.memory())
        .cross_view(&[forged.sight()])
        .unwrap();
    let found: Vec<_> = view.hidden().collect();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].task.address, found[0].numbered), (hidden, false));
    assert_eq!(found[0].current_of, [0]);
}

#[test]
fn lists_that_lead_in_circles_or_nowhere_end_and_say_so() {
    let (forged, [init, kthreadd, shell]) = some();
    let ending = || {
        let index = index(&forged);
        index.guest(forged.memory()).tasks().unwrap().ending
    };
    forged.word(Forged::entry(shell), Forged::entry(init));
    assert_eq!(ending(), Ending::Loop);
    forged.word(Forged::entry(shell), 0xdead_0000_0000_0100);
    assert_eq!(ending(), Ending::Broken);
    forged.word(Forged::entry(kthreadd), 0xffff_8000_dead_0000);
    assert_eq!(ending(), Ending::Broken);
}

#[test]
fn a_tree_that_leads_to_itself_ends() {
    let (forged, _) = some();
    let index = index(&forged);
    let guest = index.guest(forged.memory());
    let root = forged.read(guest.symbol("init_pid_ns").unwrap() + 16);
    for slot in 0..64 {
        forged.word((root & !3) + 40 + slot * 8, root);
    }
    assert_eq!(guest.pids().unwrap().ending, Ending::Broken);
}

#[test]
fn without_types_the_first_tasks_show_the_layout() {
    let forged = |types| {
        let mut forged = Forged::with(0, crate::forge::FORMS[1], types);
        let first = forged.init_task();
        let init = forged.process(1, "init", first);
        let kthreadd = forged.process(2, "kthreadd", first);
        // Kernel threads have no user memory; processes use theirs.
        forged.word(kthreadd + 48, 0);
        let memory = forged.read(init + 48);
        forged.word(init + 56, memory);
        forged.process(3, "sh", init);
        forged
    };
    let guessed = forged(false);
    let index = index(&guessed);
    assert_eq!(index.types().unwrap_err(), Unknown::NoTypes);
    let listing = index.guest(guessed.memory()).tasks().unwrap();
    assert_eq!((listing.source, listing.items.len()), (Source::Shape, 3));
    let names: Vec<_> = listing
        .items
        .iter()
        .map(|task| task.comm.as_str())
        .collect();
    assert_eq!(names, ["init", "kthreadd", "sh"]);
    let shell = &listing.items[2];
    assert_eq!((shell.parent, shell.cr3), (Some(1), Some(0x1_0000)));
    assert_eq!(
        shell.credentials.map(|known| known.permitted),
        Some(0x1ff_ffff_ffff)
    );
    assert_eq!(shell.state, None, "nothing shows where it is");
}
