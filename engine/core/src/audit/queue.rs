//! The queue in front of the writer. Owns the places in it; never writes.
//!
//! A place is taken before a command runs and given back when its line is in the file. So lines
//! never wait for room, and however many commands are under way, the queue has its bound.

use std::{collections::VecDeque, sync::Arc};

use super::line::Line;
use crate::sync::{Condvar, Duration, Instant, Mutex, MutexGuard, PoisonError};

/// The queue.
pub(super) struct Queue {
    places: usize,
    state: Mutex<State>,
    room: Condvar,
    work: Condvar,
}

#[derive(Default)]
struct State {
    lines: VecDeque<Line>,
    /// Places that are taken: by commands under way, and by lines that are not written yet.
    taken: usize,
    lost: u64,
    /// The writer does not move: do not wait again before it has.
    stuck: bool,
    /// The file takes nothing any more.
    broken: bool,
    closed: bool,
    /// What the closing line says; none: there is to be none.
    farewell: Option<String>,
}

/// What the writer is to do next.
pub(super) struct Work {
    pub(super) lines: Vec<Line>,
    /// Commands that were lost so far.
    pub(super) lost: u64,
}

/// A place in the queue. Given back unused if it is dropped.
pub(crate) struct Place(Option<Arc<Queue>>);

impl Queue {
    pub(super) fn new(places: usize) -> Self {
        Self {
            places,
            state: Mutex::default(),
            room: Condvar::new(),
            work: Condvar::new(),
        }
    }

    /// A place, as soon as there is one; none if there is none in time.
    pub(super) fn place(self: &Arc<Self>, patience: Duration) -> Option<Place> {
        let mut until = None;
        let mut state = self.lock();
        loop {
            if state.broken || state.closed {
                return None;
            }
            if state.taken < self.places {
                state.taken += 1;
                return Some(Place(Some(self.clone())));
            }
            let now = Instant::now();
            let until = *until.get_or_insert(now + patience);
            if state.stuck || until <= now {
                state.stuck = true;
                return None;
            }
            let waited = self.room.wait_timeout(state, until - now);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// A command goes without a line.
    pub(super) fn lose(&self) {
        self.lock().lost += 1;
    }

    /// What there is to write; none once the trail is closed and nothing is left.
    pub(super) fn take(&self) -> Option<Work> {
        let mut state = self.lock();
        while state.lines.is_empty() && !state.closed {
            let woken = self.work.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
        let lines: Vec<_> = state.lines.drain(..).collect();
        let lost = state.lost;
        (!lines.is_empty()).then_some(Work { lines, lost })
    }

    /// So many lines are in the file.
    pub(super) fn written(&self, lines: usize) {
        let mut state = self.lock();
        state.taken = state.taken.saturating_sub(lines);
        state.stuck = false;
        self.room.notify_all();
    }

    /// The file takes nothing any more; so many lines are lost by it.
    pub(super) fn break_off(&self, lines: u64) {
        let mut state = self.lock();
        state.broken = true;
        state.lost += lines;
        self.room.notify_all();
    }

    /// Nothing more is taken in.
    pub(super) fn close(&self, farewell: Option<&str>) {
        let mut state = self.lock();
        state.closed = true;
        state.farewell = farewell.map(str::to_owned);
        self.work.notify_all();
        self.room.notify_all();
    }

    /// What the closing line says, and how many commands were lost.
    pub(super) fn farewell(&self) -> (Option<String>, u64) {
        let state = self.lock();
        (state.farewell.clone(), state.lost)
    }

    fn put(&self, line: Line) {
        let mut state = self.lock();
        if state.closed {
            // The closing line may have been written already.
            state.lost += 1;
            return;
        }
        state.lines.push_back(line);
        self.work.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change leaves whole numbers and whole lines behind.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Puts a line there.
    pub(super) fn put(mut self, line: Line) {
        if let Some(queue) = self.0.take() {
            queue.put(line);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(queue) = self.0.take() {
            queue.written(1);
        }
    }
}
