//! What a policy says before it traps: without it, a panic is an `unreachable` without a word.
//!
//! Reports; prevents nothing.

use std::panic;

use crate::{Engine, Level, Log};

/// From now on a panic's message, file and line go to the policy's log.
pub(crate) fn report_to_the_log() {
    panic::set_hook(Box::new(|info| {
        let line = info.to_string().replacen(":\n", ": ", 1);
        Engine::here().log(Level::Error, &line);
    }));
}
