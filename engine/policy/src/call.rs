//! One call into a policy: the only place where the host goes from its own code into Wasm.

use std::sync::Arc;

use wasmtime::{PoolConcurrencyLimitError, Store, Trap, WasmBacktrace};

use crate::{
    Desk, Failure, Slot,
    failure::Trace,
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

/// How a call went, and the desk. A failure is boxed, as there hardly ever is one: what is larger
/// costs each event.
pub(crate) type Outcome<T> = (Result<T, Box<Failure>>, Box<dyn Desk>);

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
    ) -> Outcome<T> {
        let turn = match self.enter(store) {
            Ok(turn) => turn,
            Err(no) => return (Err(no), self.desk),
        };
        store.data_mut().begin(self.slot, self.time, self.desk);
        store.set_epoch_deadline(1);
        let answer = code(store);
        drop(turn);
        let answer = match answer {
            Ok(_) if store.data().has_stormed() => Err(store.data().storm()),
            Ok(answer) => Ok(answer),
            Err(error) => Err(failure(store.data(), &error)),
        };
        let desk = store.data_mut().end(answer.is_ok());
        (answer, desk.expect("nothing but `end` takes the desk"))
    }

    #[inline]
    fn enter(&self, store: &Store<State>) -> Result<Turn<'a>, Box<Failure>> {
        let state = store.data();
        if state.is_dead() || !state.is_watched_in(self.slot) {
            return Err(shut(state));
        }
        self.slot.enter(self.time)
    }
}

/// Why a store cannot be entered.
#[cold]
fn shut(state: &State) -> Box<Failure> {
    Box::new(match state.is_dead() {
        true => Failure::Dead,
        false => Failure::Foreign,
    })
}

/// What a failed call was.
#[cold]
fn failure(state: &State, error: &wasmtime::Error) -> Box<Failure> {
    if error.is::<PoolConcurrencyLimitError>() {
        return Box::new(Failure::Full);
    }
    let interrupted = error.downcast_ref::<Trap>() == Some(&Trap::Interrupt);
    let trace: Trace = error
        .downcast_ref()
        .map(frames)
        .into_iter()
        .flatten()
        .collect();
    let stopped = interrupted.then(|| state.stopped(&trace)).flatten();
    Box::new(stopped.unwrap_or_else(|| Failure::Trap {
        message: message(state, error, &trace),
        trace,
    }))
}

/// The most frames of a backtrace that are told in a line.
const FRAMES: usize = 8;

/// What the policy last said of it, what happened, and where.
fn message(state: &State, error: &wasmtime::Error, trace: &Trace) -> String {
    let cause = error.root_cause().to_string();
    let mut parts: Vec<String> = state.last_words().map(str::to_owned).into_iter().collect();
    parts.push(cause.trim_start_matches("wasm trap: ").to_owned());
    parts.extend(place(trace.frames()));
    cut(parts.join("; "))
}

/// Where that was, in a line.
fn place(frames: &[String]) -> Option<String> {
    let told = &frames[..frames.len().min(FRAMES)];
    (!told.is_empty()).then(|| format!("in {}", told.join(" < ")))
}

/// The functions of a backtrace, innermost first, by the names that their authors know.
fn frames(trace: &WasmBacktrace) -> Vec<String> {
    let trace = trace.to_string();
    let frames = trace.lines().filter_map(|line| line.split_once(" - "));
    frames.map(|(_, name)| cut(name.to_owned())).collect()
}
