//! What stands in for the verdict of a judge that failed.

use oriel_policy::FailureMode;
use oriel_protocol::{Event, Value, Verdict, VerdictSet};

use crate::judge::{Lapse, Ruling};

/// The verdict of this failure mode.
///
/// `closed` denies; where the event cannot be denied it keeps the old value of a register; where
/// there is none, the VM is stopped with a report. So does `pause`, once nobody is waited for. With
/// `open` and with `detach` the event happens.
pub(crate) fn verdict(mode: FailureMode, event: &Event) -> Verdict {
    match mode {
        FailureMode::Open | FailureMode::Detach => Verdict::Continue,
        FailureMode::Closed | FailureMode::Pause => closed(event),
    }
}

/// The verdict of a judge that must not be passed over.
pub(crate) fn closed(event: &Event) -> Verdict {
    if event.allowed.contains(VerdictSet::DENY) {
        return Verdict::Deny;
    }
    match event.data.old() {
        Some(old) if event.allowed.contains(VerdictSet::REPLACE) => {
            Verdict::Replace(Value::Word(old))
        }
        Some(_) | None => Verdict::Crash,
    }
}

/// A verdict that the event cannot take is no answer: the judge has failed, and is not passed over.
pub(crate) fn lawful(ruling: Ruling, event: &Event) -> Ruling {
    if can_take(event, ruling.verdict()) {
        return ruling;
    }
    let name = ruling.verdict().kind().name();
    let reason = format!("it answered `{name}`, which this event cannot take");
    Ruling::lapsed(
        closed(event),
        Lapse {
            reason,
            quarantined: false,
        },
    )
}

fn can_take(event: &Event, verdict: &Verdict) -> bool {
    let fits = match verdict {
        Verdict::Replace(value) => {
            let sort = std::mem::discriminant::<Value>;
            event
                .data
                .proposed()
                .is_none_or(|proposed| sort(&proposed) == sort(value))
        }
        Verdict::Emulate(bytes) => bytes.len() <= Verdict::EMULATE_MAX,
        Verdict::Continue | Verdict::Crash => return true,
        Verdict::Retry | Verdict::Deny | Verdict::Skip | Verdict::Inject(_) | Verdict::Step => true,
    };
    fits && event.allowed.contains(verdict.kind().set())
}

#[cfg(test)]
mod tests {
    use oriel_protocol::events::{Msr, Shutdown, ShutdownCause};

    use super::*;

    #[test]
    fn closed_denies_or_keeps_or_stops() {
        let mut event = crate::test_event(Msr {
            msr: 1,
            old: 5,
            new: 6,
        });
        assert_eq!(verdict(FailureMode::Closed, &event), Verdict::Deny);
        event.allowed = VerdictSet::CONTINUE | VerdictSet::REPLACE;
        assert_eq!(
            verdict(FailureMode::Closed, &event),
            Verdict::Replace(Value::Word(5))
        );
        let shutdown = crate::test_event(Shutdown {
            cause: ShutdownCause::Request,
        });
        assert_eq!(verdict(FailureMode::Closed, &shutdown), Verdict::Crash);
    }

    #[test]
    fn a_verdict_that_the_event_cannot_take_is_no_answer() {
        let write = crate::test_event(Msr {
            msr: 1,
            old: 5,
            new: 6,
        });
        let leaf = Verdict::Replace(Value::Leaf(oriel_protocol::x86::CpuidLeaf::default()));
        for verdict in [Verdict::Step, leaf, Verdict::Emulate(Box::new([0]))] {
            let ruling = lawful(verdict.into(), &write);
            assert_eq!(ruling.verdict(), &Verdict::Deny);
            assert!(ruling.failure().is_some());
        }
        let lawful = lawful(Verdict::Replace(Value::Word(7)).into(), &write);
        assert_eq!(lawful, Verdict::Replace(Value::Word(7)).into());
    }

    #[test]
    fn open_lets_it_happen() {
        let event = crate::test_event(Msr {
            msr: 1,
            old: 5,
            new: 6,
        });
        assert_eq!(verdict(FailureMode::Open, &event), Verdict::Continue);
    }
}
