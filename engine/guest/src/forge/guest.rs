//! The memory of a guest that runs a forged kernel: page tables, symbols, types, and what a test
//! puts into it. Owns the layout of that memory.
//!
//! ```text
//!   physical              virtual
//!   0x001000  tables
//!   0x010000  a process's tables, and behind them those for user mode
//!   0x200000  code        image
//!   0x400000  constants   image + 2 MiB
//!   0x600000  data        image + 4 MiB
//!   0x800000  the rest    direct map
//! ```

mod image;
mod objects;

use oriel_machine::paging::Mode;
use oriel_protocol::{Gpa, Gva};
use vm_memory::{Bytes as _, GuestAddress, GuestMemoryMmap};

use super::{FORMS, Form, types};
use crate::sight::Sight;

const RAM: usize = 16 << 20;
/// Where the image is linked, and where the direct map begins.
const IMAGE: Gva = 0xffff_ffff_8100_0000;
const DIRECT: Gva = 0xffff_8880_0000_0000;
const TEXT: Gpa = 0x20_0000;
const RODATA: u64 = 0x20_0000;
const DATA: u64 = 0x40_0000;
const REST: Gpa = 0x80_0000;
/// Tables.
const PROCESS: Gpa = 0x1_0000;
const USER: Gpa = PROCESS + 0x1000;
/// Places in the image.
const ENTRY: u64 = 0x10_0000;
const INIT_TASK: u64 = DATA;
const MODULES: u64 = DATA + 0x1000;
const PER_CPU: u64 = DATA + 0x1200;
const DESCRIPTIONS: u64 = DATA + 0x1300;
const INTERRUPTS: u64 = DATA + 0x2000;
/// Where the current task is in each per-CPU area.
const CURRENT: u64 = 0x100;

/// A guest.
#[derive(Debug)]
pub struct Forged {
    memory: GuestMemoryMmap<()>,
    image: Gva,
    next: Gpa,
    /// The node of the tree of pids whose slots are nodes.
    root: Gva,
}

impl Forged {
    /// A guest whose kernel was moved so far, by a multiple of 2 MiB.
    pub fn new(slide: u64) -> Self {
        Self::with(slide, FORMS[1], true)
    }

    /// A guest with this sort of symbols, with types or without.
    pub fn with(slide: u64, form: Form, has_types: bool) -> Self {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), RAM)]);
        let mut guest = Self {
            memory: memory.expect("16 MiB"),
            image: IMAGE + slide,
            next: REST,
            root: 0,
        };
        guest.tables();
        guest.image(form, has_types);
        guest.first_task();
        guest
    }

    /// Its memory.
    pub const fn memory(&self) -> &GuestMemoryMmap<()> {
        &self.memory
    }

    /// Its vCPU in the kernel, on the tables of a process.
    pub const fn sight(&self) -> Sight {
        Sight {
            vcpu: 0,
            mode: Mode::Long { levels: 4 },
            cr3: PROCESS,
            lstar: Some(self.image + ENTRY),
            idt: Some((self.image + INTERRUPTS, 0xfff)),
            gs_base: None,
            kernel_gs_base: None,
        }
    }

    /// Its vCPU in user mode, on the tables that map next to nothing of the kernel.
    pub const fn sight_of_user(&self) -> Sight {
        Sight {
            cr3: USER | 0x800,
            ..self.sight()
        }
    }

    /// Where something of the image is.
    pub const fn at(&self, offset: u64) -> Gva {
        self.image + offset
    }

    /// The first task.
    pub const fn init_task(&self) -> Gva {
        self.image + INIT_TASK
    }

    /// One process more, with its number in the tree.
    pub fn process(&mut self, pid: u32, comm: &str, parent: Gva) -> Gva {
        let task = self.task(pid, pid, comm, parent);
        let signal = self.room(types::SIGNAL);
        self.word(task + types::TASK_SIGNAL, signal);
        self.empty_list(signal + types::THREAD_HEAD);
        self.link(signal + types::THREAD_HEAD, task + types::THREAD_NODE);
        self.link(self.init_task() + types::TASKS, task + types::TASKS);
        task
    }

    /// One thread more of a process.
    pub fn thread(&mut self, process: Gva, pid: u32, comm: &str) -> Gva {
        let tgid = u32::try_from(self.read(process + types::TASK_PID) & 0xffff_ffff);
        let parent = self.read(process + types::REAL_PARENT);
        let task = self.task(pid, tgid.expect("32 bits"), comm, parent);
        let signal = self.read(process + types::TASK_SIGNAL);
        self.word(task + types::TASK_SIGNAL, signal);
        self.empty_list(task + types::TASKS);
        self.link(signal + types::THREAD_HEAD, task + types::THREAD_NODE);
        task
    }

    /// Takes a process out of the list, as a rootkit does.
    pub fn hide(&self, task: Gva) {
        let entry = task + types::TASKS;
        let (next, before) = (self.read(entry), self.read(entry + 8));
        self.word(before, next);
        self.word(next + 8, before);
        self.empty_list(entry);
    }

    /// Takes its number out of the tree.
    pub fn unnumber(&self, pid: u32) {
        self.word(self.slot(pid), 0);
    }

    /// Makes the vCPU run a task.
    pub fn run(&self, task: Gva) {
        let area = self.read(self.at(PER_CPU));
        self.word(area + CURRENT, task);
    }

    /// Makes a task a user's.
    pub fn give(&self, task: Gva, uid: u32) {
        let cred = self.read(task + types::TASK_CRED);
        let both = u64::from(uid) | u64::from(uid) << 32;
        self.word(cred + types::UID, both);
        self.word(cred + types::UID + 16, both);
        self.word(cred + types::PERMITTED + 8, 0);
    }

    /// One module more, with types of its own if there are any.
    pub fn module(&mut self, name: &str, types: Option<&[u8]>) -> Gva {
        let module = self.room(types::MODULE);
        self.write(module + types::MODULE_NAME, name.as_bytes());
        for (part, size) in [(0, 0x2000), (1, 0x1000)] {
            let at = module + types::MODULE_MEM + part * types::PART;
            self.word(at, 0xffff_ffff_c000_0000 + part * 0x1_0000);
            self.word(at + 8, size);
        }
        self.link(self.at(MODULES), module + types::MODULE_LIST);
        if let Some(types) = types {
            self.describe(module, types);
        }
        module
    }

    /// Where a list's entry of a task is: for tests that break it.
    pub const fn entry(task: Gva) -> Gva {
        task + types::TASKS
    }

    /// Stores bytes.
    pub fn write(&self, gva: Gva, bytes: &[u8]) {
        let gpa = self.gpa(gva);
        let stored = self.memory.write_slice(bytes, GuestAddress(gpa));
        stored.expect("an address of the guest");
    }

    /// Stores a word.
    pub fn word(&self, gva: Gva, word: u64) {
        self.write(gva, &word.to_le_bytes());
    }

    /// Reads a word.
    pub fn read(&self, gva: Gva) -> u64 {
        let word = self.memory.read_obj(GuestAddress(self.gpa(gva)));
        word.expect("an address of the guest")
    }

    const fn gpa(&self, gva: Gva) -> Gpa {
        if gva >= self.image {
            gva - self.image + TEXT
        } else {
            gva - DIRECT
        }
    }

    fn physical(&self, gpa: Gpa, word: u64) {
        let stored = self.memory.write_obj(word, GuestAddress(gpa));
        stored.expect("in RAM");
    }

    /// Room in the direct map.
    fn room(&mut self, size: u64) -> Gva {
        let at = self.next;
        self.next += size.next_multiple_of(64);
        DIRECT + at
    }

    fn empty_list(&self, head: Gva) {
        self.word(head, head);
        self.word(head + 8, head);
    }

    /// Puts an entry at the end of a list.
    fn link(&self, head: Gva, entry: Gva) {
        let last = self.read(head + 8);
        self.word(last, entry);
        self.word(entry, head);
        self.word(entry + 8, last);
        self.word(head + 8, entry);
    }
}
