//! The policies that are to be loaded, of the configuration and the command line. Never reads a
//! plugin.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use oriel_policy::Setting;

use super::{Conditions, Usage, settings, split};
use crate::{
    args::ExplainArgs,
    config::{Config, GrantConfig, PolicyConfig},
    grants::GrantPlan,
};

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

/// What is said of the policies of the configuration, then of those of the command line, each with
/// its name and the grant that was typed.
pub(super) fn said(
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
pub(super) fn configured(
    mut said: Vec<PolicyConfig>,
    configs: &[String],
) -> anyhow::Result<Vec<PolicyPlan>> {
    for typed in configs {
        let (name, file) = split(typed, "--policy-config NAME=FILE")?;
        find(&mut said, name, "--policy-config")?.config = table(Path::new(file))?;
    }
    said.into_iter().map(PolicyPlan::configured).collect()
}

/// The one policy that is to be explained.
pub(crate) fn to_explain(args: &ExplainArgs) -> anyhow::Result<PolicyPlan> {
    let config = args.config.as_deref().map(Config::load).transpose()?;
    let configured = config.unwrap_or_default().policies;
    let mut all = said(configured, &args.policies, &args.grants)?;
    PolicyPlan::configured(find(&mut all, &args.name, "`oriel policy explain`")?.clone())
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
