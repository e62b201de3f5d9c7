//! What is answered where something is wrong: a code for programs, a message for people, and what
//! to do next.

use std::{fmt, time::Duration};

use oriel_engine::roster::RosterError;
use serde_json::json;

use super::http::Answer;
use crate::steward::ChangeError;

/// Why an order was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    status: u16,
    code: &'static str,
    message: String,
    next: Option<String>,
    /// For how long the same order would be refused.
    wait: Option<Duration>,
    /// The methods that there are.
    allow: Option<String>,
}

impl Problem {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            next: None,
            wait: None,
            allow: None,
        }
    }

    #[must_use]
    pub(super) fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    #[must_use]
    pub(super) const fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    #[must_use]
    pub(super) fn allow(mut self, methods: String) -> Self {
        self.allow = Some(methods);
        self
    }

    #[cfg(test)]
    pub(super) const fn status(&self) -> u16 {
        self.status
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ({}): {}", self.status, self.code, self.message)
    }
}

impl From<Problem> for Answer {
    fn from(problem: Problem) -> Self {
        let mut body = json!({ "error": problem.code, "message": problem.message });
        if let Some(next) = problem.next {
            body["next"] = next.into();
        }
        let mut answer = Self::new(problem.status, body);
        // Whole seconds, and never less than are left.
        let seconds = problem.wait.map(|wait| wait.as_secs_f64().ceil());
        let wait = seconds.map(|seconds| ("Retry-After", format!("{seconds:.0}")));
        answer.fields.extend(wait);
        answer
            .fields
            .extend(problem.allow.map(|all| ("Allow", all)));
        answer
    }
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Roster(error) => error.into(),
            ChangeError::Refused(error) => Self::new(
                422,
                "not-accepted",
                format!("it is not accepted: {error:#}"),
            )
            .next("nothing has changed; `oriel plugin inspect` says what a plugin needs"),
        }
    }
}

impl From<RosterError> for Problem {
    fn from(error: RosterError) -> Self {
        let (status, code) = code(&error);
        let wait = wait(&error);
        let problem = Self {
            wait,
            ..Self::new(status, code, chain(error))
        };
        match next(code) {
            Some(next) => problem.next(next),
            None => problem,
        }
    }
}

/// Status and code of what the engine says.
const fn code(error: &RosterError) -> (u16, &'static str) {
    match error {
        RosterError::NoPolicy(_) => (409, "no-policy"),
        RosterError::Busy => (409, "busy"),
        RosterError::Unknown(_) => (404, "unknown-policy"),
        RosterError::Taken(_) => (409, "taken"),
        RosterError::NoRevision { .. } => (404, "unknown-revision"),
        RosterError::NoEarlier(_) => (409, "no-earlier-revision"),
        RosterError::NotInQuarantine(_) => (409, "not-in-quarantine"),
        RosterError::TooSoon { .. } => (429, "too-soon"),
        RosterError::Stage { .. } => (422, "not-started"),
        RosterError::Arm(_) => (422, "not-reported"),
        RosterError::State { .. } => (422, "state-not-taken"),
        RosterError::StoreSchema { .. } => (422, "another-store-schema"),
        RosterError::Disagreed { .. } => (422, "disagreed"),
        RosterError::Failed(_) => (422, "failed-on-trial"),
        RosterError::NoVcpu(_) => (422, "unknown-vcpu"),
        RosterError::Judges { .. } => (422, "not-shared-out"),
        RosterError::NoShare(_) => (422, "no-share"),
        RosterError::CanaryTogether(_) => (422, "no-canary-together"),
        RosterError::Stuck(_) => (503, "stuck"),
        RosterError::Unaudited => (503, "not-audited"),
        RosterError::Ended => (503, "ended"),
        RosterError::Thread(_) => (500, "no-thread"),
    }
}

/// How long the same would be refused, where that is known.
const fn wait(error: &RosterError) -> Option<Duration> {
    if let RosterError::TooSoon { wait, .. } = error {
        return Some(*wait);
    }
    if let RosterError::Busy = error {
        return Some(Duration::from_secs(1));
    }
    None
}

/// What to do about it, where the message does not say it.
fn next(code: &str) -> Option<&'static str> {
    Some(match code {
        "busy" => "wait for the other change, or look at `oriel policy list`",
        "not-started" | "failed-on-trial" => {
            "nothing has changed; the log of `oriel run` says how it failed"
        }
        "not-reported" => "grant it only kinds of event that `oriel caps` lists",
        "disagreed" => "look at the first difference, and allow more with `--disagreements N`",
        "unknown-vcpu" => "vCPUs are counted from 0",
        "stuck" => "try again; nothing has changed",
        "ended" => "there is no VM any more to change policies of",
        _ => return None,
    })
}

/// An error with its causes.
fn chain(error: RosterError) -> String {
    format!("{:#}", anyhow::Error::from(error))
}
