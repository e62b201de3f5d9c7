//! The traits fit the machines that are not built yet: a stub of each, driven through them.
//!
//! A stub has the shape of its machine and nothing in it. What matters is where each method of the
//! traits leads; `docs/architecture.md` has the same as a table.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
        mpsc,
    },
    thread,
};

use oriel_protocol::{Arch, EventData, EventKind, VerdictSet, events::Hypercall, x86::msr};
use uuid::Uuid;
use vm_memory::{GuestAddress, GuestMemoryMmap};

use super::*;

/// What every stub knows about its VM.
struct Vm {
    identity: Identity,
    capabilities: Capabilities,
    memory: GuestMemoryMmap<()>,
}

impl Vm {
    fn new(name: &str) -> Self {
        Self {
            identity: Identity {
                uuid: Uuid::nil(),
                name: name.to_owned(),
                arch: Arch::X86_64,
            },
            capabilities: Capabilities::default(),
            memory: GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x1000)]).unwrap(),
        }
    }
}

/// One readable register is enough to show where reads go.
trait Readable: Send {
    fn read_msr(&mut self, _msr: u32) -> Result<u64, Refusal> {
        Err(Refusal::Unavailable)
    }
}

/// The state of a stub: what is not readable is unavailable, never zero.
struct Little<T>(T);

impl<T: Readable> VcpuState for Little<T> {
    fn general(&mut self) -> Result<General, Refusal> {
        Err(Refusal::Unavailable)
    }
    fn set_general(&mut self, _: &General) -> Result<(), Refusal> {
        Err(Refusal::Unavailable)
    }
    fn special(&mut self) -> Result<Special, Refusal> {
        Err(Refusal::Unavailable)
    }
    fn set_special(&mut self, _: &Special) -> Result<(), Refusal> {
        Err(Refusal::Unavailable)
    }
    fn msr(&mut self, msr: u32) -> Result<u64, Refusal> {
        self.0.read_msr(msr)
    }
    fn set_msr(&mut self, _: u32, _: u64) -> Result<(), Refusal> {
        Err(Refusal::Unavailable)
    }
    fn cpuid(&mut self, _: u32, _: u32) -> Result<CpuidLeaf, Refusal> {
        Err(Refusal::Unavailable)
    }
    fn xcr(&mut self, _: u8) -> Result<u64, Refusal> {
        Err(Refusal::Unavailable)
    }
    fn xsave(&mut self) -> Result<Vec<u8>, Refusal> {
        Err(Refusal::Unavailable)
    }
    fn set_xsave(&mut self, _: &[u8]) -> Result<(), Refusal> {
        Err(Refusal::Unavailable)
    }
    fn mtrr_type(&mut self, _: Gpa) -> Result<u8, Refusal> {
        Err(Refusal::Unavailable)
    }
    fn tsc_hz(&mut self) -> Result<u64, Refusal> {
        Err(Refusal::Unavailable)
    }
    fn inject(&mut self, _: Exception) -> Result<(), Refusal> {
        Err(Refusal::Unavailable)
    }
}

// qemu: one gdb connection for all vCPUs, and every stop stops all of them.

/// What the connection's owner knows: the stops to come, and how many events are being judged.
struct Gdb {
    stops: VecDeque<(u32, Event)>,
    open: u32,
}

struct Connection {
    gdb: Mutex<Gdb>,
    changed: Condvar,
}

struct Qemu(Vm, Arc<Connection>);

impl Machine for Qemu {
    fn identity(&self) -> &Identity {
        &self.0.identity
    }
    fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }
    /// The shared RAM file, mapped read-only; writes go through gdb, so that TCG sees them.
    fn memory(&self) -> &dyn GuestMemory {
        &self.0.memory
    }
    /// `Z0` and `z0` packets for the difference; what gdb cannot stop at is unsupported.
    fn arm(&self, wants: &Wants) -> Result<(), ArmError> {
        match wants.kind(EventKind::Msr) {
            false => Ok(()),
            true => Err(ArmError::Unsupported {
                what: "msr".to_owned(),
                reason: "gdb has no stop for it".to_owned(),
            }),
        }
    }
    /// An event is open, so no vCPU runs; one more open event keeps it so.
    fn hold_others(&self, _: u32) -> Result<Hold, Refusal> {
        self.1.gdb.lock().unwrap().open += 1;
        let connection = Arc::clone(&self.1);
        Ok(Hold::new(move || connection.answered()))
    }
}

impl Connection {
    /// One open event less; the last one lets the world go on (`vCont;c`).
    fn answered(&self) {
        self.gdb.lock().unwrap().open -= 1;
        self.changed.notify_all();
    }
}

struct QemuVcpu {
    index: u32,
    connection: Arc<Connection>,
    kicked: Arc<AtomicBool>,
    open: bool,
}

/// `g` and `p` packets on the connection; LSTAR is not in QEMU's target description.
impl Readable for QemuVcpu {}

impl Vcpu for Little<QemuVcpu> {
    fn index(&self) -> u32 {
        self.0.index
    }
    fn kicker(&self) -> Arc<dyn Kicker> {
        let (kicked, connection) = (Arc::clone(&self.0.kicked), Arc::clone(&self.0.connection));
        Arc::new(Bell(move || {
            let _gdb = connection.gdb.lock().unwrap();
            kicked.store(true, Ordering::SeqCst);
            connection.changed.notify_all();
        }))
    }
    fn acknowledge_kick(&mut self) {
        self.0.kicked.store(false, Ordering::SeqCst);
    }
    /// A step over the breakpoint, or a new RIP, then this vCPU's event is no longer open. Waits
    /// for a stop of its own, which comes once nobody's is.
    fn enter(&mut self, _: Verdict) -> Result<Exit, MachineError> {
        let this = &mut self.0;
        if std::mem::take(&mut this.open) {
            this.connection.answered();
        }
        let mut gdb = this.connection.gdb.lock().unwrap();
        loop {
            if this.kicked.load(Ordering::SeqCst) {
                return Ok(Exit::Kicked);
            }
            let Some((stopped, event)) = gdb.stops.front() else {
                return Ok(Exit::Ended(End::Finished(0)));
            };
            if *stopped == this.index && gdb.open == 0 {
                let event = event.clone();
                gdb.stops.pop_front();
                gdb.open += 1;
                this.open = true;
                return Ok(Exit::Event(event));
            }
            gdb = this.connection.changed.wait(gdb).unwrap();
        }
    }
}

// kvmi: one socket for events and replies, in whatever order they come.

/// Who waits for which sequence number, and the way to the kernel.
struct Wire {
    waiting: Mutex<HashMap<u32, mpsc::Sender<u64>>>,
    next: AtomicU32,
    kernel: mpsc::Sender<(u32, u32)>,
}

impl Wire {
    /// Sends a command, and waits for the reply with its number.
    fn ask(&self, msr: u32) -> Result<u64, Refusal> {
        let (reply, answer) = mpsc::channel();
        let seq = self.next.fetch_add(1, Ordering::Relaxed);
        self.waiting.lock().unwrap().insert(seq, reply);
        self.kernel.send((seq, msr)).map_err(|_| Refusal::Gone)?;
        answer.recv().map_err(|_| Refusal::Gone)
    }

    /// The reader's part: a reply goes to whoever waits for it.
    fn arrived(&self, seq: u32, value: u64) {
        if let Some(waiting) = self.waiting.lock().unwrap().remove(&seq) {
            waiting.send(value).unwrap();
        }
    }
}

struct Kvmi(Vm, Arc<Wire>);

impl Machine for Kvmi {
    fn identity(&self) -> &Identity {
        &self.0.identity
    }
    fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }
    /// READ_PHYSICAL and WRITE_PHYSICAL, a page each.
    fn memory(&self) -> &dyn GuestMemory {
        &self.0.memory
    }
    /// CONTROL_EVENTS, CONTROL_MSR, SET_PAGE_ACCESS for the difference.
    fn arm(&self, _: &Wants) -> Result<(), ArmError> {
        Ok(())
    }
    /// PAUSE_VCPU for each of them; their pause events are kept until the hold is dropped.
    fn hold_others(&self, _: u32) -> Result<Hold, Refusal> {
        Ok(Hold::new(|| ()))
    }
    /// The kernel answers GET_REGISTERS for a vCPU whether it is in an event or not.
    fn remote(&self, _: u32) -> Option<Box<dyn VcpuState>> {
        Some(Box::new(Little(Remote(Arc::clone(&self.1)))))
    }
}

struct Remote(Arc<Wire>);

impl Readable for Remote {
    fn read_msr(&mut self, msr: u32) -> Result<u64, Refusal> {
        self.0.ask(msr)
    }
}

/// Fed by the reader with the events of its vCPU, and by kicks with nothing.
struct KvmiVcpu {
    index: u32,
    inbox: mpsc::Receiver<Option<Event>>,
    kick: mpsc::Sender<Option<Event>>,
    wire: Arc<Wire>,
}

impl Readable for KvmiVcpu {
    fn read_msr(&mut self, msr: u32) -> Result<u64, Refusal> {
        self.wire.ask(msr)
    }
}

impl Vcpu for Little<KvmiVcpu> {
    fn index(&self) -> u32 {
        self.0.index
    }
    fn kicker(&self) -> Arc<dyn Kicker> {
        let kick = Mutex::new(self.0.kick.clone());
        Arc::new(Bell(move || drop(kick.lock().unwrap().send(None))))
    }
    /// Nothing to forget: a kick is a message that `enter` takes out.
    fn acknowledge_kick(&mut self) {}
    /// The event reply, with the number of the open event; then whatever comes for this vCPU.
    fn enter(&mut self, _: Verdict) -> Result<Exit, MachineError> {
        Ok(match self.0.inbox.recv() {
            Ok(Some(event)) if event.kind() == EventKind::Unhook => Exit::Ended(End::Cancelled),
            Ok(Some(event)) => Exit::Event(event),
            Ok(None) => Exit::Kicked,
            Err(_) => Exit::Ended(End::Cancelled),
        })
    }
}

// replay: a journal, in which the guest's part is already over.

struct Replay(Vm, EventKind);

impl Machine for Replay {
    fn identity(&self) -> &Identity {
        &self.0.identity
    }
    fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }
    /// Pages as the journal's host calls found them.
    fn memory(&self) -> &dyn GuestMemory {
        &self.0.memory
    }
    /// What was not recorded cannot be reported.
    fn arm(&self, wants: &Wants) -> Result<(), ArmError> {
        match wants.events.iter().find(|kind| *kind != self.1) {
            None => Ok(()),
            Some(kind) => Err(ArmError::Unsupported {
                what: kind.name().to_owned(),
                reason: "it is not in the journal".to_owned(),
            }),
        }
    }
    /// Nothing runs while an event is replayed.
    fn hold_others(&self, _: u32) -> Result<Hold, Refusal> {
        Ok(Hold::new(|| ()))
    }
}

/// The events of one vCPU, each with what was read while it was judged.
struct ReplayVcpu {
    records: VecDeque<(Event, HashMap<u32, u64>)>,
    read: HashMap<u32, u64>,
}

impl Readable for ReplayVcpu {
    fn read_msr(&mut self, msr: u32) -> Result<u64, Refusal> {
        self.read.get(&msr).copied().ok_or(Refusal::Unavailable)
    }
}

impl Vcpu for Little<ReplayVcpu> {
    fn index(&self) -> u32 {
        0
    }
    fn kicker(&self) -> Arc<dyn Kicker> {
        Arc::new(Bell(|| ()))
    }
    fn acknowledge_kick(&mut self) {}
    /// The verdict is compared with the recorded one; the guest's part does not change.
    fn enter(&mut self, _: Verdict) -> Result<Exit, MachineError> {
        Ok(match self.0.records.pop_front() {
            Some((event, read)) => {
                self.0.read = read;
                Exit::Event(event)
            }
            None => Exit::Ended(End::Finished(0)),
        })
    }
}

// Driving them.

struct Bell<F>(F);

impl<F: Fn() + Send + Sync> Kicker for Bell<F> {
    fn kick(&self) {
        self.0();
    }
}

fn event(number: u64) -> Event {
    let (a, b, c) = (0, 0, 0);
    Event {
        data: EventData::Hypercall(Hypercall { number, a, b, c }),
        ip: 0,
        cr3: 0,
        cpl: 0,
        allowed: VerdictSet::CONTINUE,
        retired: false,
    }
}

/// Runs each vCPU on a thread as an engine does: judge what comes, go on after kicks.
fn drive(parts: Parts) -> Vec<Vec<Event>> {
    let run = |mut vcpu: Box<dyn Vcpu>| {
        thread::spawn(move || {
            let mut events = Vec::new();
            loop {
                match vcpu.enter(Verdict::Continue).unwrap() {
                    Exit::Event(event) => events.push(event),
                    Exit::Kicked => vcpu.acknowledge_kick(),
                    Exit::Ended(_) => return events,
                }
            }
        })
    };
    let threads: Vec<_> = parts.vcpus.into_iter().map(run).collect();
    threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect()
}

#[test]
fn a_machine_with_one_connection_resumes_when_no_event_is_open() {
    let stops = [0, 1, 1, 0].map(|vcpu| (vcpu, event(u64::from(vcpu))));
    let connection = Arc::new(Connection {
        gdb: Mutex::new(Gdb {
            stops: stops.into(),
            open: 0,
        }),
        changed: Condvar::new(),
    });
    let vcpu = |index| {
        Box::new(Little(QemuVcpu {
            index,
            connection: Arc::clone(&connection),
            kicked: Arc::default(),
            open: false,
        })) as Box<dyn Vcpu>
    };
    let vcpus = vec![vcpu(0), vcpu(1)];
    let machine = Arc::new(Qemu(Vm::new("qemu"), Arc::clone(&connection)));
    vcpus[1].kicker().kick();
    drop(machine.hold_others(0).unwrap());
    let events = drive(Parts { machine, vcpus });
    assert_eq!(events, [vec![event(0); 2], vec![event(1); 2]]);
}

#[test]
fn a_machine_behind_a_socket_answers_out_of_order_and_from_any_thread() {
    let (kernel, commands) = mpsc::channel();
    let wire = Arc::new(Wire {
        waiting: Mutex::default(),
        next: AtomicU32::new(1),
        kernel,
    });
    let machine = Arc::new(Kvmi(Vm::new("kvmi"), Arc::clone(&wire)));
    let ask = |number| {
        let mut state = machine.remote(0).unwrap();
        thread::spawn(move || state.msr(number))
    };
    let asked = [ask(msr::STAR), ask(msr::LSTAR)];
    let mut replies: Vec<(u32, u32)> = commands.iter().take(2).collect();
    replies.reverse();
    replies
        .iter()
        .for_each(|(seq, number)| wire.arrived(*seq, u64::from(*number)));
    let answers = asked.map(|thread| thread.join().unwrap().unwrap());
    assert_eq!(answers, [msr::STAR, msr::LSTAR].map(u64::from));

    let (socket, inbox) = mpsc::channel();
    let kick = socket.clone();
    let vcpu = KvmiVcpu {
        index: 0,
        inbox,
        kick,
        wire,
    };
    let unhook = EventData::Unhook(oriel_protocol::events::Unhook {});
    let vcpus: Vec<Box<dyn Vcpu>> = vec![Box::new(Little(vcpu))];
    socket.send(Some(event(1))).unwrap();
    vcpus[0].kicker().kick();
    socket
        .send(Some(Event {
            data: unhook,
            ..event(0)
        }))
        .unwrap();
    assert_eq!(drive(Parts { machine, vcpus }), [[event(1)]]);
}

#[test]
fn a_journal_gives_the_events_and_the_answers_that_it_recorded() {
    let records = [
        (event(1), HashMap::from([(msr::LSTAR, 7)])),
        (event(2), HashMap::new()),
    ];
    let mut vcpu = Little(ReplayVcpu {
        records: records.into(),
        read: HashMap::new(),
    });
    assert_eq!(
        vcpu.enter(Verdict::Continue).unwrap(),
        Exit::Event(event(1))
    );
    assert_eq!(vcpu.msr(msr::LSTAR), Ok(7));
    assert_eq!(vcpu.msr(msr::STAR), Err(Refusal::Unavailable), "never zero");
    let machine = Arc::new(Replay(Vm::new("replay"), EventKind::Hypercall));
    let wants = Wants {
        events: [EventKind::Page].into_iter().collect(),
        ..Wants::default()
    };
    assert!(matches!(
        machine.arm(&wants),
        Err(ArmError::Unsupported { .. })
    ));
    let vcpus: Vec<Box<dyn Vcpu>> = vec![Box::new(vcpu)];
    assert_eq!(drive(Parts { machine, vcpus }), [[event(2)]]);
}
