//! What the engine tells about itself while it works, and where that goes.

use std::sync::Arc;

use oriel_protocol::{
    CommandId, Event, EventKind, Identity, Moment, Refusal, Verdict,
    commands::service::{Level, Severity},
};

use crate::judge::Lapse;

/// Takes what the engine tells. Called on vCPU threads: must not block for long.
pub trait Sink: Send + Sync {
    /// Takes one record.
    fn put(&self, record: Record);

    /// Whether events are wanted at all; they are the bulk.
    fn wants_events(&self) -> bool {
        true
    }
}

/// One thing to tell.
#[derive(Clone, Debug)]
pub enum Record {
    /// The VM starts.
    Start(Start),
    /// An event was judged.
    Event(Box<Judged>),
    /// A judge, or the engine itself, tells the operator.
    Alert(Alert),
    /// A command was refused.
    Refusal(Refused),
    /// A judge failed.
    Failure(Failed),
    /// A judge's log line.
    Log(LogLine),
    /// A KVMI tool has come or gone.
    Tool(Visit),
    /// A policy has come, gone, or changed its revision, or was to.
    Policy(Turnover),
    /// The guest reported a number.
    Report {
        /// Which vCPU.
        vcpu: u32,
        /// When, in nanoseconds since the start.
        time_ns: u64,
        /// What.
        value: u64,
    },
    /// The VM has ended.
    End(crate::engine::Outcome),
}

/// The VM starts.
#[derive(Clone, Debug)]
pub struct Start {
    /// Which VM.
    pub identity: Identity,
    /// How many vCPUs it has.
    pub vcpus: u32,
    /// The judges in the order in which they are asked.
    pub judges: Vec<Arc<str>>,
}

/// The `vcpu` of a [`Moment`] that is no vCPU's: what a policy says when the clock calls it.
pub const CLOCK: u32 = u32::MAX;

/// An event with its verdicts.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Where it stands.
    pub moment: Moment,
    /// What happened.
    pub event: Event,
    /// Who was asked, and what each said.
    pub judges: Vec<Opinion>,
    /// What was done.
    pub verdict: Verdict,
    /// Verdicts that were as strict as the one that stood then, and lost to it.
    pub conflicts: Vec<Dispute>,
}

/// Two judges that are equally strict and want different things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dispute {
    /// Who was asked first: its verdict stood.
    pub standing: Arc<str>,
    /// Whose verdict came to nothing.
    pub lost: Arc<str>,
}

/// One judge's verdict.
#[derive(Clone, Debug)]
pub struct Opinion {
    /// Whose.
    pub judge: Arc<str>,
    /// Which revision of a policy it was; 0 of what has none.
    pub revision: u64,
    /// What.
    pub verdict: Verdict,
    /// How long it took, in nanoseconds of wall time.
    pub ns: u64,
}

/// A judge tells the operator, or the engine tells of the judge, or of itself.
#[derive(Clone, Debug)]
pub struct Alert {
    /// Who, or of whom; none: the engine, of itself.
    pub judge: Option<Arc<str>>,
    /// When, and on which vCPU.
    pub moment: Moment,
    /// How bad it is.
    pub severity: Severity,
    /// For a person.
    pub message: String,
    /// For a machine.
    pub fields: Vec<(String, String)>,
    /// The engine says it about the judge; else the judge says it itself.
    pub by_engine: bool,
}

/// A command was refused: at the gate, or because another judge has done otherwise.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Who asked.
    pub judge: Arc<str>,
    /// When.
    pub moment: Moment,
    /// For what.
    pub command: CommandId,
    /// Why not.
    pub refusal: Refusal,
    /// Of a conflict: the judge that has done otherwise before.
    pub with: Option<Arc<str>>,
}

/// A judge failed.
#[derive(Clone, Debug)]
pub struct Failed {
    /// Who.
    pub judge: Arc<str>,
    /// When.
    pub moment: Moment,
    /// In what; none: outside of an event.
    pub kind: Option<EventKind>,
    /// How.
    pub failure: String,
    /// What stands in for its verdict.
    pub verdict: Verdict,
    /// It is not asked any more until the operator acts.
    pub quarantined: bool,
}

/// A judge's log line.
#[derive(Clone, Debug)]
pub struct LogLine {
    /// Who.
    pub judge: Arc<str>,
    /// When.
    pub moment: Moment,
    /// How important it is.
    pub level: Level,
    /// What.
    pub message: String,
}

/// A KVMI tool has come or gone.
#[derive(Clone, Debug)]
pub struct Visit {
    /// Who.
    pub judge: Arc<str>,
    /// When, in nanoseconds since the start.
    pub time_ns: u64,
    /// It is hooked now; else it is gone.
    pub hooked: bool,
    /// The dialect that it is spoken to, or why it is gone.
    pub detail: String,
}

/// A policy has come, gone, or changed its revision, or was to.
#[derive(Clone, Debug)]
pub struct Turnover {
    /// Which.
    pub judge: Arc<str>,
    /// When, in nanoseconds since the start.
    pub time_ns: u64,
    /// What was done.
    pub action: Action,
    /// The revision that was in force before; 0: none.
    pub from: u64,
    /// The one that is, or that was to be; 0: none.
    pub to: u64,
    /// Why, in words; empty where there is nothing to say.
    pub detail: String,
}

/// What was done about a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It was loaded.
    Load,
    /// It was taken away.
    Unload,
    /// A new revision is in force.
    Swap,
    /// An earlier revision is in force again.
    Rollback,
    /// A change was not made.
    Refused,
}

impl Action {
    /// Its word in event lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Unload => "unload",
            Self::Swap => "swap",
            Self::Rollback => "rollback",
            Self::Refused => "refused",
        }
    }
}

/// Keeps every record, for tests.
#[derive(Debug, Default)]
pub struct Kept(std::sync::Mutex<Vec<Record>>);

impl Kept {
    /// What was told so far.
    pub fn records(&self) -> Vec<Record> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }
}

impl Failed {
    /// A judge that failed where no verdict was asked for.
    pub(crate) fn untold(
        judge: Arc<str>,
        moment: Moment,
        kind: Option<EventKind>,
        lapse: Lapse,
    ) -> Self {
        let Lapse {
            reason,
            quarantined,
        } = lapse;
        Self {
            judge,
            moment,
            kind,
            failure: reason,
            verdict: Verdict::Continue,
            quarantined,
        }
    }
}

impl Sink for Kept {
    fn put(&self, record: Record) {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .push(record);
    }
}
