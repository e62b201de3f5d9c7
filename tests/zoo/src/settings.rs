//! What the zoo was told: where to misbehave, how, and when. Does nothing of it.

use oriel_sdk::{Config, Failure};

/// Where the zoo misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Init,
    Filters,
    Judge,
    Observe,
    Notice,
    Tick,
    Save,
    Restore,
}

/// What the zoo does there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Answers.
    Answer(Answer),
    /// Does harm, for which it needs nobody.
    Harm(Harm),
    /// Asks something of the host.
    Ask(Ask),
    /// Hands over more than anybody wants: filters, or saved state.
    HugeAnswer,
}

/// An answer, by its verdict's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Continue,
    Deny,
    Replace,
    Crash,
    Skip,
    Inject,
    Retry,
}

/// What ends an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Harm {
    Trap,
    Loop,
    MemoryBomb,
    Recurse,
    /// Traps in about half of its events, which ones nobody can tell.
    TrapAtRandom,
}

/// What needs a right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    LogFlood,
    AlertFlood,
    StoreFlood,
    ReadRegisters,
    ReadMemory,
    Alert,
    Count,
    CommandStorm,
    Forbidden,
    HugeText,
    HugeList,
    Remember,
}

const STAGES: [(&str, Stage); 8] = [
    ("init", Stage::Init),
    ("filters", Stage::Filters),
    ("judge", Stage::Judge),
    ("observe", Stage::Observe),
    ("notice", Stage::Notice),
    ("tick", Stage::Tick),
    ("save", Stage::Save),
    ("restore", Stage::Restore),
];

const ACTS: [(&str, Act); 25] = [
    ("continue", Act::Answer(Answer::Continue)),
    ("deny", Act::Answer(Answer::Deny)),
    ("replace", Act::Answer(Answer::Replace)),
    ("crash", Act::Answer(Answer::Crash)),
    ("skip", Act::Answer(Answer::Skip)),
    ("inject", Act::Answer(Answer::Inject)),
    ("retry", Act::Answer(Answer::Retry)),
    ("trap", Act::Harm(Harm::Trap)),
    ("loop", Act::Harm(Harm::Loop)),
    ("memory-bomb", Act::Harm(Harm::MemoryBomb)),
    ("recurse", Act::Harm(Harm::Recurse)),
    ("trap-at-random", Act::Harm(Harm::TrapAtRandom)),
    ("huge-answer", Act::HugeAnswer),
    ("log-flood", Act::Ask(Ask::LogFlood)),
    ("alert-flood", Act::Ask(Ask::AlertFlood)),
    ("store-flood", Act::Ask(Ask::StoreFlood)),
    ("read-registers", Act::Ask(Ask::ReadRegisters)),
    ("read-memory", Act::Ask(Ask::ReadMemory)),
    ("alert", Act::Ask(Ask::Alert)),
    ("count", Act::Ask(Ask::Count)),
    ("command-storm", Act::Ask(Ask::CommandStorm)),
    ("forbidden", Act::Ask(Ask::Forbidden)),
    ("huge-text", Act::Ask(Ask::HugeText)),
    ("huge-list", Act::Ask(Ask::HugeList)),
    ("remember", Act::Ask(Ask::Remember)),
];

/// What the zoo was told.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) at: Stage,
    pub(crate) act: Act,
    /// What `replace` replaces by, where `read-memory` reads, and what makes `remember` trap.
    pub(crate) value: u64,
    /// Misbehave only when an MSR is written with this value.
    pub(crate) when_new: Option<u64>,
    /// How long a flood is.
    pub(crate) times: u64,
    /// Which MSRs to hear of; none: all.
    pub(crate) msrs: Vec<u32>,
}

impl Settings {
    pub(crate) fn read(config: &mut Config) -> Result<Self, Failure> {
        Ok(Self {
            at: config.choice("at", &STAGES)?.unwrap_or(Stage::Judge),
            act: config
                .choice("act", &ACTS)?
                .unwrap_or(Act::Answer(Answer::Continue)),
            value: config.get_or("value", 0)?,
            when_new: config.get("when-new")?,
            times: config.get_or("times", 10_000)?,
            msrs: config.get_or("msrs", Vec::new())?,
        })
    }
}
