//! Drops instances on a thread of its own: a drop unmaps memory, which no vCPU should wait for.

use std::{
    io,
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    thread,
};

use crate::Instance;

/// How many instances can wait to be dropped.
const WAITING: usize = 64;

/// The way to the thread that drops instances. The thread ends when this is dropped and the last
/// instance is gone.
#[derive(Debug)]
pub(crate) struct Reaper(SyncSender<Instance>);

impl Reaper {
    pub(crate) fn start() -> io::Result<Self> {
        let (sender, retired) = sync_channel(WAITING);
        thread::Builder::new()
            .name("oriel-reaper".into())
            .spawn(move || reap(&retired))?;
        Ok(Self(sender))
    }

    /// Drops the instance elsewhere. Where too many wait already it is dropped here: late for one
    /// event is better than memory without bounds.
    pub(crate) fn take(&self, instance: Instance) {
        match self.0.try_send(instance) {
            Ok(()) => {}
            Err(TrySendError::Full(instance) | TrySendError::Disconnected(instance)) => {
                drop(instance);
            }
        }
    }
}

fn reap(retired: &Receiver<Instance>) {
    retired.iter().for_each(drop);
}
