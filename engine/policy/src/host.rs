//! The host: both engines, the watchdog and the reaper. One a process.

use std::{io, path::PathBuf, sync::Arc};

use thiserror::Error;

use crate::{
    Instance, LoadError, Plugin, Policy, PrepareError, Slot, Terms, engines::Engines,
    reaper::Reaper, watchdog::Watchdog,
};

/// How much room there is for policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSettings {
    /// Instances in the pool, of all policies together. Each reserves 4 GiB of addresses and next
    /// to no memory.
    pub pool: u32,
    /// The most memory of an instance in the pool, in bytes.
    pub pool_memory: usize,
    /// The most elements of a table in the pool.
    pub pool_table_elements: usize,
    /// The stack that a policy can use up, in bytes. The threads that call policies need twice
    /// as much.
    pub stack: usize,
    /// Whether what events use up is counted ([`Policy::spent`]): for benches, since it makes
    /// policies slower.
    pub count_fuel: bool,
    /// Where compiled code is kept, so that it need not be compiled again; none: it is not kept. Must be a directory
    /// of this user alone (mode 0700), and is made if it is not there. What cannot be used is left out, with a warning.
    pub code_cache: Option<PathBuf>,
}

impl Default for HostSettings {
    fn default() -> Self {
        Self {
            pool: 256,
            pool_memory: 64 << 20,
            pool_table_elements: 10_000,
            stack: 512 << 10,
            count_fuel: false,
            code_cache: None,
        }
    }
}

/// Why there is no host.
#[derive(Debug, Error)]
pub enum HostError {
    /// Wasmtime refuses: the settings ask for too much, most likely addresses.
    #[error("the WebAssembly engine does not start: {0}; a smaller pool may help")]
    Engine(String),
    /// No threads.
    #[error("a thread of the policy host does not start")]
    Thread(#[source] io::Error),
}

/// Loads policies and makes them ready to be called.
pub struct Host {
    engines: Engines,
    watchdog: Arc<Watchdog>,
    reaper: Reaper,
}

impl Host {
    /// Makes the engines and starts the threads.
    ///
    /// # Errors
    /// [`HostError`] if there is too little room, or no thread.
    pub fn new(settings: HostSettings) -> Result<Self, HostError> {
        let engines = Engines::new(&settings);
        let engines = engines.map_err(|error| HostError::Engine(format!("{error:#}")))?;
        let bumped = engines.clone();
        let watchdog = Watchdog::start(move || bumped.bump()).map_err(HostError::Thread)?;
        Ok(Self {
            engines,
            watchdog: Arc::new(watchdog),
            reaper: Reaper::start().map_err(HostError::Thread)?,
        })
    }

    /// A slot for one thread that calls policies.
    pub fn slot(&self) -> Arc<Slot> {
        self.watchdog.slot()
    }

    /// Inspects and compiles a component.
    ///
    /// # Errors
    /// [`LoadError`] says what it is instead of a policy, and what to do.
    pub fn load(&self, name: &str, bytes: &[u8]) -> Result<Arc<Plugin>, LoadError> {
        Plugin::load(&self.engines, name, bytes).map(Arc::new)
    }

    /// Makes a policy of a plugin: checks its rights and its configuration, links what is
    /// granted, and asks an instance made for it (the probe) for its filters.
    ///
    /// # Errors
    /// [`PrepareError`] names what is missing and how to give it.
    pub fn prepare(&self, plugin: &Arc<Plugin>, terms: Terms) -> Result<Policy, PrepareError> {
        Policy::prepare(&self.watchdog, plugin, terms)
    }

    /// Takes an instance that is not needed any more, and drops it on another thread.
    pub fn retire(&self, instance: Instance) {
        self.reaper.take(instance);
    }
}
