//! Exceptions delivered after Oriel injected one.

use oriel_protocol::{Case, Only, events::Trap};

use super::{
    Moment,
    kind::{Store, kind, numbers, verdicts},
};
use crate::bindings::exports::oriel::introspection::judge_trap as wit;

kind!(Trap);
verdicts!(Continue Crash);

fn judge(
    guest: &wit::Guest,
    store: &mut Store,
    at: Moment,
    event: &Trap,
    _: &Case<'_>,
) -> wasmtime::Result<wit::Verdict> {
    guest.call_judge(store, at, event.vector, event.error_code, event.address)
}

fn only(filter: &wit::Filter) -> Only {
    numbers(filter.first, filter.last)
}
