//! One call into a policy: the only place where the host goes from its own code into Wasm.

use std::sync::Arc;

use wasmtime::{PoolConcurrencyLimitError, Store, Trap, WasmBacktrace};

use crate::{
    Desk, Failure, Slot,
    instance::Answer,
    limits::{Allowance, cut},
    state::State,
    watchdog::Turn,
};

/// A call that is about to be made: with a desk, a turn of the slot, and this much time.
pub(crate) struct Visit<'a> {
    time: Allowance,
    slot: &'a Arc<Slot>,
    desk: Box<dyn Desk>,
}

impl<'a> Visit<'a> {
    #[inline]
    pub(crate) const fn new(time: Allowance, slot: &'a Arc<Slot>, desk: Box<dyn Desk>) -> Self {
        Self { time, slot, desk }
    }

    /// Runs `code` inside the store, and hands the desk back. A store that has failed is never
    /// entered again.
    #[inline]
    pub(crate) fn call<T>(
        self,
        store: &mut Store<State>,
        code: impl FnOnce(&mut Store<State>) -> wasmtime::Result<T>,
    ) -> Answer<T> {
        let turn = match self.enter(store) {
            Ok(turn) => turn,
            Err(no) => return (Err(no), self.desk),
        };
        store.data_mut().begin(self.slot, self.time, self.desk);
        store.set_epoch_deadline(1);
        let answer = code(store);
        drop(turn);
        let desk = store.data_mut().end(answer.is_ok());
        let answer = answer.map_err(|error| failure(store.data(), &error));
        (answer, desk.expect("nothing but `end` takes the desk"))
    }

    #[inline]
    fn enter(&self, store: &Store<State>) -> Result<Turn<'a>, Failure> {
        if store.data().is_dead() {
            return Err(Failure::Dead);
        }
        if !store.data().is_watched_in(self.slot) {
            return Err(Failure::Foreign);
        }
        self.slot.enter(self.time)
    }
}

/// What a failed call was.
#[cold]
fn failure(state: &State, error: &wasmtime::Error) -> Failure {
    if error.is::<PoolConcurrencyLimitError>() {
        return Failure::Full;
    }
    let interrupted = error.downcast_ref::<Trap>() == Some(&Trap::Interrupt);
    let stopped = interrupted.then(|| state.stopped()).flatten();
    stopped.unwrap_or_else(|| Failure::Trap {
        message: message(state, error),
    })
}

/// The most frames of a backtrace that are told.
const FRAMES: usize = 8;

/// What the policy last said of it, what happened, and where.
fn message(state: &State, error: &wasmtime::Error) -> String {
    let cause = error.root_cause().to_string();
    let mut parts: Vec<String> = state.last_words().map(str::to_owned).into_iter().collect();
    parts.push(cause.trim_start_matches("wasm trap: ").to_owned());
    parts.extend(error.downcast_ref::<WasmBacktrace>().and_then(place));
    cut(parts.join("; "))
}

/// The functions of a backtrace, innermost first, by the names that their authors know.
fn place(trace: &WasmBacktrace) -> Option<String> {
    let trace = trace.to_string();
    let frames = trace.lines().filter_map(|line| line.split_once(" - "));
    let names: Vec<_> = frames.map(|(_, name)| name).take(FRAMES).collect();
    (!names.is_empty()).then(|| format!("in {}", names.join(" < ")))
}
