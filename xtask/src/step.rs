//! Says which step runs, and how long it took. Decides nothing.

use std::time::Instant;

use anyhow::{Context, Result};

/// Runs one step between a line with its name and a line with its time, both on stderr.
///
/// # Errors
/// The step's own, with its name in front.
pub(crate) fn step<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    eprintln!("==> {name}");
    let start = Instant::now();
    let result = work();
    let outcome = if result.is_ok() { "done" } else { "FAILED" };
    let seconds = start.elapsed().as_secs_f64();
    eprintln!("<== {name}: {outcome} after {seconds:.1} s");
    result.with_context(|| format!("step `{name}`"))
}
