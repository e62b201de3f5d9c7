//! A QEMU that is made up: it plays acts whenever it runs, and writes down what it is told.

mod monitor;
mod stub;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
    time::Duration,
};

use tempfile::TempDir;

use crate::qemu::{Address, Attach, RamChoice};

/// Where code lies, virtual and physical.
pub(super) const CODE: u64 = 0xffff_ffff_8100_0000;
pub(super) const CODE_GPA: u64 = 0x1_0000;
pub(super) const CR3: u64 = 0x1000;
pub(super) const RAM: usize = 0x2_0000;

/// What a guest does once it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// A vCPU comes to this address; it stops there if there is a breakpoint.
    Reach(u32, u64),
    /// A vCPU has written where it was watched for.
    Write(u32, u64),
    /// Somebody says `stop` on another monitor.
    Paused,
    /// Somebody says `cont` there.
    Resumed,
    /// The stub's connection breaks.
    Break,
    /// The stub goes mad.
    Garbage,
    /// The guest shuts down, and QEMU ends.
    ShutDown,
}

/// Registers by the stub's names; what is not there is 0.
pub(super) type Registers = BTreeMap<String, u64>;

pub(super) struct State {
    pub(super) vcpus: Vec<Registers>,
    pub(super) memory: Vec<u8>,
    pub(super) acts: VecDeque<Act>,
    /// What it does once it is watched.
    pub(super) later: Vec<Act>,
    /// What the stub was asked, without what is asked all the time.
    pub(super) log: Vec<String>,
    /// All that the stub was asked.
    pub(super) asked: Vec<String>,
    pub(super) points: BTreeSet<String>,
    pub(super) running: bool,
    pub(super) over: bool,
    /// The monitor's connection, for events.
    pub(super) monitor: Option<UnixStream>,
    /// The vCPU that registers are asked of.
    pub(super) selected: usize,
    /// What the monitor says of the stub's socket.
    pub(super) chardev: String,
    /// What it says that it emulates.
    pub(super) target: String,
    pub(super) description: Option<String>,
    /// Debuggers so far.
    pub(super) connections: u32,
}

/// The made-up QEMU. It ends with the test.
pub(super) struct Fake {
    pub(super) state: Arc<(Mutex<State>, Condvar)>,
    folder: TempDir,
}

impl Fake {
    /// Of so many vCPUs, which play this once they are watched.
    pub(super) fn new(vcpus: u32, acts: &[Act]) -> Self {
        let folder = TempDir::new().unwrap();
        let state = State {
            vcpus: (0..vcpus).map(|_| long_mode()).collect(),
            memory: memory(),
            acts: VecDeque::new(),
            later: acts.to_vec(),
            log: Vec::new(),
            asked: Vec::new(),
            points: BTreeSet::new(),
            running: true,
            over: false,
            monitor: None,
            selected: 0,
            chardev: "disconnected:unix:gdb,server=on".to_owned(),
            target: "x86_64".to_owned(),
            description: None,
            connections: 0,
        };
        let fake = Self {
            state: Arc::new((Mutex::new(state), Condvar::new())),
            folder,
        };
        fake.serve("gdb", stub::serve);
        fake.serve("qmp", monitor::serve);
        fake
    }

    fn serve(&self, name: &str, serve: fn(&Shared, UnixStream)) {
        let listener = UnixListener::bind(self.path(name)).unwrap();
        let state = Arc::clone(&self.state);
        // It is gone with the process: nobody connects any more once the test is over.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                serve(&state, stream);
            }
        });
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn address(&self, name: &str) -> Address {
        Address::Unix(self.path(name))
    }

    pub(super) fn attach(&self, ram: RamChoice) -> Attach {
        Attach {
            gdb: self.address("gdb"),
            qmp: self.address("qmp"),
            ram,
            name: None,
            guard: None,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.0.lock().unwrap()
    }

    /// Adds acts to a guest that may wait for some.
    pub(super) fn play(&self, acts: &[Act]) {
        self.lock().acts.extend(acts);
        self.state.1.notify_all();
    }

    /// It is watched now.
    pub(super) fn begin(&self) {
        let later = std::mem::take(&mut self.lock().later);
        self.play(&later);
    }

    /// Waits until something is so, and hands out the log.
    pub(super) fn wait_until(&self, is_so: impl Fn(&State) -> bool) -> Vec<String> {
        let state = self.lock();
        let limit = Duration::from_secs(60);
        let waited = self
            .state
            .1
            .wait_timeout_while(state, limit, |state| !is_so(state));
        let (state, late) = waited.unwrap();
        assert!(!late.timed_out(), "{:?}", state.log);
        state.log.clone()
    }
}

pub(super) type Shared = Arc<(Mutex<State>, Condvar)>;

/// A kernel in long mode.
fn long_mode() -> Registers {
    let registers = [
        ("rip", CODE),
        ("rsp", 0x8000),
        ("cs", 0x10),
        ("cr0", 0x8000_0001),
        ("cr3", CR3),
        ("cr4", 0x20),
        ("efer", 0x500),
        ("eflags", 2),
    ];
    registers
        .map(|(name, value)| (name.to_owned(), value))
        .into()
}

/// Four levels of tables for one page of code; its bytes are NOPs.
fn memory() -> Vec<u8> {
    let mut memory = vec![0; RAM];
    let entries = [
        (CR3 + 511 * 8, 0x2000 | 3),
        (0x2000 + 510 * 8, 0x3000 | 3),
        (0x3000 + 8 * 8, 0x4000 | 3),
        (0x4000, CODE_GPA | 3),
    ];
    for (at, entry) in entries {
        let at = usize::try_from(at).unwrap();
        memory[at..at + 8].copy_from_slice(&u64::to_le_bytes(entry));
    }
    let code = usize::try_from(CODE_GPA).unwrap();
    memory[code..code + 0x1000].fill(0x90);
    memory
}
