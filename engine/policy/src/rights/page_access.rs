//! Says which accesses to a page are let through without an event.

use oriel_protocol::{
    self as table,
    commands::vm::{GetPageAccess, PageRule, SetPageAccess},
};

use crate::{
    bindings::oriel::introspection::{
        page_access::Host,
        types::{Access, Refusal},
    },
    state::State,
};

/// The only view that policies know.
const VIEW: u16 = 0;

impl Host for State {
    fn get(&mut self, gpa: u64) -> Result<Access, Refusal> {
        let gpas = vec![gpa];
        let access = self.vm(GetPageAccess { view: VIEW, gpas })?;
        let first = access.first().ok_or(table::Refusal::NotFound)?;
        Ok((*first).into())
    }

    fn set(&mut self, gpa: u64, allowed: Access, tag: u64) -> Result<(), Refusal> {
        let allowed = allowed.into();
        let entries = vec![PageRule { gpa, allowed, tag }];
        Ok(self.vm(SetPageAccess {
            view: VIEW,
            entries,
        })?)
    }
}
