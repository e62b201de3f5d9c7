//! What steps do that are no event, and where a vCPU stands.

use oriel_protocol::{Verdict, x86::msr};

use super::{Run, everything};
use crate::{
    Unjudged, Unseen, Wants,
    machine::{End, Exit},
    mock::{Scenario, Step},
};

#[test]
fn reports_read_the_state_back() {
    let text = "
        [registers]
        rbx = 5
        [msrs]
        0x8b = 9
        [[memory]]
        gpa = 0x2000
        words = [0x1122]
        [[step]]
        report = 'register'
        register = 'rbx'
        [[step]]
        report = 'register'
        register = 'cr3'
        [[step]]
        report = 'msr'
        msr = 0x8b
        [[step]]
        report = 'memory'
        gva = 0x2000
        size = 1
        [[step]]
        report = 'memory'
        gpa = 0x2000
        [[step]]
        report = 'faults'
        [[step]]
        finish = 0
    ";
    let mut run = Run::text(text, &everything());
    assert_eq!(run.end(Verdict::Continue), End::Finished(0));
    let values: Vec<_> = run
        .kept
        .reports()
        .into_iter()
        .map(|(_, value)| value)
        .collect();
    assert_eq!(values, [5, 0xff_f000, 9, 0x22, 0x1122, 0]);
}

#[test]
fn a_report_of_memory_that_is_not_mapped_faults_and_says_nothing() {
    let text = "
        [[step]]
        report = 'memory'
        gva = '0xffffffff81000000'
        [[step]]
        report = 'faults'
        vector = 14
        [[step]]
        report = 'faults'
        vector = 13
    ";
    let mut run = Run::text(text, &Wants::default());
    run.enter(Verdict::Continue);
    assert_eq!(run.kept.reports(), [(0, 1), (0, 0)]);
}

#[test]
fn the_serial_line_is_said_in_order() {
    let scenario = Scenario::new("s")
        .step(Step::serial("ab").times(2))
        .step(Step::serial("c"));
    let mut run = Run::of(&scenario, &Wants::default());
    run.enter(Verdict::Continue);
    assert_eq!(run.kept.serial_text(), "ababc");
}

#[test]
fn a_vcpu_stays_where_a_step_put_it() {
    let text = "
        [[step]]
        event = 'singlestep'
        ip = 0x2000
        cpl = 3
        cr3 = 0x8000
        length = 5
        [[step]]
        event = 'cpuid'
        function = 0
    ";
    let mut run = Run::text(text, &super::wanting(&[oriel_protocol::EventKind::Cpuid]));
    let event = run.event(Verdict::Continue);
    assert_eq!((event.ip, event.cpl, event.cr3), (0x2005, 3, 0x8000));
}

#[test]
fn a_looping_script_plays_until_it_is_stopped() {
    let scenario = Scenario::new("loop")
        .step(Step::write_msr(msr::LSTAR, 1))
        .looping();
    let mut run = Run::of(&scenario, &everything());
    for _ in 0..10 {
        assert!(matches!(run.enter(Verdict::Continue), Exit::Event(_)));
    }
    assert_eq!(run.end(Verdict::Crash), End::Stopped);
}

#[test]
fn loads_keep_or_clear_the_rest_of_rax_as_a_processor_does() {
    let text = |size: u8| {
        format!(
            "[registers]\nrax = '0xaaaaaaaaaaaaaaaa'\n[[memory]]\ngpa = 0x2000\n\
             words = [0x1122334455667788]\n[[step]]\nevent = 'page'\naccess = 'read'\n\
             gva = 0x2000\nsize = {size}\n"
        )
    };
    let loaded = [1, 2, 4, 8].map(|size| {
        let mut run = Run::text(&text(size), &Wants::default());
        run.enter(Verdict::Continue);
        run.rax()
    });
    let expected = [
        0xaaaa_aaaa_aaaa_aa88,
        0xaaaa_aaaa_aaaa_7788,
        0x5566_7788,
        0x1122_3344_5566_7788,
    ];
    assert_eq!(loaded, expected);
}

#[test]
fn what_the_processor_does_by_itself_goes_through_and_is_told_where_it_is_trapped() {
    let text = "
        [[step]]
        unjudged = 'write'
        gpa = 0x4008
        repeat = 2
        [[step]]
        unjudged = 'write'
        gpa = 0x5000
        [[step]]
        finish = 0
    ";
    let mut run = Run::text(text, &everything());
    let mut told = Vec::new();
    loop {
        run.vcpu.acknowledge_kick();
        match run.vcpu.enter(Verdict::Continue).unwrap() {
            Exit::Kicked => told.extend(run.vcpu.take_unjudged()),
            Exit::Ended(end) => break assert_eq!(end, End::Finished(0)),
            Exit::Event(event) => panic!("{event:?}"),
        }
    }
    let one = Unjudged::one(Some(0x1000), Some(0x4008), Unseen::Unknown);
    assert_eq!(told, [one, one]);
    assert_eq!(run.vcpu.take_unjudged(), None);
}
