//! What threads meet over, in one place: `tests/model` puts the same modules on another footing,
//! where every order in which threads may run is tried.

pub(crate) use std::{
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
