//! The way to the actor: what vCPU threads and commands want of it, and the bell that wakes it. Runs
//! nothing itself.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
    mpsc::{self, Sender},
};

use oriel_protocol::Refusal;
use vmm_sys_util::eventfd::EventFd;

use super::world::World;
use crate::Exit;

/// What a vCPU's thread hands over when it enters.
#[derive(Debug, Default)]
pub(super) struct Going {
    /// Registers that have changed.
    pub(super) writes: Vec<(&'static str, u64)>,
    /// The instruction that it stands at is run with nothing stopping it.
    pub(super) over: Option<u64>,
}

/// What a vCPU's thread is handed when it leaves.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) exit: Exit,
    /// Its registers, where they are known already.
    pub(super) registers: Option<Vec<u8>>,
}

/// Something to be done while the world stands.
type Errand = Box<dyn FnOnce(&mut World) + Send>;

/// What is wanted of the actor.
pub(super) enum Order {
    /// A vCPU goes into the guest; what comes of it goes to its thread.
    Enter(u32, Going),
    /// A vCPU was kicked.
    Kick(u32),
    /// Something to be done while the world stands.
    Do(Errand),
    /// Something to be done whether or not it stands.
    Look(Errand),
}

impl std::fmt::Debug for Order {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Enter(..) => "Enter",
            Self::Kick(_) => "Kick",
            Self::Do(_) => "Do",
            Self::Look(_) => "Look",
        })
    }
}

/// The way to the actor.
#[derive(Debug)]
pub(super) struct Link {
    orders: Sender<Order>,
    bell: Arc<EventFd>,
}

impl Link {
    pub(super) const fn new(orders: Sender<Order>, bell: Arc<EventFd>) -> Self {
        Self { orders, bell }
    }

    pub(super) fn post(&self, order: Order) -> Result<(), Refusal> {
        self.orders.send(order).map_err(|_| Refusal::Gone)?;
        // A bell that cannot be rung has rung 2^64 times already.
        let _ = self.bell.write(1);
        Ok(())
    }

    /// Has something done while the world stands, and waits for the answer.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        errand: impl FnOnce(&mut World) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        self.wait(errand, Order::Do)
    }

    /// The same, without stopping the world for it.
    pub(super) fn look<T: Send + 'static>(
        &self,
        errand: impl FnOnce(&mut World) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        self.wait(errand, Order::Look)
    }

    fn wait<T: Send + 'static>(
        &self,
        errand: impl FnOnce(&mut World) -> T + Send + 'static,
        order: fn(Errand) -> Order,
    ) -> Result<T, Refusal> {
        let (reply, answer) = mpsc::sync_channel(1);
        self.post(order(Box::new(move |world| {
            // Nobody waits any more: then the answer is of no use.
            let _ = reply.send(errand(world));
        })))?;
        answer.recv().map_err(|_| Refusal::Gone)
    }
}

/// Whether a vCPU's thread is wanted outside.
#[derive(Debug, Default)]
pub(super) struct Kicked(AtomicBool);

impl Kicked {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub(super) fn clear(&self) {
        self.0.store(false, Ordering::SeqCst);
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
