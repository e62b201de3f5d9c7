//! What vCPU threads meet over, in one place: `tests/model` puts the same modules on
//! another footing, where every order in which threads may run is tried.

pub(crate) use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};
