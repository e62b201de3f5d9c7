//! The configuration file's schema. Unknown keys are refused.

mod audit;
mod grant;
mod record;

use std::{collections::BTreeMap, path::Path, path::PathBuf};

use anyhow::Context;
use oriel_protocol::Dialect;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::args::{MachineKind, OnFailure};
pub(crate) use audit::AuditConfig;
pub(crate) use grant::{BoundsConfig, GrantConfig, GrantTable, RangeConfig, WordsConfig};
pub(crate) use record::RecordConfig;

/// A configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Config {
    #[serde(default)]
    pub(crate) vm: VmConfig,
    #[serde(default, rename = "policy")]
    pub(crate) policies: Vec<PolicyConfig>,
    #[serde(default, rename = "tool")]
    pub(crate) tools: Vec<ToolConfig>,
}

/// `[vm]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct VmConfig {
    pub(crate) name: Option<String>,
    pub(crate) uuid: Option<Uuid>,
    pub(crate) machine: Option<MachineKind>,
    pub(crate) guest: Option<String>,
    pub(crate) initrd: Option<PathBuf>,
    pub(crate) cmdline: Option<String>,
    pub(crate) input: Option<String>,
    pub(crate) vcpus: Option<u32>,
    pub(crate) memory_mib: Option<u64>,
    pub(crate) events: Option<String>,
    pub(crate) serial: Option<String>,
    pub(crate) audit: Option<AuditConfig>,
    pub(crate) record: Option<RecordConfig>,
    /// Seconds.
    pub(crate) tool_wait: Option<f64>,
    /// CPU time that all policies together have for one event.
    pub(crate) round_ms: Option<u64>,
    /// What a policy's calls can be deep.
    pub(crate) stack_kib: Option<usize>,
    /// Where the control socket is.
    pub(crate) control: Option<PathBuf>,
    /// Where the last committed set of policies is kept.
    pub(crate) state: Option<PathBuf>,
    /// A directory whose files are policies.
    pub(crate) watch: Option<PathBuf>,
    pub(crate) watch_unload: Option<bool>,
}

/// `[[policy]]`, and what an operator says of a policy anywhere else: on the control socket, beside
/// a watched file, in the set that is kept.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct PolicyConfig {
    pub(crate) file: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) grant: Option<GrantConfig>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) config: BTreeMap<String, toml::Value>,
    /// By the names of `oriel_policy::limits::TABLE`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) limits: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) on_failure: Option<oriel_policy::OnFailure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) allow_pause: Option<bool>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pause_limit: Option<f64>,
}

/// `[[tool]]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ToolConfig {
    /// `unix:PATH` or `vsock:CID:PORT`.
    pub(crate) address: String,
    pub(crate) name: Option<String>,
    pub(crate) dialect: Option<Dialect>,
    pub(crate) cookie: Option<PathBuf>,
    pub(crate) allow_commands: Option<WordsConfig>,
    pub(crate) allow_events: Option<WordsConfig>,
    pub(crate) bounds: Option<BoundsConfig>,
    /// Seconds.
    pub(crate) reconnect: Option<f64>,
    /// Seconds.
    pub(crate) deadline: Option<f64>,
    /// Seconds.
    pub(crate) pause_limit: Option<f64>,
    pub(crate) on_failure: Option<OnFailure>,
    pub(crate) restore_breakpoints: Option<bool>,
}

impl ToolConfig {
    /// Relative paths count from the configuration's directory.
    fn settle_paths(&mut self, base: &Path) {
        if let Some(path) = self.address.strip_prefix("unix:") {
            self.address = format!("unix:{}", base.join(path).display());
        }
        if let Some(cookie) = &mut self.cookie {
            *cookie = base.join(&*cookie);
        }
    }
}

impl Config {
    /// Reads a file. Relative paths in it count from the file's own directory.
    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        let mut config = Self::parse(&text)
            .with_context(|| format!("{} is not a configuration", path.display()))?;
        let base = path.parent().unwrap_or(Path::new(""));
        for policy in &mut config.policies {
            policy.file = base.join(&policy.file);
        }
        for tool in &mut config.tools {
            tool.settle_paths(base);
        }
        let vm = &mut config.vm;
        if let Some(audit) = &mut vm.audit {
            audit.file = base.join(&audit.file);
        }
        if let Some(record) = &mut vm.record {
            record.file = base.join(&record.file);
        }
        let paths = [
            &mut vm.initrd,
            &mut vm.control,
            &mut vm.state,
            &mut vm.watch,
        ];
        for path in paths.into_iter().flatten() {
            *path = base.join(&*path);
        }
        for place in [&mut vm.events, &mut vm.serial, &mut vm.input]
            .into_iter()
            .flatten()
        {
            if !["-", "stdout", "stderr", "none"].contains(&place.as_str()) {
                *place = base.join(&*place).display().to_string();
            }
        }
        if let Some(guest) = config
            .vm
            .guest
            .as_mut()
            .filter(|guest| !guest.starts_with("builtin:"))
        {
            *guest = base.join(&*guest).display().to_string();
        }
        Ok(config)
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        Ok(toml::from_str(text)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_configuration_is_read() {
        let text = r#"
            [vm]
            name = "web-1"
            machine = "kvm"
            guest = "builtin:msr-attack"
            memory-mib = 64
            initrd = "initrd"
            cmdline = "console=ttyS0"
            input = "-"
            [[policy]]
            file = "guard.wasm"
            grant = ["msr", "alert"]
            [policy.config]
            msrs = ["0xc0000082"]
        "#;
        let config = Config::parse(text).unwrap();
        assert_eq!(config.vm.memory_mib, Some(64));
        assert_eq!(config.vm.machine, Some(MachineKind::Kvm));
        assert_eq!(config.vm.initrd, Some("initrd".into()));
        assert_eq!(config.vm.cmdline.as_deref(), Some("console=ttyS0"));
        assert_eq!(
            config.policies[0].grant,
            Some(GrantConfig::Words(WordsConfig::List(vec![
                "msr".into(),
                "alert".into()
            ])))
        );
    }

    #[test]
    fn unknown_keys_are_refused_by_name() {
        for (text, key) in [
            ("[vm]\nmemroy-mib = 1", "memroy-mib"),
            ("[[policy]]\nfile = \"a\"\ngrants = \"all\"", "grants"),
            ("[[policy]]\nfile = \"a\"\n[policy.grant]\nmsr = []", "msr"),
            ("[vm]\naudit = { file = \"a\", ful = \"drop\" }", "ful"),
            ("[vm]\naudit = { file = \"a\", full = \"spill\" }", "spill"),
            (
                "[vm]\nrecord = { file = \"a\", full = \"refuse\" }",
                "refuse",
            ),
            ("[vm]\nrecord = { fil = \"a\" }", "fil"),
            (
                "[[tool]]\naddress = \"a\"\n[tool.bounds]\nrights = []",
                "rights",
            ),
        ] {
            let error = format!("{:#}", Config::parse(text).unwrap_err());
            assert!(error.contains(key), "{error}");
        }
    }

    #[test]
    fn an_audit_trail_is_a_file_or_a_table() {
        let audit = |text| Config::parse(text).unwrap().vm.audit.unwrap();
        let short = audit("[vm]\naudit = \"a.jsonl\"");
        assert_eq!((short.file, short.full), ("a.jsonl".into(), None));
        let long = audit("[vm]\naudit = { file = \"a.jsonl\", full = \"drop\" }");
        assert_eq!(long.full, Some(crate::args::AuditFull::Drop));
    }

    #[test]
    fn a_tools_paths_count_from_the_file() {
        let text = r#"
            [[tool]]
            address = "unix:run/tool.sock"
            cookie = "secret"
            dialect = "v12"
            allow-events = ["cr"]
            reconnect = 0.0
        "#;
        let mut tool = Config::parse(text).unwrap().tools.remove(0);
        tool.settle_paths(Path::new("/etc/oriel"));
        assert_eq!(tool.address, "unix:/etc/oriel/run/tool.sock");
        assert_eq!(tool.cookie.as_deref(), Some(Path::new("/etc/oriel/secret")));
        assert_eq!(tool.dialect, Some(Dialect::V12));
        assert_eq!(tool.reconnect, Some(0.0));
    }
}
