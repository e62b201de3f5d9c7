//! A plugin: the code of a policy, inspected and compiled, without configuration or grant.

use wasmtime::{Engine, component::Component};

use crate::{Inspection, LoadError, Manifest, effective, engines::Engines, inspect, relay};

/// The code of a policy. One plugin can be prepared as many policies.
pub struct Plugin {
    name: String,
    inspection: Inspection,
    component: Component,
}

impl Plugin {
    /// Inspects and compiles.
    pub(crate) fn load(engines: &Engines, name: &str, bytes: &[u8]) -> Result<Self, LoadError> {
        let inspection = inspect::inspect(bytes)?;
        check_rights(&inspection)?;
        let component = compile(engines, &inspection, bytes)?;
        Ok(Self {
            name: name.to_owned(),
            inspection,
            component,
        })
    }

    /// What it was loaded as.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it says of itself.
    pub const fn inspection(&self) -> &Inspection {
        &self.inspection
    }

    /// What it declares about itself.
    pub const fn manifest(&self) -> &Manifest {
        &self.inspection.manifest
    }

    pub(crate) const fn component(&self) -> &Component {
        &self.component
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.component.engine()
    }
}

/// A manifest that declares rights declares all of them; the log is everybody's.
fn check_rights(inspection: &Inspection) -> Result<(), LoadError> {
    let undeclared = effective::undeclared(inspection);
    undeclared.map_or(Ok(()), |right| Err(LoadError::Undeclared(right)))
}

/// Compiles for the pool if it fits, and for the other engine if it turns out not to; or takes what was
/// compiled the last time out of the cache.
fn compile(
    engines: &Engines,
    inspection: &Inspection,
    bytes: &[u8],
) -> Result<Component, LoadError> {
    let engine = engines.suiting(&inspection.footprint);
    let relayed = relay::relayed(bytes);
    let bytes = relayed.as_deref().unwrap_or(bytes);
    let compiled = Component::new(engine, bytes)
        .or_else(|first| Component::new(engines.on_demand(), bytes).map_err(|_| first));
    compiled.map_err(|error| LoadError::Compile(format!("{error:#}")))
}
