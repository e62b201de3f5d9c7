//! Asks policies again what a journal says that they were asked. Each instance is fed alone, with
//! the answers that it was given then, so neither time nor the order of vCPUs matters.
//!
//! An instance of the same code with the same settings is **exact**: it must say what it said. What
//! ended by the clock (an overdue event, a busy host) is repeated as it was recorded. Any other is
//! **changed**: where it asks what was asked then it is told the same; the store is simulated in the
//! order of the journal; of the rest it is told `unavailable`, and that is counted.

mod cast;
mod player;
mod players;
mod script;
mod stage;

use std::collections::BTreeMap;

use oriel_policy::PrepareError;
use oriel_protocol::{EventKind, Moment};
use thiserror::Error;

pub use cast::{Cast, Code};

use super::{
    entry::{Asked, Begun, Called, Entry, Missed, Outcome, Seat, Seen},
    recording::Recording,
};
use players::Players;

/// Why a journal cannot be replayed.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// There is no code for a policy that is in it.
    #[error("the journal has the policy {0:?}: add `--policy {0}=FILE.wasm`")]
    NoCode(String),
    /// Code cannot be made that policy.
    #[error("{file} cannot be the policy {policy:?}")]
    Prepare {
        /// Which.
        policy: String,
        /// The code's file.
        file: String,
        /// Why.
        source: Box<PrepareError>,
    },
}

/// How an event came to its answer in a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The policy was asked.
    Asked,
    /// As it is recorded: the clock had ended the call, or nobody was asked.
    Repeated,
    /// Nobody could be asked: what the instance knew is not in the journal.
    Unknown,
}

/// One event of a journal, and what became of it.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// The policy's name.
    pub policy: &'a str,
    /// For what the instance is.
    pub seat: Seat,
    /// Where the event stands.
    pub moment: Moment,
    /// Its kind.
    pub kind: EventKind,
    /// What was answered then.
    pub recorded: &'a Outcome,
    /// What is answered now.
    pub replayed: &'a Outcome,
    /// How.
    pub how: How,
    /// By the same code with the same settings.
    pub exact: bool,
    /// Commands of this call that could not be answered.
    pub unanswered: u64,
}

impl Judged<'_> {
    /// Whether the answer is another than this one. The same code must say the same to the letter;
    /// of other code it is the verdict that counts, whether it has given it or its failure mode.
    pub fn differs_from(&self, other: &Outcome) -> bool {
        if self.exact {
            self.replayed != other
        } else {
            self.replayed.verdict() != other.verdict()
        }
    }
}

/// What a replay came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Events that were to be answered.
    pub events: u64,
    /// Of these, answered as they were.
    pub same: u64,
    /// Answered otherwise.
    pub changed: u64,
    /// Repeated as recorded.
    pub repeated: u64,
    /// Of instances whose beginning is not in the journal.
    pub unknown: u64,
    /// Other calls (observations, notices, ticks, saved state) that came out as they did.
    pub others_same: u64,
    /// And those that did not.
    pub others_changed: u64,
    /// Commands that could not be answered.
    pub unanswered: u64,
    /// Which they were, by name; `left-out` are those that the same code did not repeat.
    pub unanswered_by: BTreeMap<&'static str, u64>,
    /// Commands that the simulated store answered.
    pub simulated: u64,
    /// Instances.
    pub instances: u64,
    /// Of these, of the same code and settings.
    pub exact: u64,
    /// Instances of changed policies that failed and were made anew.
    pub restarts: u64,
    /// Calls that the journal lacks.
    pub lost: u64,
}

/// Replays a journal, telling of each event.
///
/// # Errors
/// [`ReplayError`] before the first event of a policy whose code is missing, or does not load.
pub fn replay(
    recording: &Recording,
    cast: &Cast,
    mut each: impl FnMut(&Judged<'_>),
) -> Result<Tally, ReplayError> {
    let mut players = Players::new(cast);
    players.tally.lost = recording.lost;
    for entry in &recording.entries {
        match entry {
            Entry::Begun(begun) => players.begin(begun)?,
            Entry::Called(called) => players.call(called, &mut each),
            Entry::Missed(missed) => players.miss(missed, &mut each),
            Entry::Gone { instance } => players.leave(*instance),
            Entry::Header(_) | Entry::Lost { .. } | Entry::End { .. } => {}
        }
    }
    Ok(players.tally)
}
