//! Takes the time of every judgement, as the engine tells it. Judges and stops nothing.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
};

use oriel_engine::{Record, Sink, record::Judged};

/// Nanoseconds, by the name of the kind.
pub(super) type Times = BTreeMap<&'static str, Vec<u64>>;

/// Takes the times of judgements, and says when there were enough.
pub(super) struct Stopwatch {
    wanted: u64,
    seen: AtomicU64,
    times: Mutex<Times>,
    enough: mpsc::Sender<()>,
}

impl Stopwatch {
    /// For so many; `enough` hears of it when there were.
    pub(super) fn new(wanted: u64, enough: mpsc::Sender<()>) -> Self {
        Self {
            wanted: wanted.max(1),
            seen: AtomicU64::new(0),
            times: Mutex::default(),
            enough,
        }
    }

    /// How many judgements there were.
    pub(super) fn seen(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }

    /// What it has taken, once.
    pub(super) fn times(&self) -> Times {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut times)
    }

    fn take(&self, judged: &Judged) {
        let Some(opinion) = judged.judges.first() else {
            return;
        };
        let seen = self.seen.fetch_add(1, Ordering::Relaxed) + 1;
        if seen <= self.wanted {
            let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
            times
                .entry(judged.event.kind().name())
                .or_default()
                .push(opinion.ns);
        }
        if seen == self.wanted {
            // Whoever waits may have given up.
            let _ = self.enough.send(());
        }
    }
}

impl Sink for Stopwatch {
    fn put(&self, record: Record) {
        if let Record::Event(judged) = record {
            self.take(&judged);
        }
    }
}
