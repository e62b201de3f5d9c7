//! What a policy may hear and do in the end: what it asks for, what its manifest declares and
//! what the operator grants, all three. Owns this rule alone; loading acts on it, and
//! `oriel policy explain` prints it.

use std::sync::Arc;

use oriel_protocol::{Bounds, EventKind, Right, events::EventClass};
use serde::{Serialize, Serializer};

use crate::{Inspection, Terms};

/// What a policy may hear and do in the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Effective {
    /// Every right there is.
    pub rights: Vec<Standing<Right>>,
    /// Every kind of event that a policy can hear.
    pub events: Vec<Standing<EventKind>>,
    /// Which MSRs and which memory; none: whatever the rights reach.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "told")]
    pub bounds: Option<Arc<Bounds>>,
}

/// How it stands with one right, or one kind of event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Standing<T> {
    /// With what.
    #[serde(rename = "name")]
    pub what: T,
    /// Who says no; nobody: it is in effect.
    pub no: Vec<Says>,
}

/// Who can say no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Says {
    /// The component does not import it.
    Imports,
    /// The component does not export an interface for it.
    Exports,
    /// The manifest declares rights, and not this one.
    Manifest,
    /// The operator does not grant it.
    Grant,
}

impl Says {
    /// Its word in the explanation.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Imports => "imports",
            Self::Exports => "exports",
            Self::Manifest => "manifest",
            Self::Grant => "grant",
        }
    }
}

impl<T> Standing<T> {
    /// Whether nobody says no.
    pub const fn in_effect(&self) -> bool {
        self.no.is_empty()
    }

    fn of<const N: usize>(what: T, asked: [(Says, bool); N]) -> Self {
        let no = asked.into_iter().filter(|(_, yes)| !yes);
        Self {
            what,
            no: no.map(|(who, _)| who).collect(),
        }
    }
}

impl Effective {
    /// What a component that says this of itself may hear and do on these terms.
    pub fn of(inspection: &Inspection, terms: &Terms) -> Self {
        let rights = Right::ALL.iter().map(|&right| {
            // The log is everybody's: it need be neither declared nor granted.
            let everybodys = right == Right::Log;
            let asked = [
                (Says::Imports, inspection.asks.contains(&right)),
                (Says::Manifest, declares(inspection, right)),
                (Says::Grant, everybodys || terms.rights.contains(&right)),
            ];
            Standing::of(right, asked)
        });
        let kinds = EventKind::ALL.iter().copied().filter(can_be_heard);
        let events = kinds.map(|kind| {
            let asked = [
                (Says::Exports, exports(inspection, kind)),
                (Says::Grant, terms.events.contains(kind)),
            ];
            Standing::of(kind, asked)
        });
        Self {
            rights: rights.collect(),
            events: events.collect(),
            bounds: terms.bounds.clone(),
        }
    }

    /// The rights that it imports and may not use. With one of them it is not loaded.
    pub fn lacking(&self) -> impl Iterator<Item = Right> {
        let lacks = |standing: &&Standing<Right>| {
            !standing.in_effect() && !standing.no.contains(&Says::Imports)
        };
        self.rights.iter().filter(lacks).map(|right| right.what)
    }

    /// Those of them to which this one says no.
    pub fn lacking_by(&self, who: Says) -> impl Iterator<Item = Right> {
        let says_no = move |right: &Right| {
            let standing = self.rights.iter().find(|one| one.what == *right);
            standing.is_some_and(|standing| standing.no.contains(&who))
        };
        self.lacking().filter(says_no)
    }
}

fn told<S: Serializer>(bounds: &Option<Arc<Bounds>>, to: S) -> Result<S::Ok, S::Error> {
    bounds.as_deref().serialize(to)
}

/// Whether its manifest lets it use a right: one without a list of rights declares what is
/// imported, and the log is everybody's.
fn declares(inspection: &Inspection, right: Right) -> bool {
    let declared = inspection.manifest.rights.as_ref();
    right == Right::Log || declared.is_none_or(|rights| rights.contains(&right))
}

/// The first right that it imports without declaring it, if its manifest declares any: with that it is
/// not loaded.
pub fn undeclared(inspection: &Inspection) -> Option<Right> {
    let mut asks = inspection.asks.iter().copied();
    asks.find(|&right| !declares(inspection, right))
}

/// What it observes is known only once it has been asked, and may be anything.
fn exports(inspection: &Inspection, kind: EventKind) -> bool {
    let observes = || inspection.exports.iter().any(|name| name == "observe");
    inspection.hears.contains(kind) || observes()
}

/// Some exist on a wire only.
fn can_be_heard(kind: &EventKind) -> bool {
    kind.class() != EventClass::Wire
}

#[cfg(test)]
mod tests;
