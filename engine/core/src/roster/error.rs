//! Why a change of policies was not made.

use std::time::Duration;

use oriel_machine::ArmError;
use oriel_policy::Failure;
use thiserror::Error;

/// Why a change of policies was not made. What judged before still does.
#[derive(Debug, Error)]
pub enum RosterError {
    /// It is no policy.
    #[error("{0:?} is no policy, and has no revisions")]
    NoPolicy(String),
    /// Another change is being made.
    #[error("another change of policies is being made: try again when it is done")]
    Busy,
    /// No policy of this name.
    #[error("no policy is called {0:?}: `oriel policy list` names those there are")]
    Unknown(String),
    /// There is a policy of this name.
    #[error("a policy is called {0:?} already: swap it, or load this one under another name")]
    Taken(String),
    /// No such revision, or it is the current one.
    #[error(
        "there is no revision {wanted} of {name:?} to go back to: `oriel policy history {name}` lists them"
    )]
    NoRevision {
        /// The policy.
        name: String,
        /// The revision that was asked for.
        wanted: u64,
    },
    /// There is nothing before the current revision.
    #[error("{0:?} has no earlier revision to go back to")]
    NoEarlier(String),
    /// Changes come too quickly.
    #[error("changes of {name:?} come too quickly: wait {} ms", .wait.as_millis())]
    TooSoon {
        /// The policy.
        name: String,
        /// For how long.
        wait: Duration,
    },
    /// An instance of it could not be made.
    #[error("an instance for {place} could not be made")]
    Stage {
        /// What it was for.
        place: String,
        /// How it failed.
        source: Box<Failure>,
    },
    /// The machine cannot report what it listens to.
    #[error("not everything that it listens to can be reported")]
    Arm(#[from] ArmError),
    /// Its state could not be carried over, and the operator wants no fresh start.
    #[error(
        "its state could not be carried over on {place}: {reason} (a fresh start is `--state fresh`)"
    )]
    State {
        /// Whose state.
        place: String,
        /// What was said.
        reason: String,
    },
    /// A revision judges, and its events were to be shared out.
    #[error(
        "revision {revision} judges {kinds}, and only what is merely observed can be shared out one in so many: take a canary by vCPU (`--canary VCPUS`)"
    )]
    Judges {
        /// Which revision.
        revision: u64,
        /// What it judges.
        kinds: String,
    },
    /// One event in this many is no part of them.
    #[error("a canary hears one event in 2 or more, and not one in {0}")]
    NoShare(u32),
    /// A canary needs two revisions at a time, and all vCPUs are to move at once.
    #[error(
        "all vCPUs move together ({0}), so there is no canary: leave it out, or try the revision in the shadow first (`--shadow`)"
    )]
    CanaryTogether(&'static str),
    /// The stores are not alike, and the vCPUs cannot be parked for the change.
    #[error(
        "its store has schema {new}, the old one's {old}: all vCPUs have to move together (`--together`)"
    )]
    StoreSchema {
        /// Of the revision in force.
        old: u32,
        /// Of the new one.
        new: u32,
    },
    /// In the shadow it judged otherwise too often.
    #[error("in the shadow it judged {disagreed} of {events} events otherwise: {first}")]
    Disagreed {
        /// How many events it judged otherwise.
        disagreed: u64,
        /// Of how many.
        events: u64,
        /// The first of them, in words.
        first: String,
    },
    /// It failed while it was being tried out.
    #[error("it failed on trial: {0}")]
    Failed(String),
    /// A vCPU did not come to move, or there is no such vCPU.
    #[error("vCPU {0} did not move in time; those that had are back")]
    Stuck(u32),
    /// No such vCPU.
    #[error("there is no vCPU {0}")]
    NoVcpu(u32),
    /// Nobody keeps it from judging.
    #[error("{0:?} is not in quarantine")]
    NotInQuarantine(String),
    /// The audit trail takes no line, and nothing is to be done that is not in it.
    #[error(
        "the audit trail cannot be written, so nothing new comes into force: make room (or run with `--audit-full drop`)"
    )]
    Unaudited,
    /// The VM has ended.
    #[error("the VM has ended")]
    Ended,
    /// No thread.
    #[error("a thread for it does not start")]
    Thread(#[source] std::io::Error),
}
