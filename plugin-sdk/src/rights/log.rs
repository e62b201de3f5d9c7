//! The policy's own log.

use std::fmt::Display;

use crate::Engine;
use crate::bindings::rights::oriel::introspection::log as wit;

/// How much it matters.
pub use wit::Level;

/// The right to write to the policy's own log: every policy has it.
///
/// ```
/// use oriel_sdk::{Level, Log, testing::MockEngine};
///
/// let mut host = MockEngine::default();
/// host.log(Level::Debug, "as it is");
/// host.info(format_args!("{} tasks", 7));
/// host.warn("odd");
/// host.error("wrong");
/// assert_eq!(host.log[1], (Level::Info, "7 tasks".to_owned()));
/// ```
pub trait Log {
    /// Writes a line. A line too many is dropped, and counted.
    fn log(&mut self, level: Level, message: &str);

    /// Says what happens.
    fn info(&mut self, message: impl Display) {
        self.log(Level::Info, &message.to_string());
    }

    /// Says what is odd.
    fn warn(&mut self, message: impl Display) {
        self.log(Level::Warn, &message.to_string());
    }

    /// Says what went wrong.
    fn error(&mut self, message: impl Display) {
        self.log(Level::Error, &message.to_string());
    }
}

impl Log for Engine {
    fn log(&mut self, level: Level, message: &str) {
        wit::write(level, message);
    }
}
