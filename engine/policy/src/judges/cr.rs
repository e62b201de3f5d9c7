//! Writes to control registers.

use oriel_protocol::{Case, Only, events::Cr};

use super::{
    Moment,
    kind::{Store, kind, verdicts},
};
use crate::bindings::exports::oriel::introspection::judge_cr as wit;

kind!(Cr);
verdicts!(Continue Retry Crash Replace Deny Skip Inject);

fn judge(
    guest: &wit::Guest,
    store: &mut Store,
    at: Moment,
    event: &Cr,
    case: &Case<'_>,
) -> wasmtime::Result<wit::Verdict> {
    guest.call_judge(store, at, event.cr, event.old, event.new, case.word())
}

fn only(filter: &wit::Filter) -> Only {
    Only::Cr {
        cr: filter.cr,
        changed: filter.changed,
    }
}
