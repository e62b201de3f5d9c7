//! What is to be run: flags and configuration resolved and checked. Nothing is opened here but
//! the files that the operator named.

mod conditions;
mod operation;
mod policy;
mod room;
mod settings;

use std::{path::PathBuf, time::Duration};

use anyhow::Context;
use uuid::Uuid;

use crate::{
    args::{MachineKind, RunArgs},
    audit::AuditPlan,
    config::Config,
    record::RecordPlan,
    tools::{self, ToolPlan},
};
pub(crate) use conditions::Conditions;
pub(crate) use operation::{Operation, StatePlan, WatchPlan};
pub(crate) use policy::{PolicyPlan, named, table, to_explain};
pub(crate) use room::Room;
pub(crate) use settings::settings;

/// What was typed makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(String);

impl Usage {
    pub(crate) fn new(words: &str) -> Self {
        Self(words.to_owned())
    }
}

/// What is to be run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) machine: MachineKind,
    pub(crate) guest: String,
    pub(crate) initrd: Option<PathBuf>,
    pub(crate) cmdline: Option<String>,
    /// What is typed on the serial line.
    pub(crate) input: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) uuid: Option<Uuid>,
    pub(crate) vcpus: Option<u32>,
    pub(crate) memory_mib: Option<u64>,
    pub(crate) events: Option<String>,
    pub(crate) serial: String,
    pub(crate) audit: Option<AuditPlan>,
    pub(crate) record: Option<RecordPlan>,
    pub(crate) judges: Judges,
    pub(crate) operation: Operation,
}

/// Who watches.
#[derive(Debug, Default)]
pub(crate) struct Judges {
    pub(crate) policies: Vec<PolicyPlan>,
    pub(crate) tools: Vec<ToolPlan>,
    /// How long the guest is held for the tools to be ready.
    pub(crate) tool_wait: Duration,
    /// What policies have together.
    pub(crate) room: Room,
}

impl Plan {
    /// Resolves what was typed, and the configuration that it names.
    pub(crate) fn resolve(args: RunArgs) -> anyhow::Result<Self> {
        let config = match &args.config {
            Some(path) => Config::load(path)?,
            None => Config::default(),
        };
        let watch = args.watch;
        let said = policy::said(config.policies, &watch.policies, &watch.grants)?;
        let policies = policy::configured(said, &watch.policy_configs)?;
        let tools = tools::plans(config.tools, &watch.tools)?;
        let vm = config.vm;
        let room = Room::configured(&vm)?;
        let operation = Operation::resolve(watch.operation, &vm)?;
        let tool_wait = match watch.tools.tool_wait {
            Some(typed) => typed,
            None => Duration::try_from_secs_f64(vm.tool_wait.unwrap_or(0.0))
                .context("[vm] tool-wait is a number of seconds")?,
        };
        let events = watch.events.or(vm.events);
        let serial = args
            .serial
            .or(vm.serial)
            .unwrap_or_else(|| default_serial(events.as_deref()).to_owned());
        let plan = Self {
            machine: args
                .machine
                .or(vm.machine)
                .ok_or_else(|| Usage("no machine: add `--machine kvm|mock`".to_owned()))?,
            guest: args
                .guest
                .or(vm.guest)
                .ok_or_else(|| Usage("no guest: add `--guest builtin:NAME|FILE`".to_owned()))?,
            initrd: args.initrd.or(vm.initrd),
            cmdline: args.cmdline.or(vm.cmdline),
            input: args.input.or(vm.input),
            name: args.name.or(vm.name),
            uuid: vm.uuid,
            vcpus: args.vcpus.or(vm.vcpus),
            memory_mib: args.memory.or(vm.memory_mib),
            events,
            serial,
            audit: AuditPlan::resolve(watch.audit, watch.audit_full, vm.audit),
            record: RecordPlan::resolve(watch.record, vm.record),
            judges: Judges {
                policies,
                tools,
                tool_wait,
                room,
            },
            operation,
        };
        plan.check_devices()?;
        Ok(plan)
    }

    /// A script has no kernel and no serial line to type on.
    fn check_devices(&self) -> Result<(), Usage> {
        let given = [
            ("--initrd", self.initrd.is_some()),
            ("--cmdline", self.cmdline.is_some()),
            ("--input", self.input.is_some()),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            Some((flag, _)) if self.machine == MachineKind::Mock => Err(Usage(format!(
                "{flag} is for guests of the kvm machine: leave it out, or add `--machine kvm`"
            ))),
            Some(_) | None => Ok(()),
        }
    }
}

/// Event lines and the guest's words do not share a stream.
fn default_serial(events: Option<&str>) -> &'static str {
    if events == Some("-") {
        "stderr"
    } else {
        "stdout"
    }
}

pub(crate) fn split<'a>(typed: &'a str, usage: &str) -> anyhow::Result<(&'a str, &'a str)> {
    typed
        .split_once('=')
        .ok_or_else(|| Usage(format!("{typed:?}: write `{usage}`")).into())
}

#[cfg(test)]
mod tests;
