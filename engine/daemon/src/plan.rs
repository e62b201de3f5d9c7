//! What is to be run: flags and configuration resolved and checked. Nothing is opened here but
//! the files that the operator named.

mod conditions;
mod operation;
mod room;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use oriel_policy::Setting;
use uuid::Uuid;

use crate::{
    args::{ExplainArgs, MachineKind, RunArgs},
    audit::AuditPlan,
    config::{Config, GrantConfig, PolicyConfig},
    grants::GrantPlan,
    record::RecordPlan,
    tools::{self, ToolPlan},
};
pub(crate) use conditions::Conditions;
pub(crate) use room::Room;

pub(crate) use operation::{Operation, StatePlan, WatchPlan};

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

/// A policy to be loaded.
#[derive(Clone, Debug)]
pub(crate) struct PolicyPlan {
    pub(crate) name: String,
    pub(crate) file: PathBuf,
    /// None: the default grant.
    pub(crate) grant: Option<GrantPlan>,
    pub(crate) config: BTreeMap<String, Setting>,
    /// What it may use, and what answers when it fails.
    pub(crate) conditions: Conditions,
    /// All this in the operator's words, for whoever keeps or shows it.
    pub(crate) said: PolicyConfig,
}

impl Plan {
    /// Resolves what was typed, and the configuration that it names.
    pub(crate) fn resolve(args: RunArgs) -> anyhow::Result<Self> {
        let config = match &args.config {
            Some(path) => Config::load(path)?,
            None => Config::default(),
        };
        let watch = args.watch;
        let said = said(config.policies, &watch.policies, &watch.grants)?;
        let policies = configured(said, &watch.policy_configs)?;
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

/// What is said of the policies of the configuration, then of those of the command line, each with
/// its name and the grant that was typed.
fn said(
    configured: Vec<PolicyConfig>,
    typed: &[String],
    grants: &[String],
) -> anyhow::Result<Vec<PolicyConfig>> {
    let typed = typed.iter().map(|typed| PolicyConfig::typed(typed));
    let mut said: Vec<_> = configured.into_iter().chain(typed).collect();
    for policy in &mut said {
        policy.name = Some(named(policy.name.take(), &policy.file)?);
    }
    for typed in grants {
        let (name, list) = split(typed, "--grant NAME=LIST|all")?;
        find(&mut said, name, "--grant")?.grant = Some(GrantConfig::typed(list));
    }
    Ok(said)
}

/// The policies, with the configurations that were typed.
fn configured(mut said: Vec<PolicyConfig>, configs: &[String]) -> anyhow::Result<Vec<PolicyPlan>> {
    for typed in configs {
        let (name, file) = split(typed, "--policy-config NAME=FILE")?;
        find(&mut said, name, "--policy-config")?.config = table(Path::new(file))?;
    }
    said.into_iter().map(PolicyPlan::configured).collect()
}

/// The one policy that is to be explained.
pub(crate) fn policy(args: &ExplainArgs) -> anyhow::Result<PolicyPlan> {
    let config = args.config.as_deref().map(Config::load).transpose()?;
    let configured = config.unwrap_or_default().policies;
    let mut all = said(configured, &args.policies, &args.grants)?;
    PolicyPlan::configured(find(&mut all, &args.name, "`oriel policy explain`")?.clone())
}

/// Event lines and the guest's words do not share a stream.
fn default_serial(events: Option<&str>) -> &'static str {
    if events == Some("-") {
        "stderr"
    } else {
        "stdout"
    }
}

impl PolicyConfig {
    /// `[NAME=]FILE.wasm`; the name is the file's without it.
    pub(crate) fn typed(typed: &str) -> Self {
        let (name, file) = match typed.split_once('=') {
            Some((name, file)) => (Some(name.to_owned()), PathBuf::from(file)),
            None => (None, PathBuf::from(typed)),
        };
        Self::of(name, file)
    }

    /// A policy of which nothing else is said.
    pub(crate) const fn of(name: Option<String>, file: PathBuf) -> Self {
        Self {
            file,
            name,
            grant: None,
            config: BTreeMap::new(),
            limits: BTreeMap::new(),
            on_failure: None,
            allow_pause: None,
            pause_limit: None,
        }
    }
}

impl PolicyPlan {
    /// Checks what the operator says of a policy.
    pub(crate) fn configured(said: PolicyConfig) -> anyhow::Result<Self> {
        let name = named(said.name.clone(), &said.file)?;
        let conditions = Conditions::configured(&said);
        let conditions = conditions.with_context(|| format!("policy {name:?}"))?;
        let grant = said.grant.as_ref().map(GrantPlan::configured);
        let grant = grant
            .transpose()
            .with_context(|| format!("the grant of policy {name:?}"))?;
        let config = settings(&said.config)
            .with_context(|| format!("the configuration of policy {name:?}"))?;
        Ok(Self {
            file: said.file.clone(),
            grant,
            config,
            conditions,
            said: PolicyConfig {
                name: Some(name.clone()),
                ..said
            },
            name,
        })
    }
}

/// The name that is given, or else the file's.
pub(crate) fn named(name: Option<String>, file: &Path) -> anyhow::Result<String> {
    let stem = || {
        file.file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
    };
    match name.or_else(stem) {
        Some(name) if !name.is_empty() => Ok(name),
        Some(_) | None => bail!(
            "a policy without a name: write `--policy NAME={}`",
            file.display()
        ),
    }
}

/// A policy's configuration in a file of its own.
pub(crate) fn table(file: &Path) -> anyhow::Result<BTreeMap<String, toml::Value>> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("{shown} cannot be read"))?;
    toml::from_str(&text).with_context(|| format!("{shown} is not a policy's configuration"))
}

pub(crate) fn split<'a>(typed: &'a str, usage: &str) -> anyhow::Result<(&'a str, &'a str)> {
    typed
        .split_once('=')
        .ok_or_else(|| Usage(format!("{typed:?}: write `{usage}`")).into())
}

fn find<'a>(
    policies: &'a mut [PolicyConfig],
    name: &str,
    flag: &str,
) -> anyhow::Result<&'a mut PolicyConfig> {
    let known: Vec<_> = policies.iter().filter_map(|one| one.name.clone()).collect();
    policies
        .iter_mut()
        .find(|policy| policy.name.as_deref() == Some(name))
        .ok_or_else(|| {
            Usage(format!(
                "{flag} names {name:?}, but the policies are {known:?}"
            ))
            .into()
        })
}

pub(crate) fn settings(
    table: &BTreeMap<String, toml::Value>,
) -> anyhow::Result<BTreeMap<String, Setting>> {
    let one = |(key, value): (&String, &toml::Value)| {
        let setting = setting(value).with_context(|| format!("key {key:?}"))?;
        Ok((key.clone(), setting))
    };
    table.iter().map(one).collect()
}

/// A TOML value as a setting. Which type the policy wants is its manifest's to say.
fn setting(value: &toml::Value) -> anyhow::Result<Setting> {
    Ok(match value {
        toml::Value::Boolean(flag) => Setting::Flag(*flag),
        toml::Value::Integer(number) => {
            Setting::Number(u64::try_from(*number).context("a number below 0")?)
        }
        toml::Value::String(text) => Setting::Text(text.clone()),
        toml::Value::Array(list) if list.iter().all(toml::Value::is_str) => Setting::Texts(
            list.iter()
                .filter_map(|item| item.as_str().map(str::to_owned))
                .collect(),
        ),
        toml::Value::Array(list) => {
            let number = |item: &toml::Value| {
                let number = item
                    .as_integer()
                    .context("a list holds numbers only, or texts only")?;
                u64::try_from(number).context("a number below 0")
            };
            Setting::Numbers(list.iter().map(number).collect::<anyhow::Result<_>>()?)
        }
        toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Table(_) => {
            bail!(
                "a flag, a number, a text, or a list of numbers or texts was expected, not {}",
                value.type_str()
            )
        }
    })
}

#[cfg(test)]
mod tests {
    use oriel_protocol::{EventKind, Right};

    use crate::args::WatchArgs;

    use super::*;

    fn typed(policies: &[&str], grants: &[&str]) -> anyhow::Result<Plan> {
        let own = |list: &[&str]| list.iter().map(|&one| one.to_owned()).collect();
        Plan::resolve(RunArgs {
            machine: Some(MachineKind::Mock),
            guest: Some("builtin:hello".to_owned()),
            watch: WatchArgs {
                policies: own(policies),
                grants: own(grants),
                ..WatchArgs::default()
            },
            ..RunArgs::default()
        })
    }

    #[test]
    fn a_policy_is_named_after_its_file_unless_named() {
        let plan = typed(&["a/guard.wasm", "second=b.wasm"], &[]).unwrap();
        let names: Vec<_> = plan
            .judges
            .policies
            .iter()
            .map(|policy| &*policy.name)
            .collect();
        assert_eq!(names, ["guard", "second"]);
    }

    #[test]
    fn a_grant_names_rights_and_events() {
        let plan = typed(&["guard.wasm"], &["guard=msr, alert"]).unwrap();
        let grant = plan.judges.policies[0].grant.as_ref().unwrap();
        assert_eq!(grant.rights, [Right::Log, Right::Alert]);
        assert_eq!(grant.events, Some([EventKind::Msr].into_iter().collect()));
        let rights_only = typed(&["guard.wasm"], &["guard=alert"]).unwrap();
        assert_eq!(
            rights_only.judges.policies[0]
                .grant
                .as_ref()
                .unwrap()
                .events,
            None
        );
    }

    #[test]
    fn of_several_policies_the_named_one_is_explained() {
        let args = |name: &str| ExplainArgs {
            name: name.to_owned(),
            config: None,
            policies: vec!["a/guard.wasm".to_owned(), "second=b.wasm".to_owned()],
            grants: vec!["second=msr".to_owned()],
        };
        let plan = policy(&args("second")).unwrap();
        assert_eq!((plan.file, plan.grant.is_some()), ("b.wasm".into(), true));
        let error = policy(&args("third")).unwrap_err();
        assert!(
            error.is::<Usage>() && error.to_string().contains("guard"),
            "{error}"
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (grant, named) in [
            ("guard=fly", "fly"),
            ("other=msr", "other"),
            ("guard", "NAME=LIST"),
        ] {
            let error = format!("{:#}", typed(&["guard.wasm"], &[grant]).unwrap_err());
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn a_script_takes_no_kernels_flags() {
        let args = RunArgs {
            machine: Some(MachineKind::Mock),
            guest: Some("builtin:hello".to_owned()),
            cmdline: Some("quiet".to_owned()),
            ..RunArgs::default()
        };
        let error = Plan::resolve(args).unwrap_err();
        assert!(
            error.is::<Usage>() && error.to_string().contains("--cmdline"),
            "{error}"
        );
    }

    #[test]
    fn serial_moves_aside_for_event_lines() {
        let plan = |events: Option<&str>| {
            let args = RunArgs {
                machine: Some(MachineKind::Mock),
                guest: Some("builtin:hello".to_owned()),
                watch: WatchArgs {
                    events: events.map(str::to_owned),
                    ..WatchArgs::default()
                },
                ..RunArgs::default()
            };
            Plan::resolve(args).unwrap().serial
        };
        assert_eq!(
            (plan(None), plan(Some("-")), plan(Some("file"))),
            ("stdout".into(), "stderr".into(), "stdout".into())
        );
    }
}
