//! What a policy has paused goes on when its call has ended, however it ends.

use oriel_machine::{
    End,
    mock::{Scenario, Step},
};
use oriel_protocol::{EventKind, Right, x86::msr};
use oriel_tests::{CallEnds, FOREVER, load};

use super::{SHORT, with_time};

/// vCPU 0 is judged while vCPU 1 runs; then vCPU 1 has something to do, or nobody finishes.
fn one_after_the_other() -> Scenario {
    Scenario::new("one-after-the-other")
        .vcpus(2)
        .step(Step::write_msr(msr::STAR, 7).on(0))
        .step(Step::signal("judged").on(0))
        .step(Step::wait_for("judged").on(1))
        .step(Step::signal("went-on").on(1))
        .step(Step::wait_for("went-on").on(0))
        .step(Step::finish(0).on(0))
}

#[test]
fn a_pause_ends_with_the_call_that_made_it_with_its_trap_or_its_deadline() {
    for ends in CallEnds::ALL {
        let mut pauser = load(ends.name())
            .right(Right::Control)
            .hears(&[EventKind::Msr]);
        pauser.limits.event = if ends == CallEnds::Deadline {
            SHORT
        } else {
            FOREVER
        };
        let host = oriel_tests::host();
        let ran = with_time(
            FOREVER,
            &one_after_the_other(),
            vec![pauser.candidate(&host)],
        );
        assert_eq!(ran.outcome.end, End::Finished(0), "{ends:?}");
        let failed: Vec<_> = ran.failures().iter().map(|one| &*one.failure).collect();
        let expected = match ends {
            CallEnds::Return => None,
            CallEnds::Trap => Some("unreachable"),
            CallEnds::Deadline => Some("CPU time"),
        };
        assert_eq!(failed.len(), usize::from(expected.is_some()), "{failed:?}");
        let told = expected.is_none_or(|words| failed[0].contains(words));
        assert!(told, "{ends:?}: {failed:?}");
    }
}
