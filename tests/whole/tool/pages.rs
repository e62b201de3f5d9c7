//! What may be done with pages, list by list.

use oriel_machine::End;
use oriel_protocol::{
    Access, Dialect, EventKind,
    commands::vm::{GetPageAccess, PageRule, SetPageAccess},
};
use oriel_tests::{Vm, scenario, tool::Tool};

use super::{errno, hear, hooked};

/// A guest that writes to two pages.
const WRITES_PAGES: &str = "
    [[step]]
    event = \"page\"
    access = \"write\"
    gva = 0x6010
    value = 1
    [[step]]
    event = \"page\"
    access = \"write\"
    gva = 0x7010
    value = 2
    [[step]]
    finish = 0";

fn talk(dialect: Dialect) -> (Vm, Tool) {
    hooked(dialect, &scenario(WRITES_PAGES))
}

fn rules(pages: &[(u64, Access)]) -> SetPageAccess {
    let rule = |&(gpa, allowed): &(u64, Access)| PageRule {
        gpa,
        allowed,
        tag: 0,
    };
    let entries = pages.iter().map(rule).collect();
    SetPageAccess { view: 0, entries }
}

const NOWHERE: u64 = 1 << 40;

#[test]
fn a_list_is_set_entry_by_entry_and_the_last_word_on_a_page_counts() {
    for dialect in Dialect::ALL {
        let (vm, mut tool) = talk(dialect);
        hear(&mut tool, 0, EventKind::Page);
        let list = rules(&[
            (0x6000, Access::READ),
            (0x7000, Access::READ),
            (0x6000, Access::ALL),
        ]);
        assert_eq!(tool.vm(list), Ok(()));
        vm.go(1);
        let event = tool.event_of(EventKind::Page);
        assert_eq!(event.snapshot.general.rax, 2, "the second page alone");
        tool.go_on(&event);
        let ran = vm.wait();
        assert_eq!((ran.outcome.end, ran.outcome.events), (End::Finished(0), 1));
    }
}

#[test]
fn an_address_anywhere_in_a_page_means_the_page() {
    let (vm, mut tool) = talk(Dialect::V7);
    hear(&mut tool, 0, EventKind::Page);
    assert_eq!(tool.vm(rules(&[(0x6fff, Access::READ)])), Ok(()));
    vm.go(1);
    let event = tool.event_of(EventKind::Page);
    assert_eq!(event.snapshot.general.rax, 1);
    tool.go_on(&event);
    assert_eq!(vm.wait().outcome.end, End::Finished(0));
}

#[test]
fn a_page_without_memory_is_passed_over_and_in_v12_einval_in_the_end() {
    for dialect in Dialect::ALL {
        let (vm, mut tool) = talk(dialect);
        hear(&mut tool, 0, EventKind::Page);
        let list = rules(&[(NOWHERE, Access::READ), (0x6000, Access::READ)]);
        let expected = match dialect {
            Dialect::V12 => Err(errno::INVAL),
            Dialect::Rfc6 | Dialect::V6 | Dialect::V7 => Ok(()),
        };
        assert_eq!(tool.vm(list), expected, "{dialect:?}");
        vm.go(1);
        let event = tool.event_of(EventKind::Page);
        tool.go_on(&event);
        assert_eq!(vm.wait().outcome.end, End::Finished(0), "{dialect:?}");
    }
}

#[test]
fn another_view_is_refused() {
    for dialect in [Dialect::Rfc6, Dialect::V6, Dialect::V7] {
        let (_vm, mut tool) = talk(dialect);
        let list = SetPageAccess {
            view: 1,
            ..rules(&[(0x6000, Access::READ)])
        };
        assert_eq!(tool.vm(list), Err(errno::OPNOTSUPP), "{dialect:?}");
    }
}

#[test]
fn a_list_that_is_cut_off_is_einval_and_in_v12_closes() {
    for dialect in Dialect::ALL {
        let (vm, mut tool) = talk(dialect);
        let front: [u8; 8] = match dialect {
            Dialect::V12 => [2, 0, 0, 0, 0, 0, 0, 0],
            Dialect::Rfc6 | Dialect::V6 | Dialect::V7 => [0, 0, 2, 0, 0, 0, 0, 0],
        };
        let id = if tool.is_v12() { 20 } else { 21 };
        let seq = tool.send_raw(id, &[&front[..], &[0; 31]].concat());
        if tool.is_v12() {
            assert!(tool.is_hung_up_on());
        } else {
            assert_eq!(tool.answer_to(seq), (id, Err(errno::INVAL)), "{dialect:?}");
        }
        vm.go(1);
        assert_eq!(vm.wait().outcome.events, 0);
    }
}

#[test]
fn as_many_entries_as_a_message_holds_are_set() {
    for (dialect, most) in [
        (Dialect::Rfc6, 255),
        (Dialect::V7, 511),
        (Dialect::V12, 511),
    ] {
        let (vm, mut tool) = talk(dialect);
        hear(&mut tool, 0, EventKind::Page);
        let frames = 0..most;
        let list: Vec<_> = frames.map(|frame| (frame * 4096, Access::READ)).collect();
        assert_eq!(tool.vm(rules(&list)), Ok(()), "{dialect:?}");
        vm.go(1);
        for _ in 0..2 {
            let event = loop {
                // The instructions themselves lie in closed pages too.
                let event = tool.event_of(EventKind::Page);
                if matches!(event.data, oriel_protocol::EventData::Page(page)
                    if page.access == Access::WRITE)
                {
                    break event;
                }
                tool.go_on(&event);
            };
            tool.go_on(&event);
        }
        let _ = tool.hang_up();
        assert_eq!(vm.wait().outcome.end, End::Finished(0), "{dialect:?}");
    }
}

#[test]
fn v6_answers_what_this_tool_has_set_and_rwx_elsewhere() {
    for dialect in [Dialect::Rfc6, Dialect::V6] {
        let (_vm, mut tool) = talk(dialect);
        assert_eq!(tool.vm(rules(&[(0x6000, Access::READ)])), Ok(()));
        let (view, gpas) = (0, vec![0x5000, 0x6000, 0x7000]);
        let answer = tool.vm(GetPageAccess { view, gpas });
        let expected = vec![Access::ALL, Access::READ, Access::ALL];
        assert_eq!(answer, Ok(expected), "{dialect:?}");
        let (view, gpas) = (1, vec![0x5000]);
        let refused = tool.vm(GetPageAccess { view, gpas });
        assert_eq!(refused, Err(errno::OPNOTSUPP), "{dialect:?}");
        assert_eq!(
            tool.raw(20, &[0, 0, 2, 0, 0, 0, 0, 0, 0]),
            Err(errno::INVAL),
            "two announced"
        );
    }
}
