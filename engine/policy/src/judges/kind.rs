//! What the files of the kinds are made with.

use oriel_protocol::{Case, EventKind, Filter, Only, Scope, Value, Verdict};
use wasmtime::Result;

use crate::{
    bindings::oriel::introspection::types::{CpuidLeaf, Scope as WitScope},
    limits::FILTERS_MAX,
    state::State,
};

/// A policy's store.
pub(crate) type Store = wasmtime::Store<State>;

/// A kind of event, as one component judges it. Implemented by [`kind!`].
pub(super) trait Judge {
    /// The kind's row in the table.
    type Row;

    /// Asks for the filters.
    fn filters(&self, store: &mut Store) -> Result<Vec<Filter>>;

    /// Has an event judged.
    fn judge(&self, store: &mut Store, row: &Self::Row, case: &Case<'_>) -> Result<Verdict>;
}

/// Brings a kind's row and its interface together; the file has `judge` and `only`.
macro_rules! kind {
    ($row:ident) => {
        impl super::kind::Judge for wit::Guest {
            type Row = $row;

            fn filters(&self, store: &mut Store) -> wasmtime::Result<Vec<oriel_protocol::Filter>> {
                let filters = self.call_filters(store)?;
                let alternatives = filters.iter().map(|filter| (only(filter), filter.scope));
                super::kind::alternatives(oriel_protocol::EventKind::$row, alternatives)
            }

            fn judge(
                &self,
                store: &mut Store,
                row: &$row,
                case: &Case<'_>,
            ) -> wasmtime::Result<oriel_protocol::Verdict> {
                Ok(judge(self, store, case.into(), row, case)?.into())
            }
        }
    };
}

/// The verdicts that a kind can take.
macro_rules! verdicts {
    ($($word:ident)*) => {
        impl From<wit::Verdict> for oriel_protocol::Verdict {
            fn from(verdict: wit::Verdict) -> Self {
                match verdict {
                    $( super::kind::verdict!(wit $word data) => super::kind::verdict!(ours $word data), )*
                }
            }
        }
    };
}

/// One verdict: a pattern of WIT's, and ours.
macro_rules! verdict {
    (wit Replace $data:ident) => {
        wit::Verdict::Replace($data)
    };
    (wit Inject $data:ident) => {
        wit::Verdict::Inject($data)
    };
    (wit Emulate $data:ident) => {
        wit::Verdict::Emulate($data)
    };
    (wit $word:ident $data:ident) => {
        wit::Verdict::$word
    };
    (ours Replace $data:ident) => {
        Self::Replace(super::kind::Replacement::value($data))
    };
    (ours Inject $data:ident) => {
        Self::Inject($data.into())
    };
    (ours Emulate $data:ident) => {
        Self::Emulate($data.into())
    };
    (ours $word:ident $data:ident) => {
        Self::$word
    };
}
pub(super) use {kind, verdict, verdicts};

/// What a `replace` carries.
pub(super) trait Replacement {
    /// As the tables have it.
    fn value(self) -> Value;
}

impl Replacement for u64 {
    fn value(self) -> Value {
        Value::Word(self)
    }
}

impl Replacement for CpuidLeaf {
    fn value(self) -> Value {
        Value::Leaf(self.into())
    }
}

/// Numbers from `first` to `last`.
pub(super) fn numbers(first: impl Into<u64>, last: impl Into<u64>) -> Only {
    Only::Numbers {
        first: first.into(),
        last: last.into(),
    }
}

/// A policy's filters of one kind; none named: all of the kind.
pub(super) fn alternatives(
    kind: EventKind,
    named: impl ExactSizeIterator<Item = (Only, WitScope)>,
) -> Result<Vec<Filter>> {
    if named.len() > FILTERS_MAX {
        wasmtime::bail!(
            "{} filters of `{}`; {FILTERS_MAX} at most",
            named.len(),
            kind.name()
        );
    }
    let filter = |(only, scope): (Only, WitScope)| Filter {
        kind,
        only,
        scope: Scope::from(scope),
    };
    let filters: Vec<_> = named.map(filter).collect();
    Ok(if filters.is_empty() {
        vec![all_of(kind)]
    } else {
        filters
    })
}

/// Everything of a kind that is a judge's to see: not the breakpoints of others.
fn all_of(kind: EventKind) -> Filter {
    let mut all = Filter::any(kind);
    if kind == EventKind::Breakpoint {
        all.only = Only::Breakpoint {
            first_tag: 0,
            last_tag: u64::MAX,
            unmanaged: true,
        };
    }
    all
}
