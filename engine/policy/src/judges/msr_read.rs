//! Reads of model-specific registers.

use oriel_protocol::{Case, Only, events::MsrRead};

use super::{
    Moment,
    kind::{Store, kind, numbers, verdicts},
};
use crate::bindings::exports::oriel::introspection::judge_msr_read as wit;

kind!(MsrRead);
verdicts!(Continue Retry Crash Replace Deny Skip Inject);

fn judge(
    guest: &wit::Guest,
    store: &mut Store,
    at: Moment,
    event: &MsrRead,
    case: &Case<'_>,
) -> wasmtime::Result<wit::Verdict> {
    guest.call_judge(store, at, event.msr, event.value, case.word())
}

fn only(filter: &wit::Filter) -> Only {
    numbers(filter.first, filter.last)
}
