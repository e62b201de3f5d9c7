//! Hypercalls.

use oriel_protocol::{Case, Only, events::Hypercall};

use super::{
    Moment,
    kind::{Store, kind, numbers, verdicts},
};
use crate::bindings::exports::oriel::introspection::judge_hypercall as wit;

kind!(Hypercall);
verdicts!(Continue Retry Crash Replace Deny Skip Inject);

fn judge(
    guest: &wit::Guest,
    store: &mut Store,
    at: Moment,
    event: &Hypercall,
    _: &Case<'_>,
) -> wasmtime::Result<wit::Verdict> {
    guest.call_judge(store, at, event.number, event.a, event.b, event.c)
}

fn only(filter: &wit::Filter) -> Only {
    numbers(filter.first, filter.last)
}
