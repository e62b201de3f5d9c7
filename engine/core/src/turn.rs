//! Taking turns with something that there is one of: the instance of a policy that all vCPUs share.
//! First come, first served; who waits goes on serving its mailbox, and gives up at a deadline.

use std::collections::VecDeque;

use crate::sync::{Duration, Instant, Mutex, MutexGuard, PoisonError};

/// Whoever waits for a turn.
pub(crate) trait Waiter {
    /// Its number, one of a kind.
    fn number(&self) -> u32;

    /// Waits for a letter and acts on it; false if none has come by then.
    fn serve_one(&mut self, by: Instant) -> bool;

    /// Writes to another one that its turn may have come.
    fn call(&self, waiter: u32);
}

/// Something that there is one of, or the empty place where it is to be.
pub(crate) struct Turn<T>(Mutex<Bench<T>>);

struct Bench<T> {
    thing: Option<T>,
    /// Whose turn it is.
    holder: Option<u32>,
    waiting: VecDeque<u32>,
}

impl<T> Default for Turn<T> {
    fn default() -> Self {
        Self(Mutex::new(Bench {
            thing: None,
            holder: None,
            waiting: VecDeque::new(),
        }))
    }
}

impl<T> Turn<T> {
    /// Waits for the turn; none if it does not come in time. Whoever gets it [puts](Self::put) the
    /// thing back.
    pub(crate) fn take(&self, waiter: &mut impl Waiter, within: Duration) -> Option<Option<T>> {
        let deadline = Instant::now() + within;
        let me = waiter.number();
        self.lock().waiting.push_back(me);
        loop {
            if let Some(thing) = self.claim(me) {
                return Some(thing);
            }
            if !waiter.serve_one(deadline) {
                self.give_up(waiter);
                return None;
            }
        }
    }

    /// Puts the thing, or its empty place, back for the next one.
    pub(crate) fn put(&self, thing: Option<T>, waiter: &impl Waiter) {
        let mut bench = self.lock();
        bench.thing = thing;
        bench.holder = None;
        call_next(bench, waiter);
    }

    /// Puts the thing there before anybody has had a turn.
    pub(crate) fn furnish(&self, thing: T) {
        self.lock().thing = Some(thing);
    }

    /// Takes the thing away, when nobody takes turns any more.
    pub(crate) fn vacate(&self) -> Option<T> {
        self.lock().thing.take()
    }

    /// The thing, if it is this one's turn: the outer `Some` says so.
    fn claim(&self, me: u32) -> Option<Option<T>> {
        let mut bench = self.lock();
        if bench.holder.is_some() || bench.waiting.front() != Some(&me) {
            return None;
        }
        bench.waiting.pop_front();
        bench.holder = Some(me);
        Some(bench.thing.take())
    }

    /// Stops waiting; the next in line may be waiting for just that.
    fn give_up(&self, waiter: &impl Waiter) {
        let me = waiter.number();
        let mut bench = self.lock();
        bench.waiting.retain(|&other| other != me);
        call_next(bench, waiter);
    }

    fn lock(&self) -> MutexGuard<'_, Bench<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn call_next<T>(bench: MutexGuard<'_, Bench<T>>, waiter: &impl Waiter) {
    let next = if bench.holder.is_none() {
        bench.waiting.front().copied()
    } else {
        None
    };
    drop(bench);
    if let Some(next) = next {
        waiter.call(next);
    }
}
