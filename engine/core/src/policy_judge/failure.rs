//! What stands in for the verdict of a policy that failed.

use oriel_policy::FailureMode;
use oriel_protocol::{Event, Value, Verdict, VerdictSet};

/// The verdict of this failure mode.
///
/// `closed` denies; where the event cannot be denied it keeps the old value of a register; where
/// there is none, the VM is stopped with a report. `pause` needs the operator's word for it; as
/// long as there is none it is `closed`.
pub(crate) fn verdict(mode: FailureMode, event: &Event) -> Verdict {
    match mode {
        FailureMode::Open => Verdict::Continue,
        FailureMode::Closed | FailureMode::Pause => closed(event),
    }
}

fn closed(event: &Event) -> Verdict {
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
    fn open_lets_it_happen() {
        let event = crate::test_event(Msr {
            msr: 1,
            old: 5,
            new: 6,
        });
        assert_eq!(verdict(FailureMode::Open, &event), Verdict::Continue);
    }
}
