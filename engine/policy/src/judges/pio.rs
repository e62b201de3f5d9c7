//! Port input and output.

use oriel_protocol::{Case, Only, events::Pio};

use super::{
    Moment,
    kind::{Store, kind, verdicts},
};
use crate::bindings::exports::oriel::introspection::judge_pio as wit;

kind!(Pio);
verdicts!(Continue Retry Crash Replace Deny Skip Inject);

fn judge(
    guest: &wit::Guest,
    store: &mut Store,
    at: Moment,
    event: &Pio,
    case: &Case<'_>,
) -> wasmtime::Result<wit::Verdict> {
    guest.call_judge(
        store,
        at,
        event.port,
        event.write,
        event.size,
        event.count,
        event.value,
        case.word(),
    )
}

fn only(filter: &wit::Filter) -> Only {
    Only::Io {
        first: filter.first.into(),
        last: filter.last.into(),
        reads: filter.reads,
        writes: filter.writes,
    }
}
