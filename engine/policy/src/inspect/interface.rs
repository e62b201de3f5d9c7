//! The names of interfaces: which are ours, and what each stands for.

use oriel_protocol::{EventKind, Right, events::EventClass};

use super::LoadError;

/// The version of the interfaces that this host serves. Its patch level is free: a policy built
/// against another one loads as long as it uses what is there.
const VERSION: (u64, u64) = (0, 1);
const VERSION_TEXT: &str = "0.1.0";
const PACKAGE: &str = "oriel:introspection/";

/// An interface that a policy can export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Export {
    Lifecycle,
    State,
    Tick,
    Observe,
    Judge(EventKind),
    Notice(EventKind),
}

/// What an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Import {
    /// Types only: nothing can be done with it.
    Words,
    /// A right.
    Right(Right),
}

impl Export {
    /// The interface of ours that has this name; none if it is somebody else's.
    pub(crate) fn named(name: &str) -> Result<Option<Self>, LoadError> {
        let Some(interface) = ours(name)? else {
            return Ok(None);
        };
        let known = Self::by_interface(interface);
        known
            .map(Some)
            .ok_or_else(|| LoadError::UnknownExport(interface.to_owned()))
    }

    fn by_interface(interface: &str) -> Option<Self> {
        let of_kind = |prefix: &str, class: EventClass| {
            let kind = EventKind::by_name(interface.strip_prefix(prefix)?)?;
            (kind.class() == class).then_some(kind)
        };
        match interface {
            "lifecycle" => Some(Self::Lifecycle),
            "state" => Some(Self::State),
            "tick" => Some(Self::Tick),
            "observe" => Some(Self::Observe),
            _ => of_kind("judge-", EventClass::Vcpu)
                .map(Self::Judge)
                .or_else(|| of_kind("notice-", EventClass::Notice).map(Self::Notice)),
        }
    }

    /// The interface's name, without package and version.
    pub(crate) fn interface(&self) -> String {
        match self {
            Self::Lifecycle => "lifecycle".into(),
            Self::State => "state".into(),
            Self::Tick => "tick".into(),
            Self::Observe => "observe".into(),
            Self::Judge(kind) => format!("judge-{}", kind.name()),
            Self::Notice(kind) => format!("notice-{}", kind.name()),
        }
    }

    /// The kind of event that comes through it.
    pub(crate) const fn kind(&self) -> Option<EventKind> {
        match self {
            Self::Judge(kind) | Self::Notice(kind) => Some(*kind),
            Self::Lifecycle | Self::State | Self::Tick | Self::Observe => None,
        }
    }
}

impl Import {
    /// What the interface of this name, of which these functions are used, stands for.
    pub(crate) fn named(name: &str, functions: &[String]) -> Result<Self, LoadError> {
        let Some(interface) = ours(name)? else {
            return Err(LoadError::ForeignImport(name.to_owned()));
        };
        match Right::by_name(interface) {
            _ if functions.is_empty() => Ok(Self::Words),
            Some(right) => Ok(Self::Right(right)),
            None => Err(LoadError::UnknownImport(interface.to_owned())),
        }
    }
}

/// The interface within our package; none if the package is another.
fn ours(name: &str) -> Result<Option<&str>, LoadError> {
    let Some(rest) = name.strip_prefix(PACKAGE) else {
        return Ok(None);
    };
    let (interface, version) = rest.split_once('@').unwrap_or((rest, ""));
    if compatible(version) {
        return Ok(Some(interface));
    }
    Err(LoadError::AnotherVersion {
        name: name.to_owned(),
        ours: VERSION_TEXT,
    })
}

/// Whether an interface of this version is ours, by the rules of semantic versions: below 1.0
/// the minor number must be the same.
fn compatible(version: &str) -> bool {
    let parts: Vec<_> = version.split('.').map(str::parse::<u64>).collect();
    matches!(parts[..], [Ok(major), Ok(minor), Ok(_)] if (major, minor) == VERSION)
}
