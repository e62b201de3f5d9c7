//! Attaching to a QEMU that runs: asks its monitor what VM it is and where its memory lies, connects
//! to its stub, and hands out the machine with its vCPUs. Never starts QEMU.
//!
//! The world stands from the moment that the stub is connected to until all this is known, some
//! milliseconds; then the guest runs unwatched until the engine begins.

mod error;

use std::{
    process::Command,
    sync::{Arc, mpsc},
    time::Duration,
};

use oriel_protocol::{Arch, Identity};
use serde_json::{Value, json};
use uuid::Uuid;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

pub use error::AttachError;

use super::{
    actor, backend,
    backend::RamChoice,
    blocks::{self, Block},
    capabilities,
    gdb::Gdb,
    guard::Guard,
    link::{Kicked, Link},
    machine::QemuMachine,
    memory::{Memory, Source},
    points::Points,
    qmp::{Qmp, QmpError},
    stream::Address,
    vcpu::{Kept, QemuVcpu},
    world::{Place, Run, Seat, World},
};
use crate::{Vcpu, machine::Machine, machine::Parts};

/// How long the stub has for its first answer.
const FIRST_ANSWER: Duration = Duration::from_secs(5);

/// How a VM is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// It runs on, unless somebody else has paused it.
    Running,
    /// It stays where it stands.
    Standing,
}

/// What is to be attached to.
#[derive(Debug)]
pub struct Attach {
    /// The gdbstub.
    pub gdb: Address,
    /// The monitor.
    pub qmp: Address,
    /// How guest memory is read.
    pub ram: RamChoice,
    /// The VM's name; none: QEMU's.
    pub name: Option<String>,
    /// Starts a process that runs [`watch`](super::watch) with its standard input. Without one, a
    /// VM whose watcher is killed freezes at its next breakpoint.
    pub guard: Option<Command>,
}

/// A VM that is attached to.
#[derive(Debug)]
pub struct Attached {
    /// For the engine.
    pub parts: Parts,
    /// The same machine, to leave it in order.
    pub machine: Arc<QemuMachine>,
}

/// What the monitor says of a VM.
struct Asked {
    identity: Identity,
    kvm: bool,
    /// Somebody has paused it.
    paused: bool,
    blocks: Vec<Block>,
}

impl Attach {
    /// Attaches.
    ///
    /// # Errors
    /// [`AttachError`]; then the VM goes on as before.
    pub fn connect(mut self) -> Result<Attached, AttachError> {
        let mut qmp = Qmp::connect(&self.qmp).map_err(|source| self.qmp_failed(source))?;
        if is_taken(&mut qmp, &self.gdb) {
            return Err(AttachError::Taken(self.gdb));
        }
        let asked = self.ask(&mut qmp)?;
        let guard = self.guard.as_mut().map(Guard::start).transpose();
        let mut guard = guard.map_err(AttachError::Guard)?;
        if let Some(guard) = &mut guard {
            guard.tell(asked.paused);
        }
        let gdb = Gdb::connect(&self.gdb, FIRST_ANSWER).map_err(|source| AttachError::Gdb {
            address: self.gdb.clone(),
            source,
        })?;
        self.over(gdb, qmp, asked, guard)
    }

    fn qmp_failed(&self, source: QmpError) -> AttachError {
        AttachError::Qmp {
            address: self.qmp.clone(),
            source,
        }
    }

    fn ask(&self, qmp: &mut Qmp) -> Result<Asked, AttachError> {
        let failed = |source| self.qmp_failed(source);
        let identity = identity(qmp, self.name.clone()).map_err(failed)?;
        let kvm = qmp.uses_kvm().map_err(failed)?;
        let (runs, status) = qmp.status().map_err(failed)?;
        let text = qmp.monitor("info mtree -f", None).map_err(failed)?;
        Ok(Asked {
            identity,
            kvm,
            // Not begun yet, or left behind by a debugger: then it is ours to let it run.
            paused: !runs && !matches!(status.as_str(), "prelaunch" | "debug"),
            blocks: blocks::read(&text).map_err(AttachError::Blocks)?,
        })
    }

    /// The machine over these connections. If it cannot be, the VM is let go.
    fn over(
        self,
        mut gdb: Gdb,
        mut qmp: Qmp,
        asked: Asked,
        guard: Option<Guard>,
    ) -> Result<Attached, AttachError> {
        let paused = asked.paused;
        let found = backend::source(&self.ram, &asked.blocks, &mut qmp, &mut gdb);
        let made = found
            .map_err(AttachError::Ram)
            .and_then(|source| self.check_steps(&mut gdb).map(|()| source));
        match made {
            Ok(source) => self.start(gdb, qmp, asked, (source, guard)),
            Err(error) => {
                let left = paused || gdb.detach().is_ok();
                guard.into_iter().filter(|_| left).for_each(Guard::dismiss);
                Err(error)
            }
        }
    }

    /// A step that takes interrupts would end in a handler, not behind the instruction.
    fn check_steps(&self, gdb: &mut Gdb) -> Result<(), AttachError> {
        if gdb.steps_quietly() {
            Ok(())
        } else {
            Err(AttachError::Steps(self.gdb.clone()))
        }
    }

    fn start(
        self,
        gdb: Gdb,
        qmp: Qmp,
        asked: Asked,
        (source, guard): (Source, Option<Guard>),
    ) -> Result<Attached, AttachError> {
        let bell = Arc::new(EventFd::new(EFD_NONBLOCK).map_err(AttachError::Host)?);
        let (give, orders) = mpsc::channel();
        let link = Arc::new(Link::new(give, Arc::clone(&bell)));
        let source = Arc::new(source);
        let (points, resets) = (Points::default(), Arc::default());
        let memory = Arc::new(Memory {
            source: Arc::clone(&source),
            originals: Arc::clone(&points.originals),
            link: Arc::clone(&link),
            has_int3s: asked.kvm,
        });
        let capabilities = capabilities::capabilities(Some(&source));
        let layout = Arc::new(gdb.layout().clone());
        let seats = (0..gdb.vcpus()).map(|index| seat(index, (&link, &layout, &memory)));
        let (seats, vcpus): (Vec<_>, Vec<_>) = seats.unzip();
        let world = World {
            gdb,
            qmp,
            address: Some(self.gdb),
            seats,
            points,
            source,
            capabilities: capabilities.clone(),
            run: Run::Stands,
            held: None,
            paused: asked.paused,
            kvm: asked.kvm,
            untold: 0,
            shutting_down: false,
            end: None,
            resets: Arc::clone(&resets),
            trouble: None,
            last_stepped: 0,
            guard,
        };
        let actor = actor::start(world, orders, bell).map_err(AttachError::Host)?;
        let machine = Arc::new(QemuMachine {
            identity: asked.identity,
            capabilities,
            memory,
            link: Arc::clone(&link),
            resets,
            actor: Some(actor),
        });
        // The first order wakes the actor, which lets the guest go on.
        let _ = link.look(|_| ());
        Ok(Attached {
            parts: Parts {
                machine: Arc::clone(&machine) as Arc<dyn Machine>,
                vcpus,
            },
            machine,
        })
    }
}

/// What VM it is, by the monitor; this name, if it is given one.
pub(super) fn identity(qmp: &mut Qmp, name: Option<String>) -> Result<Identity, QmpError> {
    let (uuid, known) = qmp.identity()?;
    Ok(Identity {
        uuid: uuid.unwrap_or_else(Uuid::new_v4),
        name: name.or(known).unwrap_or_else(|| "qemu".to_owned()),
        arch: Arch::X86_64,
    })
}

/// Both ends of one vCPU.
fn seat(
    index: u32,
    (link, layout, memory): (&Arc<Link>, &Arc<super::layout::Layout>, &Arc<Memory>),
) -> (Seat, Box<dyn Vcpu>) {
    let (give, exits) = mpsc::channel();
    let kicked = Arc::new(Kicked::default());
    let vcpu = QemuVcpu {
        index,
        link: Arc::clone(link),
        layout: Arc::clone(layout),
        memory: Arc::clone(memory),
        exits,
        kicked: Arc::clone(&kicked),
        kept: Kept::default(),
    };
    let seat = Seat {
        place: Place::Free,
        over: None,
        next: std::collections::VecDeque::new(),
        kicked,
        exits: give,
    };
    (seat, Box::new(vcpu))
}

/// Whether a debugger is connected to the stub already. To find out by connecting would stop the VM
/// for good once that debugger goes: QEMU would take our connection then, and find nobody.
pub(super) fn is_taken(qmp: &mut Qmp, gdb: &Address) -> bool {
    let all = qmp.ask("query-chardev", json!({})).unwrap_or_default();
    let here = match gdb {
        Address::Unix(path) => format!("unix:{},", path.display()),
        Address::Tcp(place) => format!("tcp:{place},"),
    };
    let name = |device: &Value| {
        let name = device.get("filename").and_then(Value::as_str);
        name.map(str::to_owned)
    };
    let mut names = all.as_array().into_iter().flatten().filter_map(name);
    names.any(|name| name.starts_with(&here))
}
