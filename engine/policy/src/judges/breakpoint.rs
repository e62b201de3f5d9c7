//! Breakpoints.

use oriel_protocol::{Case, Only, events::Breakpoint};

use super::{
    Moment,
    kind::{Store, kind, verdicts},
};
use crate::bindings::exports::oriel::introspection::judge_breakpoint as wit;

kind!(Breakpoint);
verdicts!(Continue Retry Crash Deny Skip Inject);

fn judge(
    guest: &wit::Guest,
    store: &mut Store,
    at: Moment,
    event: &Breakpoint,
    case: &Case<'_>,
) -> wasmtime::Result<wit::Verdict> {
    guest.call_judge(
        store,
        at,
        event.gva,
        event.gpa,
        event.length,
        event.managed,
        case.tag,
    )
}

fn only(filter: &wit::Filter) -> Only {
    Only::Breakpoint {
        first_tag: filter.first_tag,
        last_tag: filter.last_tag,
        unmanaged: filter.unmanaged,
    }
}
