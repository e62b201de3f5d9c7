//! Writes to extended control registers.

use oriel_protocol::{Case, Only, events::Xsetbv};

use super::{
    Moment,
    kind::{Store, kind, numbers, verdicts},
};
use crate::bindings::exports::oriel::introspection::judge_xsetbv as wit;

kind!(Xsetbv);
verdicts!(Continue Retry Crash Replace Deny Skip Inject);

fn judge(
    guest: &wit::Guest,
    store: &mut Store,
    at: Moment,
    event: &Xsetbv,
    case: &Case<'_>,
) -> wasmtime::Result<wit::Verdict> {
    guest.call_judge(store, at, event.xcr, event.old, event.new, case.word())
}

fn only(filter: &wit::Filter) -> Only {
    numbers(filter.xcr, filter.xcr)
}
