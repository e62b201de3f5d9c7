//! What a policy may see and do: imports and exports, the manifest, the grant and the machine laid
//! beside each other. It decides nothing; it shows what loading has decided.

use anyhow::Context;
use oriel_engine::roster::Posted;
use oriel_machine::Machine;
use oriel_policy::{Effective, Standing, inspect};
use oriel_protocol::{Bounds, EventKind, Right};
use serde::Serialize;

use super::Entry;
use crate::{load, plan::PolicyPlan};

/// What a policy may see and do.
#[derive(Debug, Serialize)]
pub(crate) struct Explanation {
    name: String,
    revision: u64,
    rights: Vec<Row>,
    events: Vec<Row>,
    /// What narrows them, if anything does.
    #[serde(skip_serializing_if = "Option::is_none")]
    within: Option<Bounds>,
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
    fn new<T>(name: &'static str, standing: &Standing<T>, machine: bool) -> Self {
        let no = standing.no.iter().map(|says| says.name());
        let missing: Vec<_> = no.chain((!machine).then_some("machine")).collect();
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
        let effective = Effective::of(&inspection, &load::granted(&plan, &inspection));
        let right = |one: &Standing<Right>| Row::new(one.what.name(), one, true);
        let event = |one: &Standing<EventKind>| {
            let reported = machine.capabilities().reports(one.what);
            Row::new(one.what.name(), one, reported)
        };
        Ok(Self {
            name: posted.name.clone(),
            revision: posted.revision,
            rights: effective.rights.iter().map(right).collect(),
            events: effective.events.iter().map(event).collect(),
            within: effective.bounds.as_deref().cloned(),
        })
    }
}
