//! What a tool does with the pages of a real guest. Skipped loudly where `/dev/kvm` cannot be used.

use oriel_guests::{PAGE, PAGE_ADDED, PAGE_STORED, PAGE_WORD};
use oriel_machine::End;
use oriel_protocol::{
    Access, EventData, EventKind,
    commands::vm::{PageRule, SetPageAccess, WritePhysical},
    events::Page,
    kvmi::{Action, Body, EventReply, PageReply, event::Received},
};
use oriel_tests::{Vm, tool::Tool};

use super::{
    hear,
    kvm::{reports, row},
};
use crate::kvm::guest;

/// What lies in the word when the guest loads it first.
const BEFORE: u32 = 0x5a5a;

/// What the guest reports if nobody does anything to it: the word as it loads it, and no fault.
fn reported() -> [u64; 5] {
    let sum = PAGE_STORED + PAGE_ADDED;
    let words = [BEFORE, PAGE_STORED, sum, sum + PAGE_ADDED, 0];
    words.map(u64::from)
}

/// Runs a test with a guest that is about to touch its page, which is closed to it.
fn closed(test: impl Fn(Vm, Tool)) {
    row("pages", |vm, mut tool| {
        if !reports(EventKind::Page) {
            return;
        }
        let ret = vec![0xc3; 8];
        for (gpa, bytes) in [(PAGE, ret), (PAGE_WORD, BEFORE.to_le_bytes().to_vec())] {
            assert_eq!(tool.vm(WritePhysical { gpa, bytes }), Ok(()));
        }
        hear(&mut tool, EventKind::Page);
        assert_eq!(tool.vm(allowing(Access::NONE)), Ok(()));
        vm.go(1);
        test(vm, tool);
    });
}

fn allowing(allowed: Access) -> SetPageAccess {
    let (gpa, tag) = (PAGE, 0);
    SetPageAccess {
        view: 0,
        entries: vec![PageRule { gpa, allowed, tag }],
    }
}

/// The next event, which is of the word in the page.
fn touched(tool: &mut Tool) -> (Received, Page) {
    let event = tool.event_of(EventKind::Page);
    let EventData::Page(page) = event.data else {
        panic!("{event:?}");
    };
    assert_eq!(page.gpa & !0xfff, PAGE);
    (event, page)
}

#[test]
fn a_real_guests_page_is_closed_until_the_tool_opens_it() {
    closed(|vm, mut tool| {
        let (load, page) = touched(&mut tool);
        assert_eq!((page.gpa, page.access), (PAGE_WORD, Access::READ));
        assert_eq!(
            Some(load.snapshot.general.rip),
            guest("pages", 1).mark("load")
        );
        tool.go_on(&load);
        let (store, page) = touched(&mut tool);
        assert_eq!((page.gpa, page.access), (PAGE_WORD, Access::WRITE));
        assert_eq!(tool.vm(allowing(Access::ALL)), Ok(()));
        tool.go_on(&store);
        let ran = vm.wait();
        assert_eq!((ran.outcome.end, ran.outcome.events), (End::Finished(0), 2));
        assert_eq!(ran.reports, reported());
    });
}

#[test]
fn a_retry_meets_a_closed_page_again_and_an_open_one_not() {
    closed(|vm, mut tool| {
        for _ in 0..3 {
            let (load, page) = touched(&mut tool);
            assert_eq!((page.gpa, page.access), (PAGE_WORD, Access::READ));
            tool.retry(&load);
        }
        let (load, _) = touched(&mut tool);
        assert_eq!(tool.vm(allowing(Access::ALL)), Ok(()));
        tool.retry(&load);
        assert_eq!(vm.wait().reports, reported());
    });
}

#[test]
fn a_real_guests_load_gets_the_bytes_of_the_answer() {
    closed(|vm, mut tool| {
        let (load, _) = touched(&mut tool);
        let bytes = [0x11, 0x22, 0x33, 0x44];
        let page = PageReply {
            ctx_addr: PAGE_WORD,
            ctx_size: 4,
            ctx_data: bytes.into(),
            ..PageReply::default()
        };
        // The newest dialect has no room for them.
        let body = match tool.is_v12() {
            true => Body::None,
            false => Body::Page(page),
        };
        let action = Action::Continue;
        assert_eq!(tool.vm(allowing(Access::ALL)), Ok(()));
        tool.answer(&load, &EventReply { action, body });
        let mut expected = reported();
        if !tool.is_v12() {
            expected[0] = u32::from_le_bytes(bytes).into();
        }
        assert_eq!(vm.wait().reports, expected, "and memory is as it was");
    });
}

#[test]
fn a_tool_that_goes_opens_a_real_guests_pages() {
    closed(|vm, mut tool| {
        let _load = touched(&mut tool);
        let _ = tool.hang_up();
        let ran = vm.wait();
        assert_eq!((ran.outcome.end, ran.outcome.events), (End::Finished(0), 1));
        assert_eq!(ran.reports, reported());
    });
}
