//! One vCPU of somebody else's QEMU, on the thread that judges for it. Asks the actor for
//! everything, and keeps what it was told until the guest is entered again.

mod instruction;
mod state;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, mpsc::Receiver},
};

use oriel_protocol::{Event, EventData, Verdict, VerdictKind, x86::Special};

use super::{
    layout::Layout,
    link::{Going, Kicked, Left, Link, Order},
    memory::Memory,
};
use crate::{
    End, Exit,
    machine::{Kicker, MachineError, Vcpu},
};

/// One vCPU.
pub(super) struct QemuVcpu {
    pub(super) index: u32,
    pub(super) link: Arc<Link>,
    pub(super) layout: Arc<Layout>,
    pub(super) memory: Arc<Memory>,
    pub(super) exits: Receiver<Left>,
    pub(super) kicked: Arc<Kicked>,
    pub(super) kept: Kept,
}

/// What is known of a vCPU that is outside.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Its thread has begun, so the world stands for it.
    begun: bool,
    /// All registers, in the stub's order.
    registers: Option<Vec<u8>>,
    special: Option<Special>,
    /// Registers to be set before it goes on.
    writes: BTreeMap<&'static str, u64>,
    open: Option<Open>,
}

/// The event that waits for its verdict.
#[derive(Clone, Copy, Debug)]
enum Open {
    /// Before the instruction there.
    Before { ip: u64 },
    /// Behind one.
    Behind,
}

impl Open {
    const fn of(event: &Event) -> Self {
        match (&event.data, event.retired) {
            (EventData::Breakpoint(_), false) => Self::Before { ip: event.ip },
            _ => Self::Behind,
        }
    }
}

impl QemuVcpu {
    /// From now on the world stands whenever this thread is outside.
    fn begin(&mut self) {
        if !std::mem::replace(&mut self.kept.begun, true) {
            let index = self.index;
            // If it is over, entering says so.
            let _ = self.link.ask(move |world| world.begin(index));
        }
    }

    /// What a verdict asks for, of the vCPU and of the entry.
    fn obey(&mut self, verdict: &Verdict) -> Result<Option<u64>, End> {
        let Some(open) = self.kept.open.take() else {
            return Ok(None);
        };
        match (verdict.kind(), open) {
            (VerdictKind::Continue, Open::Before { ip }) => Ok(Some(ip)),
            (VerdictKind::Continue, Open::Behind) | (VerdictKind::Retry, Open::Before { .. }) => {
                Ok(None)
            }
            (VerdictKind::Skip, Open::Before { ip }) => self.skip(ip).map(|()| None),
            (VerdictKind::Crash, _) => Err(End::Stopped),
            (kind, _) => Err(End::Failed(format!(
                "the verdict `{}` cannot be carried out on this event, which did not allow it",
                kind.name()
            ))),
        }
    }

    fn go_in(&mut self, over: Option<u64>) -> Exit {
        let writes = std::mem::take(&mut self.kept.writes);
        self.kept.registers = None;
        self.kept.special = None;
        let going = Going {
            writes: writes.into_iter().collect(),
            over,
        };
        let gone = || {
            Exit::Ended(End::Failed(
                "the thread that talks to QEMU is gone".to_owned(),
            ))
        };
        if self.link.post(Order::Enter(self.index, going)).is_err() {
            return gone();
        }
        let Ok(left) = self.exits.recv() else {
            return gone();
        };
        self.kept.registers = left.registers;
        if let Exit::Event(event) = &left.exit {
            self.kept.open = Some(Open::of(event));
        }
        left.exit
    }
}

impl Vcpu for QemuVcpu {
    fn index(&self) -> u32 {
        self.index
    }

    fn kicker(&self) -> Arc<dyn Kicker> {
        Arc::new(QemuKicker {
            index: self.index,
            link: Arc::clone(&self.link),
            kicked: Arc::clone(&self.kicked),
        })
    }

    fn acknowledge_kick(&mut self) {
        self.kicked.clear();
        self.begin();
    }

    fn enter(&mut self, verdict: Verdict) -> Result<Exit, MachineError> {
        self.begin();
        Ok(match self.obey(&verdict) {
            Ok(over) => self.go_in(over),
            Err(end) => Exit::Ended(end),
        })
    }
}

impl fmt::Debug for QemuVcpu {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "QemuVcpu({})", self.index)
    }
}

struct QemuKicker {
    index: u32,
    link: Arc<Link>,
    kicked: Arc<Kicked>,
}

impl Kicker for QemuKicker {
    fn kick(&self) {
        self.kicked.set();
        // Where there is no actor any more, nobody waits inside.
        let _ = self.link.post(Order::Kick(self.index));
    }
}
