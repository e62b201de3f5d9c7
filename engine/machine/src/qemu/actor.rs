//! The one thread that owns the connections: it waits for orders, for stops and for what QEMU tells,
//! and has the world do what follows.

use std::{
    io,
    os::fd::{AsRawFd as _, RawFd},
    sync::{
        Arc,
        mpsc::{Receiver, TryRecvError},
    },
    thread::JoinHandle,
};

use vmm_sys_util::{
    epoll::{ControlOperation, Epoll, EpollEvent, EventSet},
    eventfd::EventFd,
};

use super::{link::Order, world::World};

/// What epoll says came.
const BELL: u64 = 0;
const GDB: u64 = 1;
const QMP: u64 = 2;

struct Actor {
    world: World,
    orders: Receiver<Order>,
    bell: Arc<EventFd>,
    epoll: Epoll,
    /// The gdb connection that is listened to; none: nothing comes of it any more.
    gdb: Option<RawFd>,
    qmp: Option<RawFd>,
}

/// Starts it. It ends when nobody can give orders any more.
pub(super) fn start(
    world: World,
    orders: Receiver<Order>,
    bell: Arc<EventFd>,
) -> io::Result<JoinHandle<()>> {
    let epoll = Epoll::new()?;
    let event = EpollEvent::new(EventSet::IN, BELL);
    epoll.ctl(ControlOperation::Add, bell.as_raw_fd(), event)?;
    let actor = Actor {
        world,
        orders,
        bell,
        epoll,
        gdb: None,
        qmp: None,
    };
    std::thread::Builder::new()
        .name("qemu".to_owned())
        .spawn(move || actor.run())
}

impl Actor {
    fn run(mut self) {
        loop {
            let open = self.obey();
            self.world.settle();
            if !open {
                return;
            }
            if !self.listen_to_both() {
                // Nothing could be heard: whoever gives orders hears that we are gone.
                return;
            }
            self.wait();
        }
    }

    /// Does what was ordered; false once nobody can give orders any more.
    fn obey(&mut self) -> bool {
        loop {
            match self.orders.try_recv() {
                Ok(order) => self.world.obey(order),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    /// The connections that are to be listened to, as they are now.
    fn listen_to_both(&mut self) -> bool {
        let open = !self.world.is_over();
        let gdb = open.then(|| self.world.gdb.fd());
        let qmp = open.then(|| self.world.qmp.fd());
        let changed = [(gdb, self.gdb, GDB), (qmp, self.qmp, QMP)];
        for (now, before, data) in changed {
            if now == before {
                continue;
            }
            if let Some(before) = before {
                // A connection that is closed is out already.
                let _ = self
                    .epoll
                    .ctl(ControlOperation::Delete, before, EpollEvent::default());
            }
            if let Some(now) = now {
                let event = EpollEvent::new(EventSet::IN, data);
                if let Err(error) = self.epoll.ctl(ControlOperation::Add, now, event) {
                    tracing::error!(%error, "a connection to QEMU cannot be listened to");
                    return false;
                }
            }
        }
        (self.gdb, self.qmp) = (gdb, qmp);
        true
    }

    fn wait(&mut self) {
        let patience = self.world.patience().map_or(-1, |patience| {
            i32::try_from(patience.as_millis())
                .unwrap_or(i32::MAX)
                .saturating_add(1)
        });
        let mut events = [EpollEvent::default(); 3];
        // Interrupted by a signal: there is nothing, and one waits again.
        let count = self.epoll.wait(patience, &mut events).unwrap_or(0);
        for event in events.iter().take(count) {
            match event.data() {
                // It is only there to be heard.
                BELL => drop(self.bell.read()),
                GDB => self.world.listen(),
                _ => self.world.hear(),
            }
        }
        self.world.look_at_the_clock();
    }
}
