//! A mock machine on one thread. Owns its parts until they are taken; enters nothing by itself.

use std::{fmt, sync::Arc, time::Duration};

use super::{probe::Probe, world::World};
use crate::machine::Parts;

/// A machine whose vCPUs one thread enters in turn
/// ([`Scenario::build_alone`](super::Scenario::build_alone)).
#[derive(Debug)]
pub struct Alone {
    /// The machine.
    pub parts: Parts,
    /// What its registers do not show.
    pub probe: Probe,
    /// What has passed on its clock.
    pub idled: Idled,
}

/// How long the guest has idled, in its own time.
#[derive(Clone)]
pub struct Idled(Arc<World>);

impl Alone {
    pub(super) const fn new(parts: Parts, probe: Probe, world: Arc<World>) -> Self {
        Self {
            parts,
            probe,
            idled: Idled(world),
        }
    }
}

impl Idled {
    /// All vCPUs together.
    pub fn so_far(&self) -> Duration {
        self.0.idled()
    }
}

impl fmt::Debug for Idled {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "Idled({:?})", self.so_far())
    }
}
