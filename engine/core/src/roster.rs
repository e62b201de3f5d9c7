//! The policies of a running VM, and their revisions: loads, unloads, swaps and rolls back.
//!
//! A roster belongs to the operator's side. It never judges, and it never touches a vCPU: what is
//! to change on one is an errand in its mailbox, which its own thread does between two events.
//!
//! ```text
//!   stage      instances made, `init` called, `save` and `restore` rehearsed    nothing has changed
//!   shadow     it hears events beside the old revision, and nobody obeys it
//!   open       what it wants is armed, beside what the old one has armed
//!   move       each vCPU: `save` of the old → `restore` of the new, its seat is taken
//!   close      what the old one has armed is undone; its saved state is kept for a rollback
//! ```
//! Until the last vCPU has moved, going back is a message to those that have.

mod error;
mod options;
mod view;

use std::sync::Arc;

use oriel_policy::{Policy, Store};

use crate::shared::Shared;

pub use error::RosterError;
pub use options::{Canary, OnRefusal, Probation, Shadow, SwapOptions};
pub use view::{Past, Posted, ShadowReport, Standing, Swapped};

/// The policies of a running VM.
#[derive(Clone, Debug)]
pub struct Roster {
    shared: Arc<Shared>,
}

/// Told of the policies in force after every change, on the thread that made it, before whoever
/// asked for it is answered.
pub type OnChange = Arc<dyn Fn(&[Posted]) + Send + Sync>;

impl Roster {
    pub(crate) const fn of(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Has somebody told after every change, a rollback that nobody asked for included.
    pub fn on_change(&self, _told: OnChange) {}

    /// The policies in force, in the order in which they are asked.
    pub fn list(&self) -> Vec<Posted> {
        let _ = &self.shared;
        Vec::new()
    }

    /// The revisions of a policy that are known, the newest last.
    ///
    /// # Errors
    /// [`RosterError::Unknown`].
    pub fn history(&self, name: &str) -> Result<Vec<Past>, RosterError> {
        Err(RosterError::Unknown(name.to_owned()))
    }

    /// Loads a policy; it is asked after all others. Answers its revision, which is 1.
    ///
    /// # Errors
    /// [`RosterError`]; then nothing has changed.
    pub fn load(&self, policy: Arc<Policy>, _store: Arc<Store>) -> Result<Posted, RosterError> {
        Err(RosterError::Taken(policy.name().to_owned()))
    }

    /// Takes a policy away, and undoes what it has armed.
    ///
    /// # Errors
    /// [`RosterError`]; then nothing has changed.
    pub fn unload(&self, name: &str) -> Result<(), RosterError> {
        Err(RosterError::Unknown(name.to_owned()))
    }

    /// Puts a new revision in the place of the policy that has its name. Returns once every vCPU
    /// has moved, or none.
    ///
    /// # Errors
    /// [`RosterError`]; then the old revision judges as before.
    pub fn swap(&self, policy: Arc<Policy>, _how: &SwapOptions) -> Result<Swapped, RosterError> {
        Err(RosterError::Unknown(policy.name().to_owned()))
    }

    /// Puts an earlier revision back, with the state that it had when it was left: this one, or
    /// the one before the current.
    ///
    /// # Errors
    /// [`RosterError`]; then the current revision judges as before.
    pub fn rollback(&self, name: &str, _to: Option<u64>) -> Result<Swapped, RosterError> {
        Err(RosterError::Unknown(name.to_owned()))
    }

    /// Ends the quarantine of a policy.
    ///
    /// # Errors
    /// [`RosterError::Unknown`].
    pub fn release(&self, name: &str) -> Result<(), RosterError> {
        Err(RosterError::Unknown(name.to_owned()))
    }
}
