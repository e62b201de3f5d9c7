//! Accesses that nobody could judge: the engine counts them and tells the operator.

use oriel_engine::{Candidate, Desk, Judge, Ruling};
use oriel_guests::PAGE;
use oriel_machine::{
    End,
    mock::{Scenario, Step},
};
use oriel_protocol::{
    Access, Case, EventKind, Gpa,
    commands::vm::{PageRule, SetPageAccess},
    page::frame,
};
use oriel_tests::{Ran, native, play};

use crate::kvm::{guest, kvm, watch};

/// Lets nothing but reading and executing through at one page, and judges nothing.
struct Pins(Gpa);

impl Judge for Pins {
    fn judge(&mut self, _: &Case<'_>, desk: Box<Desk>) -> (Ruling, Box<Desk>) {
        (Ruling::CONTINUE, desk)
    }

    fn ready(&mut self, mut desk: Box<Desk>) -> (Ruling, Box<Desk>) {
        let rule = PageRule {
            gpa: self.0,
            allowed: Access::READ | Access::EXECUTE,
            tag: 1,
        };
        let entries = vec![rule];
        assert_eq!(desk.vm(SetPageAccess { view: 0, entries }), Ok(()));
        (Ruling::CONTINUE, desk)
    }
}

fn pins(gpa: Gpa) -> Candidate {
    Candidate {
        make: Box::new(move |_, _| -> Box<dyn Judge> { Box::new(Pins(gpa)) }),
        ..native("pins", &[EventKind::Page], |_, _| {
            unreachable!("Pins judges")
        })
    }
}

fn field(ran: &Ran, alert: usize, name: &str) -> Option<String> {
    oriel_tests::field(ran.alerts()[alert], name).map(str::to_owned)
}

/// How many accesses the alerts tell of, all together.
fn told(ran: &Ran) -> u64 {
    let counts = (0..ran.alerts().len()).map(|alert| field(ran, alert, "count"));
    counts
        .map(|count| count.expect("a count").parse::<u64>().expect("a number"))
        .sum()
}

#[test]
fn what_goes_through_unjudged_is_an_alert_at_once_and_none_is_left_out_of_the_count() {
    let passes = |access| Step::unjudged(access, 0x5008);
    let scenario = Scenario::new("by-itself")
        .step(passes(Access::READ))
        .step(passes(Access::WRITE).times(40))
        .step(Step::finish(0));
    let ran = play(&scenario, vec![pins(0x5000)]);
    assert_eq!(
        (ran.outcome.end.clone(), ran.outcome.unjudged),
        (End::Finished(0), 40)
    );
    let alerts = ran.alerts();
    assert!(
        alerts
            .iter()
            .all(|alert| alert.judge.is_none() && alert.moment.vcpu == 0)
    );
    assert_eq!(field(&ran, 0, "count").as_deref(), Some("1"), "at once");
    assert_eq!(field(&ran, 0, "gpa").as_deref(), Some("0x5008"));
    assert_eq!(field(&ran, 0, "ip").as_deref(), Some("0x1000"));
    assert_eq!(told(&ran), 40);
    assert_eq!(
        field(&ran, alerts.len() - 1, "total").as_deref(),
        Some("40")
    );
}

#[test]
fn where_all_can_be_judged_there_is_no_alert() {
    let scenario = Scenario::new("elsewhere")
        .step(Step::unjudged(Access::WRITE, 0x6000))
        .step(Step::finish(0));
    let ran = play(&scenario, vec![pins(0x5000)]);
    assert_eq!((ran.outcome.unjudged, ran.alerts().len()), (0, 0));
}

#[test]
fn user_code_that_this_host_cannot_stop_is_told_of() {
    if !kvm() {
        return;
    }
    // The page holds no code: the call at the end of the guest leaves by a fault, after its work.
    let ran = watch(guest("user-pages", 1), vec![pins(PAGE)]);
    assert_eq!(told(&ran), ran.outcome.unjudged);
    if ran.outcome.unjudged == 0 {
        return eprintln!("SKIPPED: this host stops user code behind each instruction");
    }
    assert_eq!(field(&ran, 0, "why").as_deref(), Some("open"));
    let gpa = field(&ran, 0, "gpa").expect("it is known");
    let gpa = u64::from_str_radix(gpa.trim_start_matches("0x"), 16).expect("hexadecimal");
    assert_eq!(frame(gpa), frame(PAGE));
}
