//! A policy: a plugin that has been granted, configured, linked and asked for its filters. What
//! is left to do for an instance is one copy of its memory and its `init`.

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use oriel_protocol::{EventKind, EventSet, Filter, Observation, Right};
use wasmtime::component::{InstancePre, Linker};

use crate::{
    Desk, Dropped, Effective, FailureMode, Instance, InstanceMode, Limits, Manifest, OnFailure,
    Place, Plugin, PrepareError, Says, Setting, Slot, Spent, Terms,
    bindings::oriel::introspection::types::Setting as WitSetting,
    config,
    exports::Indices,
    instance::Answer,
    limits::Times,
    meter::Meter,
    probe, rights,
    state::State,
    watchdog::{Minding, Watchdog},
};

/// How often a policy is called by the clock that does not say it.
const TICK: Duration = Duration::from_secs(1);

/// A policy, ready to be instantiated. A clone is the same policy, which uses up the same limits.
#[derive(Clone)]
pub struct Policy {
    linked: Arc<Linked>,
    filters: Arc<[Filter]>,
    observations: Arc<[Observation]>,
    meter: Arc<Meter>,
}

/// A policy before it was asked for its filters.
pub(crate) struct Linked {
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) name: String,
    pub(crate) rights: BTreeSet<Right>,
    pub(crate) hears: EventSet,
    /// What it may see without judging it.
    pub(crate) granted: EventSet,
    effective: Effective,
    pub(crate) limits: Limits,
    pub(crate) times: Times,
    on_failure: OnFailure,
    pause: Option<Duration>,
    pub(crate) component: InstancePre<State>,
    pub(crate) indices: Indices,
    pub(crate) settings: Vec<(String, WitSetting)>,
    /// The same in words.
    resolved: Vec<(String, Setting)>,
    /// The watchdog minds its limits as long as it lives.
    pub(crate) minding: Minding,
}

impl Policy {
    pub(crate) fn prepare(
        watchdog: &Arc<Watchdog>,
        plugin: &Arc<Plugin>,
        terms: Terms,
    ) -> Result<Self, PrepareError> {
        let linked = Linked::new(watchdog, plugin, terms)?;
        let linked = Arc::new(linked);
        let meter = Meter::new(&linked.limits);
        let asked = probe::ask(&linked, &meter, &watchdog.slot())?;
        Ok(Self {
            meter,
            linked,
            filters: asked.filters.into(),
            observations: asked.observations.into(),
        })
    }

    /// The name in its terms.
    pub fn name(&self) -> &str {
        &self.linked.name
    }

    /// The code that it is made of.
    pub fn plugin(&self) -> &Plugin {
        &self.linked.plugin
    }

    /// What it declares about itself.
    pub fn manifest(&self) -> &Manifest {
        self.plugin().manifest()
    }

    /// The kinds of event that it judges or is told of: exported and granted.
    pub fn hears(&self) -> EventSet {
        self.linked.hears
    }

    /// What it may do: what it asks for, all of which was granted.
    pub fn rights(&self) -> &BTreeSet<Right> {
        &self.linked.rights
    }

    /// What it may hear and do, and who says no to the rest.
    pub fn effective(&self) -> &Effective {
        &self.linked.effective
    }

    /// How it is configured: what the operator gave, with the manifest's defaults filled in.
    pub fn settings(&self) -> &[(String, Setting)] {
        &self.linked.resolved
    }

    /// Which events it wants to judge. A kind that it hears and has no filters for is here with
    /// one that accepts everything.
    pub fn filters(&self) -> &[Filter] {
        &self.filters
    }

    /// Which events it wants to see.
    pub fn observations(&self) -> &[Observation] {
        &self.observations
    }

    /// The same policy on another VM, whose limits by the second are not used up by this one's.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self {
            meter: Meter::new(&self.linked.limits),
            ..self.clone()
        }
    }

    /// What answers an event of this kind when it cannot: as the operator says, else as its
    /// manifest does. A pause that the operator does not allow is `closed`.
    pub fn failure_mode(&self, kind: EventKind) -> FailureMode {
        match (self.linked.on_failure.of(kind), self.linked.pause) {
            (FailureMode::Pause, None) => FailureMode::Closed,
            (mode, _) => mode,
        }
    }

    /// The kinds that it hears and would pause for, had the operator allowed it.
    pub fn vain_pauses(&self) -> EventSet {
        let would = |kind: &EventKind| self.linked.on_failure.of(*kind) == FailureMode::Pause;
        if self.linked.pause.is_some() {
            return EventSet::NONE;
        }
        self.hears().iter().filter(would).collect()
    }

    /// How long a vCPU may be kept waiting for the operator, where the failure mode is `pause`.
    pub fn pause_limit(&self) -> Option<Duration> {
        self.linked.pause
    }

    /// What was dropped because its limits were reached, if it is time to tell the operator: at
    /// once, then no oftener than every ten seconds. Each is told once.
    #[inline]
    pub fn news(&self) -> Option<Dropped> {
        self.meter.news()
    }

    /// What its events have used up so far; nothing unless the host counts it.
    pub fn spent(&self) -> Spent {
        self.meter.spent()
    }

    /// How many instances of it there are.
    pub fn instances(&self) -> InstanceMode {
        self.manifest().instances
    }

    /// What it may use: the operator's limits, or less where it asked for less.
    pub fn limits(&self) -> &Limits {
        &self.linked.limits
    }

    /// How often the clock calls it; none if it does not export `tick`.
    pub fn tick(&self) -> Option<Duration> {
        let period = self.manifest().tick_ms.map_or(TICK, Duration::from_millis);
        self.linked.indices.ticks().then_some(period)
    }

    /// Whether it can save and restore its state.
    pub fn has_state(&self) -> bool {
        self.linked.indices.has_state()
    }

    /// Makes an instance and calls its `init`, with the deadline that `init` has.
    pub fn instantiate(
        &self,
        place: Place,
        slot: &Arc<Slot>,
        desk: Box<dyn Desk>,
    ) -> Answer<Instance> {
        Instance::begin(&self.linked, &self.meter, place, slot, desk)
    }
}

impl Linked {
    fn new(
        watchdog: &Arc<Watchdog>,
        plugin: &Arc<Plugin>,
        terms: Terms,
    ) -> Result<Self, PrepareError> {
        let effective = Effective::of(plugin.inspection(), &terms);
        check_rights(&effective, &terms)?;
        let manifest = plugin.manifest();
        let settings = config::resolve(&manifest.config, &terms.config)?;
        let component = link(plugin)?;
        let exports = &plugin.inspection().interfaces;
        let indices = Indices::find(&component, exports)
            .map_err(|error| PrepareError::Export(format!("{error:#}")))?;
        let limits = terms.limits.within(manifest);
        Ok(Self {
            plugin: Arc::clone(plugin),
            name: terms.name,
            rights: plugin.inspection().asks.iter().copied().collect(),
            hears: plugin.inspection().hears.intersection(terms.events),
            granted: terms.events,
            effective,
            times: Times::from(&limits),
            on_failure: terms
                .on_failure
                .unwrap_or_else(|| manifest.on_failure.clone()),
            pause: terms.pause,
            limits,
            component,
            indices,
            settings: settings
                .iter()
                .map(|(key, value)| (key.clone(), value.into()))
                .collect(),
            resolved: settings,
            minding: watchdog.mind(limits.shortest()),
        })
    }
}

/// What it asks for must have been granted.
fn check_rights(effective: &Effective, terms: &Terms) -> Result<(), PrepareError> {
    let missing: Vec<_> = effective.lacking_by(Says::Grant).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(PrepareError::not_granted(
        &terms.name,
        missing,
        &terms.rights,
    ))
}

/// Links the rights that it asks for, which have been granted, and nothing else.
fn link(plugin: &Plugin) -> Result<InstancePre<State>, PrepareError> {
    let mut linker = Linker::new(plugin.engine());
    let linked = plugin
        .inspection()
        .asks
        .iter()
        .try_for_each(|right| rights::link(*right, &mut linker))
        .and_then(|()| linker.instantiate_pre(plugin.component()));
    linked.map_err(|error| PrepareError::Import(format!("{error:#}")))
}

impl fmt::Debug for Policy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest = self.plugin().inspection().digest;
        out.debug_struct("Policy")
            .field("name", &self.name())
            .field("digest", &digest)
            .finish_non_exhaustive()
    }
}
