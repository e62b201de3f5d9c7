//! What a line says, and how. Owns the words of the format (`docs/grants-and-audit.md`); never
//! the chain.

use std::sync::Arc;

use oriel_protocol::{Moment, Refusal};
use serde_json::{Map, Value as Json, json};

use super::{
    order::{self, Order},
    short::Read,
};
use crate::record::CLOCK;

/// The fields of a line, in order.
pub(super) type Fields = Map<String, Json>;

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    name: Arc<str>,
    /// Which revision of a policy.
    revision: Option<u64>,
    /// The operator asks, in this judge's name or in its own.
    operator: bool,
}

/// A command.
pub(crate) struct Command {
    pub(crate) who: Who,
    pub(crate) moment: Moment,
    pub(crate) name: &'static str,
    /// The vCPU that it is for.
    pub(crate) on: Option<u32>,
    pub(crate) arguments: Fields,
}

/// Reads of memory.
#[derive(Default)]
pub(super) struct Tally {
    words: u64,
    bulk: u64,
    bytes: u64,
    refused: u64,
    first_refused: Option<(Read, Refusal)>,
}

/// What is put into the queue.
pub(super) enum Line {
    /// A command, with its answer; none: nobody said what became of it.
    Command(Box<Command>, Option<Result<(), Refusal>>),
    /// What was read in one call.
    Reads(Who, Moment, Tally),
    /// An order about a policy, with what came of it.
    Order(Box<Order>, order::Outcome),
}

impl Who {
    /// A judge, and which revision of it, if there are several.
    pub(crate) const fn judge(name: Arc<str>, revision: Option<u64>) -> Self {
        Self {
            name,
            revision,
            operator: false,
        }
    }

    /// The operator, or an embedder, through the handle.
    pub(crate) fn operator() -> Self {
        Self {
            operator: true,
            ..Self::judge("operator".into(), None)
        }
    }

    /// The operator in the name of this judge.
    #[must_use]
    pub(crate) fn through_handle(self) -> Self {
        Self {
            operator: true,
            ..self
        }
    }

    fn tell(&self, fields: &mut Fields) {
        fields.insert("who".to_owned(), json!(&*self.name));
        if let Some(revision) = self.revision {
            fields.insert("revision".to_owned(), json!(revision));
        }
        if self.operator {
            fields.insert("through".to_owned(), json!("handle"));
        }
    }
}

impl Tally {
    /// Counts one read, and what became of it.
    pub(super) fn count(&mut self, read: &Read, answer: Result<(), Refusal>) {
        match answer {
            Ok(()) if read.word => self.words += 1,
            Ok(()) => {
                self.bulk += 1;
                self.bytes = self.bytes.saturating_add(read.length);
            }
            Err(refusal) => {
                self.refused += 1;
                self.first_refused.get_or_insert((*read, refusal));
            }
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.words == 0 && self.bulk == 0 && self.refused == 0
    }

    fn tell(&self, fields: &mut Fields) {
        fields.insert("words".to_owned(), json!(self.words));
        fields.insert("bulk".to_owned(), json!(self.bulk));
        fields.insert("bytes".to_owned(), json!(self.bytes));
        let Some((read, refusal)) = &self.first_refused else {
            return;
        };
        fields.insert("refused".to_owned(), json!(self.refused));
        let first = json!({
            "at": format!("{:#x}", read.at), "length": read.length, "answer": refusal,
        });
        fields.insert("first_refused".to_owned(), first);
    }
}

impl Line {
    /// Its fields, without the number and the hash.
    pub(super) fn fields(self) -> Fields {
        match self {
            Self::Command(command, answer) => told(*command, answer),
            Self::Reads(who, moment, tally) => {
                let mut fields = begun("reads", &who, moment);
                tally.tell(&mut fields);
                fields
            }
            Self::Order(order, outcome) => order::told(*order, outcome),
        }
    }
}

fn told(command: Command, answer: Option<Result<(), Refusal>>) -> Fields {
    let mut fields = begun("command", &command.who, command.moment);
    fields.insert("command".to_owned(), json!(command.name));
    if let Some(vcpu) = command.on {
        fields.insert("on".to_owned(), json!(vcpu));
    }
    fields.insert("args".to_owned(), Json::Object(command.arguments));
    let answer = match answer {
        Some(Ok(())) => json!("ok"),
        Some(Err(refusal)) => json!(refusal),
        None => json!("unknown"),
    };
    fields.insert("answer".to_owned(), answer);
    fields
}

fn begun(kind: &str, who: &Who, moment: Moment) -> Fields {
    let mut fields = typed(kind);
    who.tell(&mut fields);
    let vcpu = (moment.vcpu != CLOCK).then_some(moment.vcpu);
    fields.insert("vcpu".to_owned(), json!(vcpu));
    fields.insert("seq".to_owned(), json!(moment.seq));
    fields.insert("time_ns".to_owned(), json!(moment.time_ns));
    fields
}

/// A line of this type.
pub(super) fn typed(kind: &str) -> Fields {
    let mut fields = Fields::new();
    fields.insert("type".to_owned(), json!(kind));
    fields
}
