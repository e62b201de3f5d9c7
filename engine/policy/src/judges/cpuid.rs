//! CPUID.

use oriel_protocol::{Case, Only, Value, events::Cpuid};

use super::{
    Moment,
    kind::{Store, kind, numbers, verdicts},
};
use crate::bindings::exports::oriel::introspection::judge_cpuid::{self as wit, CpuidLeaf};

kind!(Cpuid);
verdicts!(Continue Retry Crash Replace Deny Skip Inject);

fn judge(
    guest: &wit::Guest,
    store: &mut Store,
    at: Moment,
    event: &Cpuid,
    case: &Case<'_>,
) -> wasmtime::Result<wit::Verdict> {
    guest.call_judge(
        store,
        at,
        event.function,
        event.index,
        proposed(event, case),
    )
}

fn only(filter: &wit::Filter) -> Only {
    numbers(filter.first, filter.last)
}

/// The leaf as the judges before this one left it.
fn proposed(event: &Cpuid, case: &Case<'_>) -> CpuidLeaf {
    match case.proposed {
        Some(Value::Leaf(leaf)) => leaf.into(),
        Some(Value::Word(_)) | None => event.leaf.into(),
    }
}
