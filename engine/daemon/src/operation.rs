//! With which policies a VM begins, and who may change them while it runs: the socket, the watched
//! directory and the kept set, taken together. Nothing here judges a change.

use std::sync::Arc;

use anyhow::Context;
use oriel_engine::{
    VmHandle,
    roster::{Numbered, Numbers},
};
use oriel_machine::Machine;
use oriel_policy::Host;

use crate::{
    control::{Control, Socket},
    output::warn,
    plan::{Plan, StatePlan, WatchPlan},
    state::{self, Committed, StateDirectory},
    steward::{Entry, Live, Member, Steward},
    watch::{self, Watch},
};

/// What is there before the VM starts. What cannot be had is known before a guest runs.
pub(crate) struct Opening {
    /// The policies, in the order in which they are asked, and how far they were counted.
    pub(crate) set: Committed,
    socket: Option<Socket>,
    state: Option<StateDirectory>,
    watch: Option<WatchPlan>,
}

/// Whoever gives orders, for as long as this lives.
#[derive(Default)]
pub(crate) struct Operation {
    // In this order they end: nobody gives an order that nobody answers.
    _watch: Option<Watch>,
    _control: Option<Control>,
}

impl Opening {
    /// Makes ready what the plan asks for.
    pub(crate) fn prepare(plan: &Plan, vm: &str) -> anyhow::Result<Self> {
        let operation = &plan.operation;
        let socket = operation.control.as_deref().map(Socket::bind).transpose()?;
        let state = operation.state.as_ref();
        let directory = state.map(|state| StateDirectory::open(&state.directory, vm));
        let directory = directory.transpose()?;
        let kept = match (&directory, state) {
            (Some(directory), Some(state)) => state::opening(directory, state)?,
            _ => None,
        };
        let set = match (kept, state) {
            (Some(kept), Some(state)) => restored(kept, state),
            _ => Committed {
                members: named(plan)?.into_iter().map(Member::first).collect(),
                ..Committed::default()
            },
        };
        Ok(Self {
            set,
            socket,
            state: directory,
            watch: operation.watch.clone(),
        })
    }

    /// The numbers that were given to revisions before.
    pub(crate) fn numbers(&self) -> Numbers {
        let gone = |newest: &u64| Numbered {
            current: *newest,
            newest: *newest,
        };
        let counts = self.set.counts.iter();
        let mut numbers: Numbers = counts
            .map(|(name, newest)| (name.clone(), gone(newest)))
            .collect();
        for Member { revision, entry } in &self.set.members {
            let known = numbers.entry(entry.name().to_owned()).or_default();
            known.current = *revision;
            known.newest = known.newest.max(*revision);
        }
        numbers
    }

    /// Takes over the policies of the VM that now runs with them.
    pub(crate) fn take_over(
        self,
        host: &Arc<Host>,
        machine: &Arc<dyn Machine>,
        vm: &VmHandle,
    ) -> anyhow::Result<Operation> {
        if self.socket.is_none() && self.state.is_none() && self.watch.is_none() {
            return Ok(Operation::default());
        }
        let live = Live {
            host: host.clone(),
            machine: machine.clone(),
            roster: vm.roster(),
            vm: vm.clone(),
        };
        let steward = Steward::take_over(Box::new(live), machine.clone(), self.set, self.state);
        let steward = Arc::new(steward);
        let control = self
            .socket
            .map(|socket| Control::serve(socket, steward.clone()));
        let watch = self.watch.map(|plan| Watch::start(plan, steward.clone()));
        Ok(Operation {
            _watch: watch.transpose()?,
            _control: control.transpose()?,
        })
    }
}

/// The set that is kept, whatever the configuration names.
fn restored(kept: Committed, state: &StatePlan) -> Committed {
    let names: Vec<_> = kept
        .members
        .iter()
        .map(|member| format!("{} (revision {})", member.entry.name(), member.revision))
        .collect();
    let names = if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    };
    warn(format_args!(
        "oriel: the policies are those last in force, as kept in {}: {names}; those of the configuration are not looked at (`--state-reset`)",
        state.directory.display()
    ));
    kept
}

/// The policies that flags and configuration name, then those of the watched directory.
fn named(plan: &Plan) -> anyhow::Result<Vec<Entry>> {
    let mut policies = Vec::new();
    for policy in &plan.judges.policies {
        let entry = Entry::read(policy.said.clone());
        policies.push(entry.with_context(|| format!("policy {:?} cannot be loaded", policy.name))?);
    }
    let watched = plan.operation.watch.as_ref();
    let watched = watched.map(|watch| watch::opening(&watch.directory));
    for entry in watched.transpose()?.into_iter().flatten() {
        // One that is named in both places is the operator's own words.
        if !policies.iter().any(|named| named.name() == entry.name()) {
            policies.push(entry);
        }
    }
    Ok(policies)
}
