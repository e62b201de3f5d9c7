//! Descriptor tables stored or loaded.

use oriel_protocol::{Case, Only, events::Descriptor};

use super::{
    Moment,
    kind::{Store, kind, verdicts},
};
use crate::bindings::exports::oriel::introspection::judge_descriptor as wit;

kind!(Descriptor);
verdicts!(Continue Retry Crash Deny Skip Inject);

fn judge(
    guest: &wit::Guest,
    store: &mut Store,
    at: Moment,
    event: &Descriptor,
    _: &Case<'_>,
) -> wasmtime::Result<wit::Verdict> {
    guest.call_judge(store, at, event.table.into(), event.write)
}

fn only(filter: &wit::Filter) -> Only {
    Only::Table {
        table: filter.table.into(),
        reads: filter.reads,
        writes: filter.writes,
    }
}
