use oriel_protocol::{
    Decision, Event, Moment,
    events::{Breakpoint, Cr, Descriptor, Hypercall, Msr, Singlestep, Table},
};

use super::*;

const PAGE: Page = Page {
    gva: Some(0x1000),
    gpa: 0x5000,
    access: Access::READ,
    size: 8,
    value: None,
    view: 0,
};

fn answered(event: &Event, action: Action, body: Body) -> Verdict {
    let moment = Moment {
        vcpu: 0,
        seq: 1,
        time_ns: 0,
    };
    let case = Case {
        event,
        moment,
        proposed: event.data.proposed(),
        decided: Decision::Continue,
        tag: 0,
    };
    let reply = EventReply { action, body };
    verdict(&case, &event.data, &reply, |_| Some(vec![9; 8]))
}

fn msr() -> Event {
    crate::test_event(Msr {
        msr: 7,
        old: 1,
        new: 2,
    })
}

fn page(answer: PageReply) -> Body {
    Body::Page(answer)
}

#[test]
fn a_register_gets_the_value_of_the_answer() {
    let value = |value| answered(&msr(), Action::Continue, Body::Value(value));
    assert_eq!(value(2), Verdict::Continue, "as the guest wants it");
    assert_eq!(value(1), Verdict::Replace(Value::Word(1)), "kept");
    assert_eq!(value(3), Verdict::Replace(Value::Word(3)));
}

#[test]
fn whatever_is_not_continue_keeps_a_register() {
    let cr = crate::test_event(Cr {
        cr: 4,
        old: 0x20,
        new: 0,
    });
    for action in [Action::Retry, Action::Other(9)] {
        let kept = Verdict::Replace(Value::Word(0x20));
        assert_eq!(answered(&cr, action, Body::Value(7)), kept);
    }
}

#[test]
fn a_breakpoint_goes_to_the_guest_or_was_handled() {
    let hit = crate::test_event(Breakpoint {
        gva: 1,
        gpa: 1,
        length: 1,
        managed: false,
        access: Access::EXECUTE,
    });
    assert_eq!(
        answered(&hit, Action::Continue, Body::None),
        Verdict::Continue
    );
    assert_eq!(answered(&hit, Action::Retry, Body::None), Verdict::Retry);
    assert_eq!(answered(&hit, Action::Other(3), Body::None), Verdict::Retry);
}

#[test]
fn a_store_that_is_done_stands_when_the_tool_wants_it_again() {
    let mut store = crate::test_event(Page {
        access: Access::WRITE,
        value: Some(1),
        ..PAGE
    });
    let answer = || page(PageReply::default());
    assert_eq!(answered(&store, Action::Retry, answer()), Verdict::Retry);
    store.retired = true;
    store.allowed = VerdictSet::CONTINUE | VerdictSet::SKIP;
    assert_eq!(answered(&store, Action::Retry, answer()), Verdict::Continue);
}

#[test]
fn bytes_of_the_tool_lie_over_what_a_load_gets() {
    let load = crate::test_event(PAGE);
    let answer = PageReply {
        ctx_addr: 0x0ffe,
        ctx_size: 4,
        ctx_data: Box::new([1, 2, 3, 4]),
        ..PageReply::default()
    };
    let bytes: Box<[u8]> = Box::new([3, 4, 9, 9, 9, 9, 9, 9]);
    assert_eq!(
        answered(&load, Action::Continue, page(answer)),
        Verdict::Emulate(bytes)
    );
    let none = page(PageReply::default());
    assert_eq!(answered(&load, Action::Continue, none), Verdict::Continue);
}

#[test]
fn v6_steps_over_a_page() {
    let load = crate::test_event(PAGE);
    let answer = PageReply {
        singlestep: true,
        ..PageReply::default()
    };
    assert_eq!(answered(&load, Action::Retry, page(answer)), Verdict::Step);
}

#[test]
fn whoever_calls_its_introspector_is_answered_zero() {
    let call = crate::test_event(Hypercall {
        number: 34,
        a: 24,
        b: 0,
        c: 0,
    });
    assert_eq!(
        answered(&call, Action::Continue, Body::None),
        Verdict::Replace(Value::Word(0))
    );
}

#[test]
fn what_is_only_told_goes_on_and_crash_is_crash() {
    let step = crate::test_event(Singlestep { failed: false });
    assert_eq!(
        answered(&step, Action::Retry, Body::None),
        Verdict::Continue
    );
    assert_eq!(answered(&step, Action::Crash, Body::None), Verdict::Crash);
    let table = crate::test_event(Descriptor {
        table: Table::Idtr,
        write: true,
    });
    assert_eq!(answered(&table, Action::Retry, Body::None), Verdict::Retry);
}
