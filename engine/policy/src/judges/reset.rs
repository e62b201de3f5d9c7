//! Resets.

use oriel_protocol::{Case, Only, events::Reset};

use super::{
    Moment,
    kind::{Store, kind, verdicts},
};
use crate::bindings::exports::oriel::introspection::judge_reset as wit;

kind!(Reset);
verdicts!(Continue Crash);

fn judge(
    guest: &wit::Guest,
    store: &mut Store,
    at: Moment,
    _: &Reset,
    _: &Case<'_>,
) -> wasmtime::Result<wit::Verdict> {
    guest.call_judge(store, at)
}

fn only(_: &wit::Filter) -> Only {
    Only::Any
}
