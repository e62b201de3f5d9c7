//! What a component exports besides its judges, and where it all is.

use oriel_protocol::{EventKind, EventSet, Moment, Observation};
use wasmtime::{
    Result,
    component::{Instance, InstancePre},
    error::Context as _,
};

use crate::{
    bindings::exports::oriel::introspection as wit,
    inspect::Export,
    judges::{self, Judges, Store},
    limits::FILTERS_MAX,
    observe,
    probe::Asked,
    state::State,
};

/// Reads the list of interfaces that a component may export besides `lifecycle` and its judges.
macro_rules! optional {
    ($( $field:ident: $export:pat = $interface:ident, )*) => {
        /// Where a component's exports are; found once, by name.
        #[derive(Clone)]
        pub(crate) struct Indices {
            lifecycle: wit::lifecycle::GuestIndices,
            judges: judges::Indices,
            $( $field: Option<wit::$interface::GuestIndices>, )*
        }

        /// The exports of an instance; found by index.
        pub(crate) struct Exports {
            pub(crate) lifecycle: wit::lifecycle::Guest,
            pub(crate) judges: Judges,
            $( pub(crate) $field: Option<wit::$interface::Guest>, )*
        }

        impl Indices {
            /// Finds what the component exports.
            pub(crate) fn find(component: &InstancePre<State>, exports: &[Export]) -> Result<Self> {
                let judged = |export: &Export| match export {
                    Export::Judge(kind) => Some(*kind),
                    _ => None,
                };
                let kinds: EventSet = exports.iter().filter_map(judged).collect();
                Ok(Self {
                    lifecycle: wit::lifecycle::GuestIndices::new(component)?,
                    judges: judges::Indices::find(component, kinds)?,
                    $( $field: exports
                        .iter()
                        .any(|export| matches!(export, $export))
                        .then(|| wit::$interface::GuestIndices::new(component))
                        .transpose()?, )*
                })
            }

            /// Takes it out of an instance, checking the types of the functions.
            pub(crate) fn load(&self, store: &mut Store, instance: &Instance) -> Result<Exports> {
                Ok(Exports {
                    lifecycle: self.lifecycle.load(&mut *store, instance).context("lifecycle")?,
                    judges: self.judges.load(store, instance)?,
                    $( $field: self
                        .$field
                        .as_ref()
                        .map(|indices| indices.load(&mut *store, instance).context(stringify!($field)))
                        .transpose()?, )*
                })
            }
        }
    };
}

optional! {
    state: Export::State = state,
    tick: Export::Tick = tick,
    observe: Export::Observe = observe,
    create_vcpu: Export::Notice(EventKind::CreateVcpu) = notice_create_vcpu,
    pause: Export::Notice(EventKind::Pause) = notice_pause,
    unhook: Export::Notice(EventKind::Unhook) = notice_unhook,
}

impl Indices {
    /// Whether the clock can call it.
    pub(crate) const fn ticks(&self) -> bool {
        self.tick.is_some()
    }

    /// Whether it can save and restore its state.
    pub(crate) const fn has_state(&self) -> bool {
        self.state.is_some()
    }
}

impl Exports {
    /// Asks what it wants to hear of these kinds, and to see of those.
    pub(crate) fn ask(&self, store: &mut Store, hears: EventSet, sees: EventSet) -> Result<Asked> {
        Ok(Asked {
            filters: self.judges.filters(store, hears)?,
            observations: self.observations(store, sees)?,
        })
    }

    fn observations(&self, store: &mut Store, kinds: EventSet) -> Result<Vec<Observation>> {
        let Some(observe) = &self.observe else {
            return Ok(Vec::new());
        };
        let filters = observe.call_filters(store)?;
        if filters.len() > FILTERS_MAX {
            wasmtime::bail!(
                "{} filters to observe; {FILTERS_MAX} at most",
                filters.len()
            );
        }
        Ok(observe::observations(&filters, kinds))
    }

    /// Tells it something; none: it does not want to hear that.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "three notices among all kinds"
    )]
    pub(crate) fn notice(
        &self,
        store: &mut Store,
        kind: EventKind,
        at: Moment,
    ) -> Option<Result<()>> {
        Some(match kind {
            EventKind::CreateVcpu => self.create_vcpu.as_ref()?.call_created(store, at.into()),
            EventKind::Pause => self.pause.as_ref()?.call_paused(store, at.into()),
            EventKind::Unhook => self.unhook.as_ref()?.call_unhooking(store),
            _ => return None,
        })
    }
}
