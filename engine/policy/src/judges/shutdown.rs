//! Shutdowns.

use oriel_protocol::{Case, Only, events::Shutdown};

use super::{
    Moment,
    kind::{Store, kind, verdicts},
};
use crate::bindings::exports::oriel::introspection::judge_shutdown as wit;

kind!(Shutdown);
verdicts!(Continue Crash);

fn judge(
    guest: &wit::Guest,
    store: &mut Store,
    at: Moment,
    event: &Shutdown,
    _: &Case<'_>,
) -> wasmtime::Result<wit::Verdict> {
    guest.call_judge(store, at, event.cause.into())
}

fn only(_: &wit::Filter) -> Only {
    Only::Any
}
