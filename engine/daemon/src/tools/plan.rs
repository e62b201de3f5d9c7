//! What is to become of each tool: flags and configuration, resolved and checked.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, bail};
use oriel_engine::tool::{OnFailure, Settings};
use oriel_protocol::{CommandId, CommandSet, Dialect, EventKind, EventSet, Grant};

use super::{address::Address, cookie::Cookie};
use crate::{
    args::{self, ToolArgs},
    config::{ToolConfig, WordsConfig},
    grants,
};

/// How long to wait before connecting again (QEMU's socket option `reconnect`).
const RECONNECT: Duration = Duration::from_secs(5);

/// A tool to connect to.
#[derive(Clone, Debug)]
pub(crate) struct ToolPlan {
    pub(crate) name: String,
    pub(crate) address: Address,
    pub(crate) cookie: Option<Cookie>,
    /// Zero: never again.
    pub(crate) reconnect: Duration,
    pub(crate) settings: Settings,
}

/// The tools of the configuration, then those of the command line.
pub(crate) fn plans(configured: Vec<ToolConfig>, args: &ToolArgs) -> anyhow::Result<Vec<ToolPlan>> {
    let typed = args.tools.iter().map(|typed| ToolConfig::typed(typed));
    let all = configured.into_iter().chain(typed);
    all.enumerate()
        .map(|(at, tool)| ToolPlan::resolve(at, tool, args))
        .collect()
}

impl ToolConfig {
    /// `[NAME=]ADDRESS`
    fn typed(typed: &str) -> Self {
        let (name, address) = match typed.split_once('=') {
            Some((name, address)) if !name.contains(':') => (Some(name.to_owned()), address),
            Some(_) | None => (None, typed),
        };
        Self {
            name,
            address: address.to_owned(),
            ..Self::default()
        }
    }
}

impl ToolPlan {
    fn resolve(at: usize, tool: ToolConfig, args: &ToolArgs) -> anyhow::Result<Self> {
        let name = tool.name.clone().unwrap_or_else(|| match at {
            0 => "tool".to_owned(),
            at => format!("tool-{}", at + 1),
        });
        let whose = || format!("tool {name:?}");
        let cookie = args.tool_cookie.clone().or_else(|| tool.cookie.clone());
        let reconnect = args
            .reconnect
            .map_or_else(|| duration(tool.reconnect), |it| Ok(Some(it)));
        Ok(Self {
            address: tool.address.parse().with_context(whose)?,
            cookie: cookie
                .map(|path| Cookie::load(&path))
                .transpose()
                .with_context(whose)?,
            reconnect: reconnect.with_context(whose)?.unwrap_or(RECONNECT),
            settings: settings(&tool, args).with_context(whose)?,
            name,
        })
    }
}

fn settings(tool: &ToolConfig, args: &ToolArgs) -> anyhow::Result<Settings> {
    let usual = Settings::default();
    let dialect = match &args.dialect {
        Some(word) => Some(dialect(word)?),
        None => tool.dialect,
    };
    let either = |typed: Option<Duration>, configured| match typed {
        Some(typed) => Ok(Some(typed)),
        None => duration(configured),
    };
    Ok(Settings {
        dialect: dialect.unwrap_or_default(),
        grant: grant(tool, args)?,
        deadline: either(args.tool_deadline, tool.deadline)?.unwrap_or(usual.deadline),
        pause_limit: either(args.tool_pause_limit, tool.pause_limit)?.unwrap_or(usual.pause_limit),
        on_failure: match args.tool_on_failure.or(tool.on_failure) {
            Some(args::OnFailure::Crash) => OnFailure::Crash,
            Some(args::OnFailure::Continue) | None => OnFailure::Continue,
        },
        restore_breakpoints: !args.no_restore_breakpoints
            && tool.restore_breakpoints.unwrap_or(true),
    })
}

fn dialect(word: &str) -> anyhow::Result<Dialect> {
    let known = Dialect::ALL.into_iter().find(|one| one.name() == word);
    known.with_context(|| format!("{word:?} is no dialect: write rfc6, v6, v7 or v12"))
}

fn duration(seconds: Option<f64>) -> anyhow::Result<Option<Duration>> {
    let seconds = seconds.map(Duration::try_from_secs_f64).transpose();
    seconds.context("a number of seconds")
}

/// The allow-mask. What has no number in any dialect no tool can send or hear.
fn grant(tool: &ToolConfig, args: &ToolArgs) -> anyhow::Result<Grant> {
    let commands = words(args.allow_commands.as_deref(), tool.allow_commands.as_ref());
    let events = words(args.allow_events.as_deref(), tool.allow_events.as_ref());
    let bounds = tool.bounds.as_ref().map(grants::bounds).transpose();
    let bounds = bounds.context("[tool.bounds]")?;
    Ok(Grant {
        bounds: bounds.filter(|bounds| !bounds.is_open()).map(Arc::new),
        commands: match commands {
            Some(words) => collect(&words, "command", CommandId::by_name)?,
            None => CommandSet::all(),
        },
        events: match events {
            Some(words) => collect(&words, "event", EventKind::by_name)?,
            None => EventSet::all(),
        },
    })
}

/// The words of a list; none: all there are.
fn words(typed: Option<&str>, configured: Option<&WordsConfig>) -> Option<Vec<String>> {
    let words = match (typed, configured) {
        (Some(text), _) => grants::split(text),
        (None, Some(words)) => grants::listed(words),
        (None, None) => return None,
    };
    (words != ["all"]).then_some(words)
}

fn collect<T, S: FromIterator<T>>(
    words: &[String],
    what: &str,
    by_name: impl Fn(&str) -> Option<T>,
) -> anyhow::Result<S> {
    let one = |word: &String| match by_name(word) {
        Some(it) => Ok(it),
        None => bail!("{word:?} is no {what} of KVMI; docs/kvmi.md has the list"),
    };
    words.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(
        tools: &[&str],
        change: impl FnOnce(&mut ToolArgs),
    ) -> anyhow::Result<Vec<ToolPlan>> {
        let mut args = ToolArgs {
            tools: tools.iter().map(|&one| one.to_owned()).collect(),
            ..ToolArgs::default()
        };
        change(&mut args);
        plans(Vec::new(), &args)
    }

    #[test]
    fn tools_have_names_of_their_own() {
        let plans = planned(&["unix:a", "scan=unix:b=c", "vsock:2:1"], |_| ()).unwrap();
        let names: Vec<_> = plans.iter().map(|plan| plan.name.as_str()).collect();
        assert_eq!(names, ["tool", "scan", "tool-3"]);
        assert_eq!(plans[1].address.to_string(), "unix:b=c");
    }

    #[test]
    fn everything_is_allowed_unless_the_operator_says_what_is() {
        let plans = planned(&["unix:a"], |_| ()).unwrap();
        assert_eq!(plans[0].settings.grant, Grant::all());
        let plans = planned(&["unix:a"], |args| {
            args.allow_commands = Some("get-registers, read-physical".to_owned());
            args.allow_events = Some("cr".to_owned());
        });
        let grant = &plans.unwrap()[0].settings.grant;
        assert!(grant.events.contains(EventKind::Cr) && !grant.events.contains(EventKind::Msr));
        let named = |name| grant.admit(CommandId::by_name(name).unwrap()).is_ok();
        assert!(named("get-registers") && !named("set-registers"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        type Change = fn(&mut ToolArgs);
        let cases: [(&str, Change, &str); 4] = [
            ("tcp:1", |_| (), "tcp:1"),
            ("unix:a", |args| args.dialect = Some("v8".into()), "v8"),
            (
                "unix:a",
                |args| args.allow_commands = Some("fly".into()),
                "fly",
            ),
            (
                "unix:a",
                |args| args.tool_cookie = Some("/nonexistent".into()),
                "/nonexistent",
            ),
        ];
        for (tool, change, named) in cases {
            let error = format!("{:#}", planned(&[tool], change).unwrap_err());
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn a_tool_is_narrowed_as_a_policy_is() {
        let text = "address = \"unix:a\"\n[bounds]\nmsrs = [\"0x10\"]";
        let configured = toml::from_str(text).unwrap();
        let plans = plans(vec![configured], &ToolArgs::default()).unwrap();
        let grant = &plans[0].settings.grant;
        assert!(grant.has_msr(0x10) && !grant.has_msr(0x11));
    }

    #[test]
    fn flags_go_before_the_configuration() {
        let configured = ToolConfig {
            address: "unix:a".to_owned(),
            dialect: Some(Dialect::V6),
            reconnect: Some(0.0),
            ..ToolConfig::default()
        };
        let plain = plans(vec![configured.clone()], &ToolArgs::default()).unwrap();
        assert_eq!(plain[0].settings.dialect, Dialect::V6);
        assert!(plain[0].reconnect.is_zero());
        let args = ToolArgs {
            dialect: Some("v12".to_owned()),
            reconnect: Some(Duration::from_secs(2)),
            ..ToolArgs::default()
        };
        let flagged = plans(vec![configured], &args).unwrap();
        assert_eq!(flagged[0].settings.dialect, Dialect::V12);
        assert_eq!(flagged[0].reconnect, Duration::from_secs(2));
    }
}
