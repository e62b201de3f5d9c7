//! Accesses to guest-physical memory that is not RAM.

use oriel_protocol::{Case, Only, events::Mmio};

use super::{
    Moment,
    kind::{Store, kind, verdicts},
};
use crate::bindings::exports::oriel::introspection::judge_mmio as wit;

kind!(Mmio);
verdicts!(Continue Retry Crash Replace Deny Skip Inject);

fn judge(
    guest: &wit::Guest,
    store: &mut Store,
    at: Moment,
    event: &Mmio,
    case: &Case<'_>,
) -> wasmtime::Result<wit::Verdict> {
    guest.call_judge(
        store,
        at,
        event.gpa,
        event.write,
        event.size,
        event.value,
        case.word(),
    )
}

fn only(filter: &wit::Filter) -> Only {
    Only::Io {
        first: filter.first,
        last: filter.last,
        reads: filter.reads,
        writes: filter.writes,
    }
}
