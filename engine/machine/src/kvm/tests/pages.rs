//! Traps at pages, in kernel code, which the KVM of some hosts emulates, and in user code.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
};

use kvm_ioctls::Kvm;
use oriel_guests::{
    Guest, PAGE, PAGE_ADDED, PAGE_BEFORE, PAGE_COPY, PAGE_STORED, PAGE_WORD, SPIN_COUNTERS,
};
use oriel_protocol::{
    Access, Event, EventData, EventKind, Value, Verdict, VerdictSet, events::Page, page::frame,
    x86::Exception,
};

use super::theatre::{Play, Timer, build, has_kvm, machine, nothing, run};
use crate::{ArmError, End, Exit, Machine, Unjudged, Unseen, Vcpu, Wants, kvm::probe};

const THERE: u64 = 0xabc;
const STORED: u64 = PAGE_STORED as u64;
const ADDED: u64 = PAGE_ADDED as u64;
const RET: u8 = 0xc3;
const NO_WRITE: Access = Access::READ.union(Access::EXECUTE);

/// Traps all but these kinds of access to the guests' page.
fn trapping(allowed: Access) -> Wants {
    Wants {
        events: [EventKind::Page].into_iter().collect(),
        pages: [(frame(PAGE), allowed)].into(),
        ..Wants::default()
    }
}

fn guest(name: &str) -> Guest {
    oriel_guests::by_name(name, 1).unwrap()
}

/// Runs a guest with RETs and a word in its page.
fn watch(
    name: &str,
    wants: &Wants,
    judge: impl Fn(&Event, &mut dyn Vcpu) -> Verdict + Sync,
) -> (Play, Arc<dyn Machine>) {
    let (parts, kept) = build(guest(name));
    let machine = parts.machine.clone();
    machine.memory().write_at(PAGE, &[RET; 8]).unwrap();
    machine
        .memory()
        .write_at(PAGE_WORD, &THERE.to_le_bytes())
        .unwrap();
    machine.arm(wants).unwrap();
    let play = run(parts, &kept, judge);
    (play, machine)
}

fn touched(event: &Event) -> Page {
    let EventData::Page(page) = event.data else {
        panic!("{event:?}");
    };
    page
}

/// What was told, as far as it is the same wherever it is known: kinds of access and address.
fn told(play: &Play) -> Vec<(Access, u64)> {
    play.events
        .iter()
        .map(|(_, event)| (touched(event).access, touched(event).gpa))
        .collect()
}

/// What the guest reports where nothing interferes.
const UNTOUCHED: [u64; 5] = [THERE, STORED, STORED + ADDED, STORED + 2 * ADDED, 0];

const READ: (Access, u64) = (Access::READ, PAGE_WORD);
const EXECUTE: (Access, u64) = (Access::EXECUTE, PAGE);

#[test]
fn a_page_that_nobody_traps_is_touched_as_ever() {
    if !has_kvm() {
        return;
    }
    for name in ["pages", "user-pages"] {
        let (play, _) = watch(name, &nothing(), |_, _| Verdict::Continue);
        assert_eq!(
            (play.end(), play.values()),
            (&End::Finished(0), UNTOUCHED.to_vec()),
            "{name}"
        );
    }
}

/// The accesses that the guest makes, in order, with what each is forbidden.
fn accesses(forbidden: Access) -> Vec<(Access, u64)> {
    let both = Access::READ.union(Access::WRITE);
    let word = [
        Access::READ,
        Access::WRITE,
        Access::READ,
        both,
        Access::READ,
        both,
        Access::READ,
    ];
    let word = word.map(|access| (access, PAGE_WORD));
    word.into_iter()
        .chain([EXECUTE])
        .map(|(access, gpa)| (access.intersection(forbidden), gpa))
        .filter(|(access, _)| *access != Access::NONE)
        .collect()
}

const ALLOWED: [Access; 6] = [
    NO_WRITE,
    Access::NONE,
    Access::WRITE.union(Access::EXECUTE),
    Access::READ.union(Access::WRITE),
    Access::READ,
    Access::EXECUTE,
];

#[test]
fn what_is_trapped_is_an_event_each_and_changes_nothing_where_it_continues() {
    if !has_kvm() {
        return;
    }
    for allowed in ALLOWED {
        let (play, machine) = watch("pages", &trapping(allowed), |_, _| Verdict::Continue);
        let what: Vec<_> = allowed.names().collect();
        assert_eq!(play.end(), &End::Finished(0), "{what:?}");
        assert_eq!(play.values(), UNTOUCHED, "{what:?}");
        assert_eq!(
            told(&play),
            accesses(Access::ALL.difference(allowed)),
            "{what:?}"
        );
        let word = machine.memory().read_u64(PAGE_WORD).unwrap();
        assert_eq!(word, STORED + 2 * ADDED, "{what:?}");
    }
}

#[test]
fn user_code_is_trapped_too() {
    if !has_kvm() {
        return;
    }
    let steps = probe::habits(&Kvm::new().unwrap()).unwrap().steps_user;
    for allowed in ALLOWED {
        let (play, _) = watch("user-pages", &trapping(allowed), |_, _| Verdict::Step);
        let what: Vec<_> = allowed.names().collect();
        assert_eq!(
            (play.end(), play.values()),
            (&End::Finished(0), UNTOUCHED.to_vec()),
            "{what:?}"
        );
        let mut expected = accesses(Access::ALL.difference(allowed));
        if !steps && expected.len() == 8 {
            // Behind an addition the page is open until the vCPU comes out.
            expected.remove(6);
            expected.remove(4);
        } else if !steps && expected.contains(&READ) {
            let sum = expected.iter().rposition(|one| *one == READ).unwrap();
            expected.remove(sum);
            expected.remove(sum - 2);
        }
        assert_eq!(told(&play), expected, "{what:?}");
    }
}

#[test]
fn an_event_says_what_is_known_and_what_can_be_answered() {
    if !has_kvm() {
        return;
    }
    let emulates = probe::habits(&Kvm::new().unwrap()).unwrap().stores_retire;
    for (name, emulated) in [("pages", emulates), ("user-pages", false)] {
        let guest = guest(name);
        let (play, _) = watch(name, &trapping(Access::NONE), |_, _| Verdict::Continue);
        let at = |mark: &str| guest.mark(mark).unwrap();
        let of = |index: usize| (&play.events[index].1, touched(&play.events[index].1));
        let (event, load) = of(0);
        assert_eq!((event.ip, event.retired), (at("load"), false), "{name}");
        assert_eq!(
            (load.gva, load.size, load.value),
            (Some(PAGE_WORD), 4, None)
        );
        let both = VerdictSet::EMULATE
            .union(VerdictSet::RETRY)
            .union(VerdictSet::INJECT);
        assert!(event.allowed.contains(both), "{name}: {:?}", event.allowed);
        assert!(!event.allowed.contains(VerdictSet::REPLACE));
        let (event, store) = of(1);
        assert_eq!((store.size, store.value), (4, Some(STORED)));
        assert!(event.allowed.contains(VerdictSet::REPLACE));
        assert_eq!(event.retired, emulated, "{name}");
        assert_eq!(event.ip, if emulated { at("reload") } else { at("store") });
        assert_eq!(store.gva, (!emulated).then_some(PAGE_WORD));
        assert_eq!(event.allowed.contains(VerdictSet::DENY), !emulated);
    }
}

/// Runs a guest with one answer to the accesses of one instruction, and `continue` to the others.
fn answering(name: &str, mark: &str, verdict: &Verdict) -> Vec<u64> {
    let guest = guest(name);
    let (at, next) = (guest.mark(mark).unwrap(), guest.mark("reload").unwrap());
    let answered = AtomicBool::new(false);
    let (play, _) = watch(name, &trapping(Access::NONE), |event, _| {
        let store = mark == "store" && event.retired && event.ip == next;
        let here = event.ip == at || store;
        if !here || answered.load(SeqCst) {
            return Verdict::Continue;
        }
        answered.store(true, SeqCst);
        assert!(
            event.allowed.contains(verdict.kind().set()),
            "{name}, {mark}: {verdict:?}"
        );
        verdict.clone()
    });
    assert_eq!(play.end(), &End::Finished(0), "{name}, {mark}: {verdict:?}");
    assert!(answered.load(SeqCst));
    play.values()
}

#[test]
fn a_load_takes_each_verdict() {
    if !has_kvm() {
        return;
    }
    let given: Box<[u8]> = Box::new([1, 2, 3, 4]);
    for name in ["pages", "user-pages"] {
        let first = |verdict| answering(name, "load", &verdict);
        let with = |word: u64| [word, STORED, STORED + ADDED, STORED + 2 * ADDED, 0];
        assert_eq!(
            first(Verdict::Emulate(given.clone())),
            with(0x0403_0201),
            "{name}"
        );
        assert_eq!(first(Verdict::Skip), with(PAGE_BEFORE), "{name}");
        assert_eq!(first(Verdict::Retry), UNTOUCHED, "{name}: the same again");
        assert_eq!(first(Verdict::Step), UNTOUCHED, "{name}");
    }
    let deny = answering("pages", "load", &Verdict::Deny);
    assert_eq!(
        (deny[0], deny[4]),
        (PAGE_BEFORE, 1),
        "#GP, and nothing loaded"
    );
    let inject = answering("pages", "load", &Verdict::Inject(Exception::GP0));
    assert_eq!((inject[0], inject[4]), (PAGE_BEFORE, 1));
}

#[test]
fn a_store_takes_replace_and_skip() {
    if !has_kvm() {
        return;
    }
    for name in ["pages", "user-pages"] {
        let store = |verdict| answering(name, "store", &verdict);
        let then = |word: u64| [THERE, word, word + ADDED, word + 2 * ADDED, 0];
        assert_eq!(
            store(Verdict::Replace(Value::Word(0x55))),
            then(0x55),
            "{name}"
        );
        assert_eq!(store(Verdict::Skip), then(THERE), "{name}: it is lost");
        assert_eq!(store(Verdict::Continue), UNTOUCHED, "{name}");
    }
}

#[test]
fn a_locked_addition_is_denied_and_skipped_before_it_has_any_effect() {
    if !has_kvm() {
        return;
    }
    // Only writing is trapped: where KVM emulates, it gives up before the locked store.
    let at = guest("pages").mark("locked").unwrap();
    let (play, _) = watch("pages", &trapping(NO_WRITE), |event, _| {
        if event.ip == at {
            Verdict::Skip
        } else {
            Verdict::Continue
        }
    });
    assert_eq!(
        play.values(),
        [THERE, STORED, STORED + ADDED, STORED + ADDED, 0]
    );
}

#[test]
fn a_call_into_the_page_takes_each_verdict() {
    if !has_kvm() {
        return;
    }
    let no_execute = trapping(Access::READ | Access::WRITE);
    let asked = AtomicU32::new(0);
    let (play, _) = watch("pages", &no_execute, |event, _| {
        assert_eq!((event.ip, touched(event).gva), (PAGE, Some(PAGE)));
        match asked.fetch_add(1, SeqCst) {
            0 | 1 => Verdict::Retry,
            _ => Verdict::Continue,
        }
    });
    assert_eq!(
        (play.values(), told(&play)),
        (UNTOUCHED.to_vec(), vec![EXECUTE; 3])
    );
    let (play, _) = watch("pages", &no_execute, |event, _| match event.ip {
        PAGE => Verdict::Skip,
        _ => Verdict::Continue,
    });
    let ips: Vec<_> = play.events.iter().map(|(_, event)| event.ip).collect();
    assert_eq!(
        (play.values(), ips),
        (UNTOUCHED.to_vec(), vec![PAGE, PAGE + 1])
    );
    let (play, _) = watch("pages", &no_execute, |event, _| match event.ip {
        PAGE => Verdict::Deny,
        _ => Verdict::Continue,
    });
    assert_eq!(
        play.values()[4],
        1,
        "#GP, whose handler goes on at the next RET but one"
    );
    let (play, _) = watch("pages", &no_execute, |_, _| Verdict::Crash);
    assert_eq!(play.end(), &End::Stopped);
}

#[test]
fn one_instruction_is_an_event_for_each_page_and_no_more() {
    if !has_kvm() {
        return;
    }
    let mut wants = trapping(Access::NONE);
    wants.pages.insert(frame(PAGE_COPY), Access::NONE);
    let (play, _) = watch("copies", &wants, |_, _| Verdict::Continue);
    assert_eq!(
        (play.end(), play.values()),
        (&End::Finished(0), vec![THERE, THERE, 0])
    );
    let guest = guest("copies");
    let (two, sixteen) = (
        guest.mark("two-pages").unwrap(),
        guest.mark("stored").unwrap(),
    );
    let copy = (Access::WRITE, PAGE_COPY);
    let wide = (Access::WRITE, PAGE + 0x100);
    let reports = [PAGE_COPY, PAGE + 0x100, PAGE + 0x108].map(|at| (Access::READ, at));
    let mut expected = vec![READ, copy, READ, wide];
    expected.extend(reports);
    assert_eq!(told(&play), expected);
    assert_eq!(play.events[0].1.ip, two);
    assert!(play.events[3].1.ip <= sixteen);
}

#[test]
fn each_page_of_an_instruction_has_a_verdict_of_its_own() {
    if !has_kvm() {
        return;
    }
    let mut wants = trapping(Access::WRITE | Access::EXECUTE);
    wants.pages.insert(frame(PAGE_COPY), NO_WRITE);
    let (play, _) = watch("copies", &wants, |event, _| {
        match touched(event).gpa == PAGE_COPY && event.allowed.contains(VerdictSet::SKIP) {
            true => Verdict::Skip,
            false => Verdict::Continue,
        }
    });
    assert_eq!(play.values()[0], 0, "the copy was not stored");
}

#[test]
fn a_breakpoint_in_a_trapped_page_and_a_step_there_are_events_once_each() {
    if !has_kvm() {
        return;
    }
    let mut wants = trapping(Access::READ | Access::WRITE);
    wants.events.insert(EventKind::Breakpoint);
    wants.events.insert(EventKind::Singlestep);
    wants.breakpoints = [PAGE].into();
    wants.singlestep = vec![0];
    let (play, _) = watch("pages", &wants, |_, _| Verdict::Continue);
    assert_eq!(
        (play.end(), play.values()),
        (&End::Finished(0), UNTOUCHED.to_vec())
    );
    let here = |kind: EventKind| {
        let all = play.events.iter().map(|(_, event)| event);
        all.filter(|event| event.kind() == kind && event.ip == PAGE)
            .count()
    };
    assert_eq!(here(EventKind::Breakpoint), 1);
    assert_eq!(here(EventKind::Page), 1);
    assert_eq!(here(EventKind::Singlestep), 1, "the CALL has led there");
}

#[test]
fn a_thousand_pages_are_trapped_and_opened_at_once() {
    if !has_kvm() {
        return;
    }
    let every_other = (0..1_000).map(|index| (frame(PAGE) + 2 * index, Access::READ));
    let wants = Wants {
        pages: every_other.collect(),
        ..trapping(Access::READ)
    };
    let (parts, kept) = build(guest("pages"));
    let machine = parts.machine.clone();
    machine.arm(&wants).unwrap();
    let last = (frame(PAGE) + 2 * 999) * 4096;
    machine.memory().write_at(last, &[7; 4096]).unwrap();
    assert_eq!(machine.memory().read_u64(last), Ok(0x0707_0707_0707_0707));
    machine.arm(&nothing()).unwrap();
    machine.memory().write_at(PAGE, &[RET; 8]).unwrap();
    let play = run(parts, &kept, |_, _| Verdict::Continue);
    assert_eq!((play.end(), play.events.len()), (&End::Finished(0), 0));
}

#[test]
fn traps_come_and_go_under_two_running_vcpus() {
    if !has_kvm() {
        return;
    }
    let (mut parts, _) = machine("spin", 2);
    let machine = parts.machine.clone();
    let timer = Timer::of(&parts);
    let kickers: Vec<_> = parts.vcpus.iter().map(|vcpu| vcpu.kicker()).collect();
    let (events, over) = (
        [AtomicU32::new(0), AtomicU32::new(0)],
        AtomicBool::new(false),
    );
    std::thread::scope(|scope| {
        for mut vcpu in parts.vcpus.drain(..) {
            let (timer, events, over) = (&timer, &events, &over);
            scope.spawn(move || {
                while !over.load(SeqCst) {
                    vcpu.acknowledge_kick();
                    timer.check();
                    match vcpu.enter(Verdict::Continue).unwrap() {
                        Exit::Event(event) => {
                            assert_eq!(frame(touched(&event).gpa), frame(SPIN_COUNTERS));
                            events[vcpu.index() as usize].fetch_add(1, SeqCst);
                        }
                        Exit::Kicked => {}
                        Exit::Ended(end) => panic!("{end}"),
                    }
                }
            });
        }
        let wait = |what: &dyn Fn() -> bool| {
            while !what() {
                std::thread::yield_now();
            }
        };
        for round in 0..20 {
            let allowed = if round % 2 == 0 {
                NO_WRITE
            } else {
                Access::NONE
            };
            let mut wants = trapping(allowed);
            wants.pages = [(frame(SPIN_COUNTERS), allowed)].into();
            let before = events.each_ref().map(|events| events.load(SeqCst));
            machine.arm(&wants).unwrap();
            wait(&|| (0..2).all(|at| events[at].load(SeqCst) > before[at] + 1));
            machine.arm(&nothing()).unwrap();
            let counters =
                || [0, 8].map(|at| machine.memory().read_u64(SPIN_COUNTERS + at).unwrap());
            let rounds = counters();
            wait(&|| {
                counters()
                    .iter()
                    .zip(rounds)
                    .all(|(now, then)| *now > then + 3)
            });
        }
        over.store(true, SeqCst);
        kickers.iter().for_each(|kicker| kicker.kick());
    });
}

#[test]
fn a_page_that_is_no_ram_is_refused_and_leaves_the_others() {
    if !has_kvm() {
        return;
    }
    let (parts, kept) = build(guest("pages"));
    parts.machine.memory().write_at(PAGE, &[RET; 8]).unwrap();
    parts.machine.arm(&trapping(NO_WRITE)).unwrap();
    for beyond in [frame(0xd000_0000), u64::MAX] {
        let mut wants = trapping(NO_WRITE);
        wants.pages.insert(beyond, Access::READ);
        let error = parts.machine.arm(&wants).unwrap_err();
        assert!(matches!(error, ArmError::Unsupported { .. }), "{error}");
    }
    let play = run(parts, &kept, |_, _| Verdict::Continue);
    assert_eq!((play.end(), play.events.len()), (&End::Finished(0), 3));
}

#[test]
fn a_trap_that_is_lifted_from_within_its_event_is_gone() {
    if !has_kvm() {
        return;
    }
    let (parts, kept) = build(guest("pages"));
    let machine = parts.machine.clone();
    machine.memory().write_at(PAGE, &[RET; 8]).unwrap();
    machine.arm(&trapping(Access::NONE)).unwrap();
    let play = run(parts, &kept, |_, _| {
        machine.arm(&nothing()).unwrap();
        Verdict::Continue
    });
    assert_eq!((play.end(), play.events.len()), (&End::Finished(0), 1));
}

#[test]
fn an_instruction_that_kvm_lacks_is_still_named_where_pages_are_trapped() {
    if !has_kvm() {
        return;
    }
    let unwatched = super::theatre::play("unemulatable", 1, &nothing(), |_, _| Verdict::Continue);
    let watched = super::theatre::play("unemulatable", 1, &trapping(Access::NONE), |_, _| {
        Verdict::Continue
    });
    assert_eq!(unwatched.end(), watched.end());
    assert!(watched.events.is_empty());
}

#[test]
fn code_that_writes_to_its_own_page_is_judged_for_both() {
    if !has_kvm() {
        return;
    }
    /// `mov [rbx + 16], ecx; ret`: RBX is the page when the guest calls it.
    const CODE: [u8; 4] = [0x89, 0x4b, 0x10, RET];
    for (write, expected) in [(Verdict::Continue, ADDED), (Verdict::Skip, 0)] {
        let (parts, kept) = build(guest("pages"));
        let machine = parts.machine.clone();
        machine.memory().write_at(PAGE, &CODE).unwrap();
        machine.arm(&trapping(Access::READ)).unwrap();
        let play = run(parts, &kept, |event, _| {
            match touched(event).gpa == PAGE + 16 {
                true => write.clone(),
                false => Verdict::Continue,
            }
        });
        assert_eq!(play.end(), &End::Finished(0));
        let last = &told(&play)[3..];
        let there = (Access::WRITE, PAGE + 16);
        let ret = (Access::EXECUTE, PAGE + 3);
        assert_eq!(last, [EXECUTE, there, ret], "{write:?}");
        let word = machine.memory().read_u64(PAGE + 16).unwrap();
        assert_eq!(word, expected, "{write:?}");
    }
}

#[test]
fn a_page_that_stays_open_for_user_code_is_told_before_it_is() {
    if !has_kvm() {
        return;
    }
    let (mut parts, _) = build(guest("user-pages"));
    let additions = ["add", "locked"].map(|mark| guest("user-pages").mark(mark).unwrap());
    parts.machine.memory().write_at(PAGE, &[RET; 8]).unwrap();
    parts.machine.arm(&trapping(NO_WRITE)).unwrap();
    let timer = Timer::of(&parts);
    let mut vcpu = parts.vcpus.remove(0);
    let mut told = Vec::new();
    loop {
        vcpu.acknowledge_kick();
        timer.check();
        match vcpu.enter(Verdict::Continue).unwrap() {
            Exit::Event(_) => assert_eq!(vcpu.take_unjudged(), None, "not decided yet"),
            Exit::Kicked => told.push((vcpu.general().unwrap().rip, vcpu.take_unjudged().unwrap())),
            Exit::Ended(end) => break assert_eq!(end, End::Finished(0)),
        }
    }
    if probe::habits(&Kvm::new().unwrap()).unwrap().steps_user {
        return assert!(told.is_empty(), "it is stepped: {told:?}");
    }
    let open = |rip| (rip, Unjudged::one(Some(rip), Some(PAGE), Unseen::Open));
    assert_eq!(told, additions.map(open));
}

#[test]
fn an_instruction_that_loads_more_than_kvm_says_is_asked_about_once() {
    if !has_kvm() {
        return;
    }
    /// Of the first vCPU, its last page.
    const STACK: u64 = 0x11_000;
    let mut wants = trapping(Access::NONE);
    wants.pages = [(frame(STACK), Access::NONE)].into();
    let (parts, kept) = build(guest("msr-verdicts"));
    parts.machine.arm(&wants).unwrap();
    let asked = AtomicU32::new(0);
    let play = run(parts, &kept, |event, _| {
        assert_eq!(frame(touched(event).gpa), frame(STACK));
        // LIDT, whose operand lies on the stack, and what puts it there.
        assert!(asked.fetch_add(1, SeqCst) < 20, "for ever: {event:x?}");
        Verdict::Continue
    });
    assert_eq!(play.end(), &End::Finished(0));
}
