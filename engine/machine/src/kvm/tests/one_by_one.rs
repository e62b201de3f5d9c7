//! Arming by the difference: thousands of breakpoints and pages, one at a time.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

use oriel_guests::{CALLS, PAGE};
use oriel_protocol::{Access, EventKind, Verdict, page::frame};

use super::theatre::{Play, build, has_kvm, nothing, run};
use crate::{ArmError, Changed, End, Machine, Wants};

const NO_WRITE: Access = Access::READ.union(Access::EXECUTE);
const MANY: u64 = 10_000;
/// Memory that the guests do not use.
const FIRST: u64 = 0x60_0000;

/// What is armed, changed by one thing at a time.
struct Armed<'a> {
    machine: &'a dyn Machine,
    wants: Wants,
}

impl<'a> Armed<'a> {
    /// Nothing yet, with somebody listening.
    fn nothing(machine: &'a dyn Machine) -> Self {
        let wants = Wants {
            events: [EventKind::Breakpoint, EventKind::Page]
                .into_iter()
                .collect(),
            ..nothing()
        };
        machine.arm(&wants).unwrap();
        Self { machine, wants }
    }

    fn breakpoint(&mut self, gpa: u64, there: bool) -> Result<(), ArmError> {
        self.put_breakpoint(gpa, there);
        let changed = Changed {
            breakpoints: [gpa].into(),
            ..Changed::default()
        };
        let done = self.machine.arm_changed(&self.wants, &changed);
        done.inspect_err(|_| self.put_breakpoint(gpa, !there))
    }

    fn put_breakpoint(&mut self, gpa: u64, there: bool) {
        match there {
            true => self.wants.breakpoints.insert(gpa),
            false => self.wants.breakpoints.remove(&gpa),
        };
    }

    fn page(&mut self, frame: u64, allowed: Option<Access>) -> Result<(), ArmError> {
        let before = self.put_page(frame, allowed);
        let changed = Changed {
            frames: [frame].into(),
            ..Changed::default()
        };
        let done = self.machine.arm_changed(&self.wants, &changed);
        done.inspect_err(|_| {
            self.put_page(frame, before);
        })
    }

    fn put_page(&mut self, frame: u64, allowed: Option<Access>) -> Option<Access> {
        match allowed {
            Some(allowed) => self.wants.pages.insert(frame, allowed),
            None => self.wants.pages.remove(&frame),
        }
    }
}

#[test]
fn thousands_of_breakpoints_are_set_and_cleared_one_by_one() {
    if !has_kvm() {
        return;
    }
    let guest = oriel_guests::by_name("calls", 2).unwrap();
    let function = guest.mark("function").unwrap();
    let (parts, kept) = build(guest);
    let machine = parts.machine.clone();
    let mut armed = Armed::nothing(&*machine);
    let places = || (0..MANY).map(|index| FIRST + index * 3).chain([function]);
    places().for_each(|gpa| armed.breakpoint(gpa, true).unwrap());
    let mut bytes = vec![1; 3 * 10_000];
    machine.memory().read_at(FIRST, &mut bytes).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 0), "none is seen");
    let cleared = AtomicBool::new(false);
    let wants = std::sync::Mutex::new(armed);
    let play = run(parts, &kept, |event, _| {
        assert_eq!((event.kind(), event.ip), (EventKind::Breakpoint, function));
        if !cleared.swap(true, SeqCst) {
            let mut armed = wants.lock().unwrap();
            let others = places().filter(|gpa| *gpa != function);
            others.for_each(|gpa| armed.breakpoint(gpa, false).unwrap());
        }
        Verdict::Continue
    });
    assert_eq!(play.end(), &End::Finished(0));
    assert_eq!(play.values(), [u64::from(2 * CALLS)]);
    assert_eq!(play.events.len(), 2 * CALLS as usize);
    let left = wants.into_inner().unwrap().wants.breakpoints;
    assert_eq!(left, [function].into());
}

/// Sets one breakpoint so many times, and clears it at this hit.
fn set_and_cleared(times: u32, hit: u32) -> Play {
    let guest = oriel_guests::by_name("calls", 1).unwrap();
    let function = guest.mark("function").unwrap();
    let (parts, kept) = build(guest);
    let machine = parts.machine.clone();
    let armed = std::sync::Mutex::new(Armed::nothing(&*machine));
    for _ in 0..times {
        armed.lock().unwrap().breakpoint(function, true).unwrap();
    }
    let hits = AtomicU32::new(0);
    run(parts, &kept, |event, _| {
        assert_eq!((event.kind(), event.ip), (EventKind::Breakpoint, function));
        if hits.fetch_add(1, SeqCst) + 1 == hit {
            armed.lock().unwrap().breakpoint(function, false).unwrap();
        }
        Verdict::Continue
    })
}

#[test]
fn the_same_place_twice_is_one_hit_and_goes_at_once() {
    if !has_kvm() {
        return;
    }
    let play = set_and_cleared(2, 2);
    assert_eq!(play.end(), &End::Finished(0));
    assert_eq!(play.values(), [u64::from(CALLS)], "it ran each time");
    assert_eq!(play.events.len(), 2, "one a call, until it was cleared");
}

#[test]
fn what_is_cleared_by_the_difference_is_met_no_more() {
    if !has_kvm() {
        return;
    }
    let play = set_and_cleared(1, 1);
    assert_eq!(play.values(), [u64::from(CALLS)]);
    assert_eq!(play.events.len(), 1);
}

#[test]
fn a_thousand_pages_are_trapped_and_opened_one_by_one() {
    if !has_kvm() {
        return;
    }
    let guest = oriel_guests::by_name("pages", 1).unwrap();
    let (parts, kept) = build(guest);
    let machine = parts.machine.clone();
    machine.memory().write_at(PAGE, &[0xc3; 8]).unwrap();
    let mut armed = Armed::nothing(&*machine);
    let frames = || (0..1_000).map(|index| frame(PAGE) + 2 * index);
    frames().for_each(|frame| armed.page(frame, Some(NO_WRITE)).unwrap());
    frames()
        .skip(1)
        .for_each(|frame| armed.page(frame, None).unwrap());
    let armed = std::sync::Mutex::new(armed);
    let play = run(parts, &kept, |_, _| {
        armed.lock().unwrap().page(frame(PAGE), None).unwrap();
        Verdict::Continue
    });
    assert_eq!(play.end(), &End::Finished(0));
    assert_eq!(
        play.events.len(),
        1,
        "the first store, which opens the page"
    );
}

#[test]
fn one_that_cannot_be_leaves_the_others() {
    if !has_kvm() {
        return;
    }
    let guest = oriel_guests::by_name("calls", 1).unwrap();
    let function = guest.mark("function").unwrap();
    let (parts, kept) = build(guest);
    let machine = parts.machine.clone();
    let mut armed = Armed::nothing(&*machine);
    armed.breakpoint(function, true).unwrap();
    let hole = 0xd000_0000;
    let no_ram = armed.breakpoint(hole, true).unwrap_err().to_string();
    assert!(no_ram.contains("0xd0000000"), "{no_ram}");
    let no_page = armed.page(frame(hole), Some(NO_WRITE)).unwrap_err();
    assert!(no_page.to_string().contains("0xd0000"), "{no_page}");
    let play = run(parts, &kept, |_, _| Verdict::Continue);
    assert_eq!(play.events.len(), CALLS as usize);
}
