//! What a policy may see and do: imports and exports, the manifest, the grant and the machine laid
//! beside each other. It decides nothing; it shows what loading has decided.

use anyhow::Context;
use oriel_engine::roster::Posted;
use oriel_machine::Machine;
use oriel_policy::{Inspection, inspect};
use oriel_protocol::{EventKind, EventSet, Right};
use serde::Serialize;

use super::Entry;
use crate::plan::{GrantPlan, PolicyPlan};

/// What a policy may see and do.
#[derive(Debug, Serialize)]
pub(crate) struct Explanation {
    name: String,
    revision: u64,
    rights: Vec<Row>,
    events: Vec<Row>,
}

/// One right, or one kind of event.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Row {
    name: &'static str,
    effective: bool,
    /// Who says no: its `imports` or `exports`, its `manifest`, the `grant`, or the `machine`.
    missing: Vec<&'static str>,
}

impl Row {
    fn new<const N: usize>(name: &'static str, says: [(&'static str, bool); N]) -> Self {
        let no = says.into_iter().filter(|(_, yes)| !yes);
        let missing: Vec<_> = no.map(|(who, _)| who).collect();
        Self {
            name,
            effective: missing.is_empty(),
            missing,
        }
    }
}

impl Explanation {
    pub(super) fn of(
        posted: &Posted,
        entry: &Entry,
        machine: &dyn Machine,
    ) -> anyhow::Result<Self> {
        let plan = PolicyPlan::configured(entry.said.clone())?;
        let inspection = inspect(&entry.code).context("its code cannot be read")?;
        let right = |&right: &Right| right_row(right, plan.grant.as_ref(), &inspection);
        let event = |&kind: &EventKind| event_row(kind, &plan, &inspection, machine);
        Ok(Self {
            name: posted.name.clone(),
            revision: posted.revision,
            rights: Right::ALL.iter().map(right).collect(),
            events: EventKind::ALL.iter().map(event).collect(),
        })
    }
}

fn right_row(right: Right, grant: Option<&GrantPlan>, code: &Inspection) -> Row {
    let declared = code.manifest.rights.as_ref();
    let granted = grant.map_or(Right::DEFAULT, |grant| &grant.rights);
    // The log is everybody's.
    let log = right == Right::Log;
    Row::new(
        right.name(),
        [
            ("imports", code.asks.contains(&right)),
            (
                "manifest",
                log || declared.is_none_or(|all| all.contains(&right)),
            ),
            ("grant", log || granted.contains(&right)),
        ],
    )
}

fn event_row(kind: EventKind, plan: &PolicyPlan, code: &Inspection, machine: &dyn Machine) -> Row {
    // What it observes is known to nobody but itself.
    let observes = code.exports.iter().any(|interface| interface == "observe");
    let granted = plan.grant.as_ref().and_then(|grant| grant.events);
    let granted = granted.unwrap_or_else(EventSet::all);
    Row::new(
        kind.name(),
        [
            ("exports", observes || code.hears.contains(kind)),
            ("grant", granted.contains(kind)),
            ("machine", machine.capabilities().reports(kind)),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_no_is_named() {
        let row = Row::new("alert", [("imports", true), ("grant", false)]);
        assert_eq!((row.effective, row.missing), (false, vec!["grant"]));
        assert!(Row::new("alert", [("imports", true)]).effective);
    }
}
