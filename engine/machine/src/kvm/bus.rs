//! Where device accesses go: the reference VMM's devices, or an embedder's.

use super::pending::Place;

/// Devices behind ports and behind memory that is not RAM. Called on vCPU threads.
pub trait Bus: Sync {
    /// Fills `to` with what the device there answers.
    fn read(&self, vcpu: u32, place: Place, to: &mut [u8]);

    /// Hands the device what was written.
    fn write(&self, vcpu: u32, place: Place, from: &[u8]) -> Effect;
}

/// What a write has done to the VM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    #[default]
    None,
    /// The guest ends with this number.
    End(u32),
    /// The guest resets itself.
    Reset,
}
