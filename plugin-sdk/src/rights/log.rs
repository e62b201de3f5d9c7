//! The policy's own log.

use crate::Engine;
use crate::bindings::rights::oriel::introspection::log as wit;

/// How much it matters.
pub use wit::Level;

/// The right to write to the policy's own log: every policy has it.
pub trait Log {
    /// Writes a line. A line too many is dropped, and counted.
    fn log(&mut self, level: Level, message: &str);
}

impl Log for Engine {
    fn log(&mut self, level: Level, message: &str) {
        wit::write(level, message);
    }
}
