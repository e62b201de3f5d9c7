//! What the engine tells, handed on as it is told: for tests that wait for something of it.

use std::sync::{
    Arc, Mutex, PoisonError,
    mpsc::{self, Receiver, Sender},
};

use oriel_engine::{Record, Sink};

struct Channel(Mutex<Sender<Record>>);

impl Sink for Channel {
    fn put(&self, record: Record) {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The test may be over.
        let _ = sender.send(record);
    }
}

/// A sink, and where its records come out.
pub fn channel() -> (Arc<dyn Sink>, Receiver<Record>) {
    let (sender, records) = mpsc::channel();
    (Arc::new(Channel(Mutex::new(sender))), records)
}
