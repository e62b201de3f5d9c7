//! Which verdicts an event can take, and what stands in for those that it cannot.

use std::mem::discriminant;

use oriel_protocol::{Event, Value, Verdict, VerdictSet};

/// What a judge that has failed is taken to have said.
pub(super) fn closed(event: &Event) -> Verdict {
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

/// Whether the event can take it, with a value of the right sort.
pub(super) fn can_take(event: &Event, verdict: &Verdict) -> bool {
    let fits = match verdict {
        Verdict::Replace(value) => {
            let own = event.data.proposed();
            own.is_none_or(|own| discriminant(&own) == discriminant(value))
        }
        Verdict::Emulate(bytes) => bytes.len() <= Verdict::EMULATE_MAX,
        Verdict::Continue | Verdict::Crash => return true,
        Verdict::Retry | Verdict::Deny | Verdict::Skip | Verdict::Inject(_) | Verdict::Step => true,
    };
    fits && event.allowed.contains(verdict.kind().set())
}
