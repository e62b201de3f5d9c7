//! One connection to a tool, shared by the thread that receives and the vCPUs that send.
//!
//! Each message goes out whole, in one write, under one lock; so the numbers of events are in the
//! order in which they are sent. A write that takes too long ends the connection.

use std::{
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use oriel_protocol::{Dialect, EventData, EventKind, kvmi};
use rustix::net::{SendFlags, Shutdown, sockopt};

use super::planted::Planted;

mod lane;

pub(super) use lane::Lane;

/// A connection to a tool.
#[derive(Debug)]
pub(super) struct Link {
    socket: OwnedFd,
    dialect: Dialect,
    /// The number of the last event.
    writer: Mutex<u32>,
    /// Which vCPU waits for the answer to which event.
    pub(super) pending: Arc<kvmi::Pending>,
    lanes: Box<[Lane]>,
    began: Instant,
    /// When the tool last said anything, in nanoseconds since it began.
    heard_ns: AtomicU64,
    down: OnceLock<String>,
    /// Whether what it armed is undone when it goes (v12's CONTROL_CLEANUP).
    cleanup: AtomicBool,
    planted: Mutex<Planted>,
}

/// A message of an event, to be given its number.
pub(super) struct Letter<'a> {
    pub(super) vcpu: u32,
    pub(super) snapshot: &'a kvmi::Snapshot,
    pub(super) data: EventData,
}

impl Link {
    /// A connection over this socket, for so many vCPUs; a write may take `patience`.
    ///
    /// # Errors
    /// If the socket takes no time-out, being none.
    pub(super) fn new(
        socket: OwnedFd,
        dialect: Dialect,
        vcpus: u32,
        patience: Duration,
    ) -> std::io::Result<Self> {
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(patience))?;
        rustix::io::ioctl_fionbio(&socket, false)?;
        Ok(Self {
            socket,
            dialect,
            writer: Mutex::new(0),
            pending: Arc::new(kvmi::Pending::new(vcpus)),
            lanes: (0..vcpus).map(|_| Lane::default()).collect(),
            began: Instant::now(),
            heard_ns: AtomicU64::new(0),
            down: OnceLock::new(),
            cleanup: AtomicBool::new(true),
            planted: Mutex::default(),
        })
    }

    /// The same socket, to read from.
    pub(super) fn reader(&self) -> std::io::Result<OwnedFd> {
        self.socket.try_clone()
    }

    /// What belongs to one vCPU.
    pub(super) fn lane(&self, vcpu: u32) -> Option<&Lane> {
        self.lanes.get(usize::try_from(vcpu).ok()?)
    }

    /// Breakpoint bytes that the tool wrote.
    pub(super) fn planted(&self) -> MutexGuard<'_, Planted> {
        self.planted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether what it armed is undone when it goes.
    pub(super) fn cleans_up(&self) -> bool {
        self.cleanup.load(Relaxed)
    }

    /// Says whether what it armed is undone when it goes.
    pub(super) fn set_cleanup(&self, on: bool) {
        self.cleanup.store(on, Relaxed);
    }

    /// The tool has said something.
    pub(super) fn hear(&self) {
        let ns = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.heard_ns.store(ns, Relaxed);
    }

    /// Whether the tool has said anything yet.
    pub(super) fn has_spoken(&self) -> bool {
        self.heard_ns.load(Relaxed) > 0
    }

    /// When the tool last said something.
    pub(super) fn heard_at(&self) -> Instant {
        self.began + Duration::from_nanos(self.heard_ns.load(Relaxed))
    }

    /// Sends a message.
    pub(super) fn send(&self, message: &[u8]) {
        let _turn = self.writer();
        self.write(message);
    }

    /// Sends an event, under a number of its own; answers with that. None: the connection is
    /// down, or the dialect has no such event.
    pub(super) fn send_event(&self, letter: &Letter<'_>) -> Option<u32> {
        let vcpu = u16::try_from(letter.vcpu).ok()?;
        let mut last = self.writer();
        let seq = last.wrapping_add(1);
        let message = kvmi::event::encode(self.dialect, seq, vcpu, letter.snapshot, &letter.data)?;
        *last = seq;
        let kind = letter.data.kind();
        if awaits_answer(kind) {
            // The answer may come before the write returns.
            self.pending.announce(letter.vcpu, seq, kind);
        }
        self.write(&message).then_some(seq)
    }

    fn writer(&self) -> MutexGuard<'_, u32> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, mut rest: &[u8]) -> bool {
        while !rest.is_empty() && self.is_up() {
            match rustix::net::send(&self.socket, rest, SendFlags::NOSIGNAL) {
                Ok(sent) => rest = rest.get(sent..).unwrap_or_default(),
                // A kick of the vCPU that sends.
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => {
                    self.hang_up("it does not read what it is sent");
                }
                Err(_) => self.hang_up("it has closed the connection"),
            }
        }
        self.is_up()
    }

    /// Whether it has not been hung up.
    pub(super) fn is_up(&self) -> bool {
        self.down.get().is_none()
    }

    /// Why it has been hung up.
    pub(super) fn reason(&self) -> Option<&str> {
        self.down.get().map(String::as_str)
    }

    /// Ends the connection; the first reason stands. Who reads from it finds its end.
    pub(super) fn hang_up(&self, reason: impl Into<String>) {
        if self.down.set(reason.into()).is_ok() {
            // The peer may have closed it already.
            let _ = rustix::net::shutdown(&self.socket, Shutdown::Both);
            self.lanes.iter().for_each(Lane::open);
        }
    }
}

/// Whether the tool owes an answer to events of this kind.
const fn awaits_answer(kind: EventKind) -> bool {
    !matches!(kind, EventKind::Unhook | EventKind::CommandError)
}

#[cfg(test)]
mod tests;
