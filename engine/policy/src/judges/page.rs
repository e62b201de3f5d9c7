//! Accesses that a page's rights forbid.

use oriel_protocol::{Access, Case, Only, events::Page};

use super::{
    Moment,
    kind::{Store, kind, verdicts},
};
use crate::bindings::exports::oriel::introspection::judge_page::{self as wit, Touch};

kind!(Page);
verdicts!(Continue Retry Crash Replace Deny Skip Inject Emulate Step);

fn judge(
    guest: &wit::Guest,
    store: &mut Store,
    at: Moment,
    event: &Page,
    case: &Case<'_>,
) -> wasmtime::Result<wit::Verdict> {
    guest.call_judge(
        store,
        at,
        event.gva.unwrap_or(0),
        event.gpa,
        touch(event),
        event.size,
        event.value.unwrap_or(0),
        case.word(),
        case.tag,
    )
}

fn only(filter: &wit::Filter) -> Only {
    Only::Page {
        first: filter.first,
        last: filter.last,
        access: filter.access.into(),
    }
}

/// How the page was touched, and what is known of it.
pub(crate) fn touch(event: &Page) -> Touch {
    let mut touch = Touch::default();
    let mut set = |is: bool, bit| touch |= if is { bit } else { Touch::default() };
    set(event.access.contains(Access::READ), Touch::READ);
    set(event.access.contains(Access::WRITE), Touch::WRITE);
    set(event.access.contains(Access::EXECUTE), Touch::EXECUTE);
    set(event.gva.is_some(), Touch::GVA_KNOWN);
    set(event.value.is_some(), Touch::VALUE_KNOWN);
    touch
}
