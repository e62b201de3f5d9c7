//! A directory whose files are policies: `NAME.wasm` is the policy NAME, and `NAME.toml` beside it,
//! if there is one, says on what terms (the keys of `[[policy]]` but `file` and `name`). Its thread
//! looks once a second, and gives its orders to the steward like anybody else.

mod sight;
mod watcher;

use std::{
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::Context;
use crossbeam_channel::{RecvTimeoutError, Sender, bounded};

use crate::{plan::WatchPlan, steward::Steward};

pub(crate) use watcher::{Watcher, opening};

/// How often the directory is looked at.
const PERIOD: Duration = Duration::from_secs(1);

/// Watches a directory for as long as it lives.
pub(crate) struct Watch {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    pub(crate) fn start(plan: WatchPlan, steward: Arc<Steward>) -> anyhow::Result<Self> {
        let (stop, stopped) = bounded::<()>(0);
        let body = move || {
            let mut watcher = Watcher::new(plan);
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(PERIOD) {
                watcher.scan(Instant::now(), &steward);
            }
        };
        let thread = std::thread::Builder::new().name("watch".to_owned());
        let thread = thread.spawn(body).context("the watching thread")?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // The thread hears that there is nobody any more who could tell it to stop.
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported, and the VM has run on without it.
            let _ = thread.join();
        }
    }
}
