//! Writes to model-specific registers.

use oriel_protocol::{Case, Only, events::Msr};

use super::{
    Moment,
    kind::{Store, kind, numbers, verdicts},
};
use crate::bindings::exports::oriel::introspection::judge_msr as wit;

kind!(Msr);
verdicts!(Continue Retry Crash Replace Deny Skip Inject);

fn judge(
    guest: &wit::Guest,
    store: &mut Store,
    at: Moment,
    event: &Msr,
    case: &Case<'_>,
) -> wasmtime::Result<wit::Verdict> {
    guest.call_judge(store, at, event.msr, event.old, event.new, case.word())
}

fn only(filter: &wit::Filter) -> Only {
    numbers(filter.first, filter.last)
}
