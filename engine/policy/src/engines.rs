//! How wasmtime is set up: one engine with a pool of slots for ordinary policies, and one without
//! for those that do not fit it (interpreters: Python, JavaScript).

use wasmtime::{
    Cache, Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig,
    WasmBacktraceDetails,
};

use crate::{code_cache, host::HostSettings, inspect::Footprint};

/// The frames of a backtrace that are kept.
const FRAMES: usize = 16;
/// A component of ours has its module, two small ones that wit-component puts beside it, and the relay.
const PER_INSTANCE: u32 = 5;
/// Nobody reaches further: 32-bit addresses need no bounds checks in such a reservation.
const RESERVATION: u64 = 4 << 30;

/// Both engines.
#[derive(Clone)]
pub(crate) struct Engines {
    pooled: Engine,
    on_demand: Engine,
    settings: HostSettings,
}

impl Engines {
    pub(crate) fn new(settings: &HostSettings) -> wasmtime::Result<Self> {
        let mut config = config(settings)?;
        config.cache(cache(settings));
        let on_demand = Engine::new(&config)?;
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(settings)));
        Ok(Self {
            pooled: Engine::new(&config)?,
            on_demand,
            settings: settings.clone(),
        })
    }

    /// The engine that suits a component.
    pub(crate) fn suiting(&self, footprint: &Footprint) -> &Engine {
        if fits(footprint, &self.settings) {
            &self.pooled
        } else {
            &self.on_demand
        }
    }

    /// The engine for what does not fit the pool.
    pub(crate) const fn on_demand(&self) -> &Engine {
        &self.on_demand
    }

    /// Calls every running policy back.
    pub(crate) fn bump(&self) {
        self.pooled.increment_epoch();
        self.on_demand.increment_epoch();
    }
}

/// Whether a component fits a slot of the pool. What this overlooks, the pool refuses later.
fn fits(footprint: &Footprint, settings: &HostSettings) -> bool {
    footprint.memories <= 1
        && footprint.modules < PER_INSTANCE as usize
        && footprint.tables <= PER_INSTANCE as usize
        && footprint.memory_bytes <= settings.pool_memory as u64
        && footprint.table_elements <= settings.pool_table_elements as u64
}

/// What both have in common. Everything that a policy has no use for is off: threads, shared
/// memory, garbage collection and exceptions are not even compiled in.
fn config(settings: &HostSettings) -> wasmtime::Result<Config> {
    let mut config = Config::new();
    config
        .concurrency_support(false)
        .consume_fuel(settings.count_fuel)
        .epoch_interruption(true)
        .max_wasm_stack(settings.stack)
        .memory_reservation(RESERVATION)
        .shared_memory(false)
        .wasm_memory64(false)
        .wasm_multi_memory(true)
        .wasm_relaxed_simd(false)
        .wasm_tail_call(false)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(FRAMES))
        .wasm_backtrace_details(WasmBacktraceDetails::Disable);
    Ok(config)
}

/// A host without kept code is slower to load policies, and as good otherwise.
fn cache(settings: &HostSettings) -> Option<Cache> {
    let opened = code_cache::open(settings.code_cache.as_deref()?);
    if let Err(error) = &opened {
        tracing::warn!(%error, "compiled policies are not kept");
    }
    opened.ok()
}

fn pool(settings: &HostSettings) -> PoolingAllocationConfig {
    let slots = settings.pool;
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(slots)
        .total_memories(slots)
        .total_core_instances(slots.saturating_mul(PER_INSTANCE))
        .total_tables(slots.saturating_mul(PER_INSTANCE))
        .max_core_instances_per_component(PER_INSTANCE)
        .max_tables_per_component(PER_INSTANCE)
        .max_memories_per_component(1)
        .max_memory_size(settings.pool_memory)
        .table_elements(settings.pool_table_elements);
    pool
}
