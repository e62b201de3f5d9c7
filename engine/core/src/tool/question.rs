//! What of an event is put to a tool. KVMI sends less than a machine may report.

use oriel_protocol::{
    Case, Dialect, EventData, Value,
    events::{Cr, Hypercall, Msr, Xsetbv},
};

/// The one hypercall that KVMI reports: KVM_HC_XEN_HVM_OP with "guest request, VM event"
/// (`KVM_HC_XEN_HVM_OP` 34, `KVM_HC_XEN_HVM_OP_GUEST_REQUEST_VM_EVENT` 24).
const REQUEST: (u64, u64, u64) = (34, 24, 0);

/// The event as the tool is to see it; none if it is not.
pub(super) fn put(case: &Case<'_>, dialect: Dialect) -> Option<EventData> {
    let kind = case.event.kind();
    kind.numbers().of(dialect)?;
    let proposed = match case.proposed {
        Some(Value::Word(word)) => Some(word),
        Some(Value::Leaf(_)) | None => None,
    };
    match (&case.event.data, proposed) {
        (EventData::Cr(Cr { cr, old, .. }), Some(new)) => {
            let (cr, old) = (*cr, *old);
            (old != new).then(|| Cr { cr, old, new }.into())
        }
        (EventData::Msr(Msr { msr, old, .. }), Some(new)) => {
            let (msr, old) = (*msr, *old);
            (old != new).then(|| Msr { msr, old, new }.into())
        }
        (EventData::Xsetbv(Xsetbv { xcr, old, .. }), Some(new)) => {
            let (xcr, old) = (*xcr, *old);
            Some(Xsetbv { xcr, old, new }.into())
        }
        (EventData::Hypercall(Hypercall { number, a, b, .. }), _) => {
            ((*number, *a, *b) == REQUEST).then_some(case.event.data)
        }
        (data, _) => Some(*data),
    }
}

#[cfg(test)]
mod tests {
    use oriel_protocol::{Decision, Event, Moment, Verdict};

    use super::*;

    fn asked(event: &Event, proposed: Option<Value>, dialect: Dialect) -> Option<EventData> {
        let moment = Moment {
            vcpu: 0,
            seq: 1,
            time_ns: 0,
        };
        let case = Case {
            event,
            moment,
            proposed,
            decided: Decision::Continue,
            tag: 0,
        };
        assert!(event.allowed.contains(Verdict::Continue.kind().set()));
        put(&case, dialect)
    }

    fn msr(old: u64, new: u64) -> Msr {
        Msr { msr: 7, old, new }
    }

    #[test]
    fn a_tool_sees_the_value_as_the_judges_before_left_it() {
        let event = crate::test_event(msr(1, 2));
        let seen = asked(&event, Some(Value::Word(3)), Dialect::V7);
        assert_eq!(seen, Some(msr(1, 3).into()));
    }

    #[test]
    fn a_write_that_changes_nothing_is_not_sent() {
        let event = crate::test_event(msr(1, 2));
        assert_eq!(asked(&event, Some(Value::Word(1)), Dialect::V7), None);
    }

    #[test]
    fn only_the_hypercall_of_the_protocol_is_sent() {
        let call = |number| Hypercall {
            number,
            a: 24,
            b: 0,
            c: 9,
        };
        let asked = |number| {
            let event = crate::test_event(call(number));
            asked(&event, event.data.proposed(), Dialect::V7).is_some()
        };
        assert!(asked(34) && !asked(35));
    }

    #[test]
    fn what_a_dialect_lacks_is_not_sent() {
        let cpuid = crate::test_event(oriel_protocol::events::Cpuid {
            function: 1,
            index: 0,
            leaf: Default::default(),
        });
        let proposed = cpuid.data.proposed();
        assert!(asked(&cpuid, proposed, Dialect::V7).is_some());
        assert!(asked(&cpuid, proposed, Dialect::V12).is_none());
    }
}
