//! What may run: the configuration, checked, and what it says of one exec. Reads no memory and
//! stops nobody.

use oriel_sdk::{Config, Failure};

use crate::exec::{Exec, Role};
use crate::pattern::{Pattern, any, is_plain, patterns};

/// The last errno that programs know, EHWPOISON; those above 511 mean something to the kernel alone
/// (Linux, `include/uapi/asm-generic/errno.h`, `include/linux/errno.h`).
const LAST_ERRNO: u64 = 133;
/// A shell that gets it takes the file for a script, and runs it by itself.
const ENOEXEC: u64 = 8;

/// What the operator chose.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    allow: Vec<Pattern>,
    forbid: Vec<Pattern>,
    /// Whether what may not run is stopped.
    pub(crate) deny: bool,
    /// What it fails with then.
    pub(crate) errno: u64,
    /// Whether all execs are told of.
    pub(crate) report_all: bool,
}

/// Why something may not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Breach {
    Forbidden,
    NotAllowed,
    /// Nobody can say what it is.
    Unknown,
}

impl Rules {
    pub(crate) fn read(config: &mut Config) -> Result<Self, Failure> {
        let modes = [("alert", false), ("deny", true)];
        let rules = Self {
            allow: patterns(config, "allow")?,
            forbid: patterns(config, "forbid")?,
            deny: config.choice("mode", &modes)?.unwrap_or(false),
            errno: config.get_or("errno", 1)?,
            report_all: config.get_or("report-all", false)?,
        };
        match rules.contradiction() {
            Some(words) => Err(words.into()),
            None => Ok(rules),
        }
    }

    fn contradiction(&self) -> Option<&'static str> {
        if !self.has_lists() && !self.report_all {
            return Some(
                "`allow` and `forbid` are empty and `report-all` is off: there is nothing to tell",
            );
        }
        if !self.has_lists() && self.deny {
            return Some(
                "`mode` is deny, and `allow` and `forbid` are empty: nothing is to be denied",
            );
        }
        if self.errno == ENOEXEC {
            return Some("`errno` 8 (ENOEXEC) has a shell run the file by itself: take 1 or 13");
        }
        let is_errno = (1..=LAST_ERRNO).contains(&self.errno);
        (!is_errno).then_some("`errno` is a number from 1 to 133")
    }

    fn has_lists(&self) -> bool {
        !self.allow.is_empty() || !self.forbid.is_empty()
    }

    /// What is wrong with an exec, if anything is.
    pub(crate) fn breach(&self, exec: &Exec) -> Option<Breach> {
        let (asked, file) = (exec.asked(), exec.file.as_deref());
        let is_forbidden = |path: &[u8]| any(&self.forbid, path);
        if [asked, file].into_iter().flatten().any(is_forbidden) {
            return Some(Breach::Forbidden);
        }
        // Whoever may run a script may run what it names.
        if !self.allow.is_empty() && exec.role == Role::Program {
            let by = file.or(asked.filter(|path| is_plain(path)));
            let is_allowed = by.is_some_and(|path| any(&self.allow, path));
            let breach = if by.is_some() {
                Breach::NotAllowed
            } else {
                Breach::Unknown
            };
            return (!is_allowed).then_some(breach);
        }
        let is_unknown = file.is_none() && (asked.is_none() || exec.is_lost);
        let is_unknown = is_unknown && !self.forbid.is_empty();
        is_unknown.then_some(Breach::Unknown)
    }
}

impl Breach {
    /// What is told of it, as the beginning of a message.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Forbidden => "a forbidden program was to run",
            Self::NotAllowed => "a program was to run that is not on the list",
            Self::Unknown => "a program was to run whose path cannot be told",
        }
    }
}
