//! Who plays whom: which code an instance of a journal is made of, on which terms.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use oriel_policy::{Host, Limits, Plugin, Policy, Setting, Terms};
use oriel_protocol::EventSet;

use super::{Begun, ReplayError};
use crate::journal::terms;

/// A policy's code.
#[derive(Clone)]
pub struct Code {
    /// The policy that it is to play; none: any.
    pub name: Option<String>,
    /// Where it comes from, in words.
    pub file: String,
    /// It.
    pub plugin: Arc<Plugin>,
}

/// Who plays whom.
pub struct Cast {
    /// Where the policies live.
    pub host: Arc<Host>,
    /// The code that there is. An instance is made of the code that it was made of, if that is
    /// here, else of the last that may play its policy.
    pub codes: Vec<Code>,
    /// Settings that a policy is to have instead of those that are recorded, by its name.
    pub settings: BTreeMap<String, BTreeMap<String, Setting>>,
}

/// A policy that plays.
#[derive(Clone)]
pub(super) struct Role {
    pub(super) policy: Arc<Policy>,
    /// It is what was recorded.
    pub(super) exact: bool,
}

/// What must be equal for two instances to be of one role.
type Part = (String, u64, [u8; 32], bool);

/// The roles that have been made.
#[derive(Default)]
pub(super) struct Roles(BTreeMap<Part, Role>);

impl Roles {
    /// The role of an instance.
    pub(super) fn of(&mut self, begun: &Begun, cast: &Cast) -> Result<Role, ReplayError> {
        let name = begun.policy.clone();
        let part = (name, begun.revision, begun.digest, begun.on_trial);
        if let Some(role) = self.0.get(&part) {
            return Ok(role.clone());
        }
        let role = cast.role(begun)?;
        self.0.insert(part, role.clone());
        Ok(role)
    }
}

impl Cast {
    fn role(&self, begun: &Begun) -> Result<Role, ReplayError> {
        let code = self.code(begun)?;
        let is_that = is_of(code, begun);
        let terms = self.terms(code, begun, is_that);
        let policy = self.host.prepare(&code.plugin, terms);
        let policy = policy.map_err(|source| ReplayError::Prepare {
            policy: begun.policy.clone(),
            file: code.file.clone(),
            source: Box::new(source),
        })?;
        let settings = policy.settings().iter().cloned();
        let settings = settings.map(|(key, value)| (key, terms::parameter(value)));
        let exact = is_that && settings.eq(begun.settings.iter().cloned());
        let policy = Arc::new(policy);
        Ok(Role { policy, exact })
    }

    fn code(&self, begun: &Begun) -> Result<&Code, ReplayError> {
        let may_play = |code: &&Code| match &code.name {
            Some(name) => *name == begun.policy,
            None => true,
        };
        let fitting = || self.codes.iter().filter(may_play);
        let that = fitting().find(|code| is_of(code, begun));
        that.or_else(|| fitting().next_back())
            .ok_or_else(|| ReplayError::NoCode(begun.policy.clone()))
    }

    /// It may ask for anything: what it is told is what was recorded.
    fn terms(&self, code: &Code, begun: &Begun, is_that: bool) -> Terms {
        let inspection = code.plugin.inspection();
        let declared = &inspection.manifest.config;
        let recorded = begun.settings.iter().cloned();
        let recorded = recorded.map(|(key, value)| (key, terms::setting(value)));
        // A setting that it does not have any more says nothing to it.
        let recorded = recorded.filter(|(key, _)| declared.contains_key(key));
        let given = self.settings.get(&begun.policy);
        let config = match given {
            Some(given) => given.clone(),
            None => recorded.collect(),
        };
        Terms {
            name: begun.policy.clone(),
            rights: inspection.asks.iter().copied().collect::<BTreeSet<_>>(),
            events: EventSet::all(),
            config,
            limits: limits(begun, is_that),
            ..Terms::default()
        }
    }
}

fn is_of(code: &Code, begun: &Begun) -> bool {
    *code.plugin.inspection().digest.as_bytes() == begun.digest
}

/// The limits that were in force, without those by the second: a replay is faster than what it
/// repeats. Code that is known to have come to its end is given the time for it.
fn limits(begun: &Begun, is_that: bool) -> Limits {
    const LONG: Duration = Duration::from_secs(60);
    let mut limits = Limits::default();
    for (key, number) in &begun.limits {
        // A limit that there is not any more is none.
        let _ = limits.set(key, *number);
    }
    limits.log_bytes_per_second = u64::MAX;
    limits.alerts_per_second = u64::MAX;
    limits.instances = usize::MAX;
    limits.wall_factor = 10_000;
    if is_that {
        for time in [
            &mut limits.event,
            &mut limits.init,
            &mut limits.tick,
            &mut limits.state,
        ] {
            *time = LONG;
        }
    }
    limits
}

impl std::fmt::Debug for Code {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Code({})", self.file)
    }
}

impl std::fmt::Debug for Cast {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Cast({:?})", self.codes)
    }
}
