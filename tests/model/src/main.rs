//! The modules that threads meet over, in every order that a scheduler can think of: the sources
//! themselves, on the locks and threads of `shuttle`, which runs one thread at a time and decides at
//! each step, at random, which. A run that fails prints a schedule that repeats it.
//!
//! What is not tried: weaker orders of memory than the one that all the sources ask for (SeqCst), and
//! the kernel, for which [`sys`] stands.
//!
//! `cargo xtask test` runs it, and so does `cargo run --manifest-path tests/model/Cargo.toml`;
//! `ORIEL_MODEL=N` tries N times as many.

#![allow(dead_code, reason = "the modules do more than is tried here")]

// What the sources know of the machine crate is below.
extern crate self as oriel_machine;

#[path = "../../../engine/machine/src/kvm/kick.rs"]
mod kick;
#[path = "../../../engine/core/src/mailbox.rs"]
mod mailbox;
#[path = "../../../engine/machine/src/kvm/seats.rs"]
mod seats;
#[path = "../../../engine/core/src/turn.rs"]
mod turn;
#[path = "../../../engine/core/src/roster/visit.rs"]
mod visit;
#[path = "../../../engine/machine/src/kvm/world.rs"]
mod world;

mod arming;
mod cases;
mod sync;
mod sys;

/// As the machine crate's.
pub(crate) trait Kicker: Send + Sync {
    fn kick(&self);
}

/// As many ways to end as are needed here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Stopped,
    Cancelled,
}

/// As the machine crate's.
pub(crate) struct Hold(Option<Box<dyn FnOnce() + Send>>);

impl Hold {
    pub(crate) fn new(release: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(release)))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(release) = self.0.take() {
            release();
        }
    }
}

fn main() {
    let times = std::env::var("ORIEL_MODEL").ok();
    let times: usize = times.and_then(|times| times.parse().ok()).unwrap_or(1);
    for &(name, iterations, case) in cases::ALL {
        let iterations = iterations * times;
        shuttle::check_random(
            move || {
                sync::begin();
                case();
            },
            iterations,
        );
        println!("model: {name}: {iterations} schedules");
    }
}
