//! Single steps.

use oriel_protocol::{Case, Only, events::Singlestep};

use super::{
    Moment,
    kind::{Store, kind, verdicts},
};
use crate::bindings::exports::oriel::introspection::judge_singlestep as wit;

kind!(Singlestep);
verdicts!(Continue Crash Inject);

fn judge(
    guest: &wit::Guest,
    store: &mut Store,
    at: Moment,
    event: &Singlestep,
    _: &Case<'_>,
) -> wasmtime::Result<wit::Verdict> {
    guest.call_judge(store, at, event.failed)
}

fn only(_: &wit::Filter) -> Only {
    Only::Any
}
