//! What an operator lets a policy use, and what answers for it when it fails.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, bail};
use oriel_policy::{Limits, OnFailure};

use crate::config::PolicyConfig;

/// How long a failure may keep a vCPU waiting, where the operator allows it and says no more.
const PAUSE: Duration = Duration::from_secs(30);

/// On what conditions a policy runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Conditions {
    pub(crate) limits: Limits,
    /// None: as its manifest says.
    pub(crate) on_failure: Option<OnFailure>,
    /// None: a failure may not keep a vCPU waiting.
    pub(crate) pause: Option<Duration>,
}

impl Conditions {
    /// Those of a configuration.
    pub(crate) fn configured(policy: &PolicyConfig) -> anyhow::Result<Self> {
        Ok(Self {
            limits: limits(&policy.limits).context("[policy.limits]")?,
            on_failure: policy.on_failure.clone(),
            pause: pause(policy)?,
        })
    }
}

fn limits(named: &BTreeMap<String, u64>) -> anyhow::Result<Limits> {
    let mut limits = Limits::default();
    for (key, number) in named {
        limits.set(key, *number)?;
    }
    Ok(limits)
}

fn pause(policy: &PolicyConfig) -> anyhow::Result<Option<Duration>> {
    let limit = policy.pause_limit.map(Duration::try_from_secs_f64);
    let limit = limit
        .transpose()
        .context("pause-limit is a number of seconds")?;
    match (policy.allow_pause.unwrap_or(false), limit) {
        (true, limit) => Ok(Some(limit.unwrap_or(PAUSE))),
        (false, None) => Ok(None),
        (false, Some(_)) => {
            bail!("pause-limit says how long, but nothing allows it: add `allow-pause = true`")
        }
    }
}

#[cfg(test)]
mod tests {
    use oriel_policy::FailureMode;
    use oriel_protocol::EventKind;

    use super::*;

    fn conditions(text: &str) -> anyhow::Result<Conditions> {
        let text = format!("file = \"guard.wasm\"\n{text}");
        Conditions::configured(&toml::from_str(&text)?)
    }

    #[test]
    fn nothing_said_is_the_defaults() {
        assert_eq!(conditions("").unwrap(), Conditions::default());
    }

    #[test]
    fn limits_failure_modes_and_pauses_are_the_operators() {
        let text = "allow-pause = true\npause-limit = 1.5\n[limits]\nevent-ms = 3\nalerts = 0\n\
            [on-failure]\ndefault = \"open\"\nmsr = \"pause\"";
        let read = conditions(text).unwrap();
        assert_eq!(read.limits.event, Duration::from_millis(3));
        assert_eq!((read.limits.alerts, read.limits.logs), (0, 64));
        assert_eq!(read.pause, Some(Duration::from_millis(1500)));
        let modes = read.on_failure.unwrap();
        assert_eq!(modes.of(EventKind::Msr), FailureMode::Pause);
        assert_eq!(modes.of(EventKind::Cr), FailureMode::Open);
        assert_eq!(conditions("allow-pause = true").unwrap().pause, Some(PAUSE));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, named) in [
            ("[limits]\nmemroy = 1", "memroy"),
            ("[limits]\nevent-ms = 0", "event-ms"),
            ("[limits]\nevent-ms = -1", "-1"),
            ("pause-limit = 3", "allow-pause"),
            ("allow-pause = true\npause-limit = -1", "seconds"),
            ("[on-failure]\nmsrs = \"open\"", "msrs"),
            ("[on-failure]\nmsr = \"opne\"", "opne"),
        ] {
            let error = format!("{:#}", conditions(text).unwrap_err());
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
