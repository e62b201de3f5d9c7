//! A kernel forged in memory, as far as the policy looks: its symbols, its types, and an exec.

use oriel_sdk::linux::{Credentials, Field, Symbol, Task};
use oriel_sdk::testing::{Bench, MockLinux};
use oriel_sdk::{Config, Failure, Refusal, Register, breakpoint};

use crate::ExecWatch;

/// Where the kernel's tables are, and where it sees all memory.
pub(super) const CR3: u64 = 0x10_0000;
pub(super) const DIRECT: u64 = 0xffff_8880_0000_0000;
/// Who has called the function that is broken at, and where that is kept.
pub(super) const CALLER: u64 = 0xffff_ffff_8200_0000;
pub(super) const STACK: u64 = 0xffff_c900_0000_3ff0;
/// The tables of the new memory, and where its arguments begin: not far from the end of a page.
pub(super) const NEW: u64 = 0x80_0000;
pub(super) const ARGUMENTS: u64 = 0x7fff_ffff_eff0;
/// Where the code is.
pub(super) const TEXT: u64 = 0xffff_ffff_8100_0000;

/// Members as Linux 6.1 has them: path, offset, size.
const FIELDS: [(&str, u64, u64); 17] = [
    ("linux_binprm.mm", 16, 8),
    ("linux_binprm.p", 24, 8),
    ("linux_binprm.file", 64, 8),
    ("linux_binprm.argc", 88, 4),
    ("linux_binprm.envc", 92, 4),
    ("linux_binprm.filename", 96, 8),
    ("linux_binprm.interp", 104, 8),
    ("mm_struct.pgd", 72, 8),
    ("file.f_path.mnt", 16, 8),
    ("file.f_path.dentry", 24, 8),
    ("dentry.d_parent", 24, 8),
    ("dentry.d_name.len", 36, 4),
    ("dentry.d_name.name", 40, 8),
    ("vfsmount.mnt_root", 0, 8),
    ("mount.mnt", 32, 32),
    ("mount.mnt_parent", 16, 8),
    ("mount.mnt_mountpoint", 24, 8),
];

/// A guest under the policy.
pub(super) struct Forged {
    pub(super) bench: Bench<ExecWatch>,
    /// The next page that is free.
    next: u64,
    /// The root of the only mount, and that mount.
    pub(super) root: u64,
    pub(super) mount: u64,
}

/// An exec as a kernel has it.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) path: &'a str,
    pub(super) interp: Option<&'a str>,
    /// The names of the open file, from the root on; none: it is not open yet.
    pub(super) file: &'a [&'a str],
    pub(super) argc: i32,
    /// What lies where the arguments are.
    pub(super) arguments: &'a [u8],
}

impl Default for Asked<'_> {
    fn default() -> Self {
        Self {
            path: "/bin/ls",
            interp: None,
            file: &["bin", "busybox"],
            argc: 2,
            arguments: b"ls\0-l\0HOME=/\0",
        }
    }
}

/// A kernel that has booted, with this function in it.
pub(super) fn linux(point: &str) -> MockLinux {
    let mut linux = MockLinux::new(CR3);
    linux.symbols.push(symbol(point, TEXT + 0x10));
    for (path, offset, size) in FIELDS {
        let field = Field {
            hops: vec![],
            offset,
            size,
            bits: None,
        };
        linux.fields.insert(path.to_owned(), field);
    }
    linux.tasks = vec![
        task(1, 0, "init"),
        task(40, 1, "sh"),
        task(41, 40, "forked"),
    ];
    linux.current = [(0, 41), (1, 40)].into();
    linux
}

pub(super) fn symbol(name: &str, address: u64) -> Symbol {
    Symbol {
        name: name.to_owned(),
        address,
        kind: 't',
    }
}

fn task(pid: u32, parent: u32, comm: &str) -> Task {
    Task {
        address: DIRECT + u64::from(pid) * 0x4000,
        pid,
        tgid: pid,
        parent: Some(parent),
        comm: comm.to_owned(),
        credentials: Some(Credentials {
            uid: 1000,
            gid: 1000,
            euid: 0,
            egid: 0,
            effective: 0,
            permitted: 0,
        }),
        state: None,
        kernel: Some(false),
        cr3: None,
        start_time: None,
    }
}

impl Forged {
    /// One that has booted, with the place that real kernels have.
    pub(super) fn new(config: Config) -> Result<Self, Failure> {
        Self::with(config, linux("security_bprm_check"))
    }

    /// One with this kernel, which is watched already.
    pub(super) fn with(config: Config, linux: MockLinux) -> Result<Self, Failure> {
        let mut guest = Self {
            bench: Bench::new(config)?,
            next: 0x20_0000,
            root: 0,
            mount: 0,
        };
        let engine = &mut guest.bench.engine;
        engine.linux = Some(linux);
        engine.memory.map(CR3, TEXT, 0x5000);
        engine.memory.map(CR3, STACK, 0x6000);
        engine.memory.poke(0x6ff0, &CALLER.to_le_bytes())?;
        for vcpu in &mut engine.vcpus {
            vcpu.registers.insert(Register::Rsp, STACK);
        }
        // The first mount lies in itself.
        let mount = guest.object(&[])?;
        (guest.mount, guest.root) = (mount + 32, guest.object(&[])?);
        guest.put(mount + 16, mount)?;
        guest.put(guest.mount, guest.root)?;
        guest.bench.tick(0)?;
        Ok(guest)
    }

    /// A page of the kernel's that begins with these bytes.
    pub(super) fn object(&mut self, bytes: &[u8]) -> Result<u64, Refusal> {
        let gpa = self.next;
        self.next += 0x1000;
        self.bench.engine.memory.map(CR3, DIRECT + gpa, gpa);
        self.bench.engine.memory.poke(gpa, bytes)?;
        Ok(DIRECT + gpa)
    }

    /// Puts a word into an object.
    pub(super) fn put(&mut self, gva: u64, word: u64) -> Result<(), Refusal> {
        self.bench
            .engine
            .memory
            .poke(gva - DIRECT, &word.to_le_bytes())
    }

    /// A directory entry below another one; below none, it hangs on no root.
    pub(super) fn entry(&mut self, name: &[u8], parent: Option<u64>) -> Result<u64, Refusal> {
        let (entry, text) = (self.object(&[])?, self.object(name)?);
        self.put(entry + 24, parent.unwrap_or(entry))?;
        self.put(entry + 32, (name.len() as u64) << 32)?;
        self.put(entry + 40, text)?;
        Ok(entry)
    }

    /// An open file.
    pub(super) fn file(&mut self, entry: u64) -> Result<u64, Refusal> {
        let file = self.object(&[])?;
        self.put(file + 16, self.mount)?;
        self.put(file + 24, entry)?;
        Ok(file)
    }

    /// A `linux_binprm`.
    pub(super) fn binprm(&mut self, asked: &Asked<'_>) -> Result<u64, Refusal> {
        let binprm = self.object(&[])?;
        let path = self.object(&[asked.path.as_bytes(), &[0]].concat())?;
        self.put(binprm + 96, path)?;
        let interp = match asked.interp {
            Some(interp) => self.object(&[interp.as_bytes(), &[0]].concat())?,
            None => path,
        };
        self.put(binprm + 104, interp)?;
        let counts = u64::from(asked.argc.cast_unsigned()) | 3 << 32;
        self.put(binprm + 88, counts)?;
        if !asked.file.is_empty() {
            let mut entry = self.root;
            for name in asked.file {
                entry = self.entry(name.as_bytes(), Some(entry))?;
            }
            let file = self.file(entry)?;
            self.put(binprm + 64, file)?;
        }
        self.new_memory(binprm, asked.arguments)?;
        Ok(binprm)
    }

    /// The memory of the new program, two pages of it.
    fn new_memory(&mut self, binprm: u64, arguments: &[u8]) -> Result<(), Refusal> {
        let mm = self.object(&[])?;
        let memory = &mut self.bench.engine.memory;
        memory.map(CR3, DIRECT + NEW, NEW);
        memory.map(NEW, ARGUMENTS, 0x9000);
        memory.map(NEW, ARGUMENTS + 0x1000, 0xa000);
        memory.poke(0x9ff0, arguments)?;
        self.put(mm + 72, DIRECT + NEW)?;
        self.put(binprm + 16, mm)?;
        self.put(binprm + 24, ARGUMENTS)
    }

    /// The guest runs into the breakpoint with this `linux_binprm`.
    #[track_caller]
    pub(super) fn hit(&mut self, binprm: u64) -> breakpoint::Verdict {
        let registers = &mut self.bench.engine.vcpus[0].registers;
        registers.insert(Register::Rdi, binprm);
        registers.insert(Register::Rsp, STACK);
        registers.insert(Register::Rip, TEXT + 0x10);
        self.bench.raise(0, self.breakpoint()).expect("it is heard")
    }

    /// The first breakpoint, met.
    pub(super) fn breakpoint(&self) -> breakpoint::Hit {
        let tags = self.bench.engine.armed.breakpoints.keys();
        breakpoint::Hit {
            gva: TEXT + 0x10,
            gpa: 0x5010,
            length: 1,
            managed: true,
            tag: tags.copied().next().unwrap_or_default(),
        }
    }

    /// The same with an exec.
    #[track_caller]
    pub(super) fn run(&mut self, asked: &Asked<'_>) -> breakpoint::Verdict {
        let binprm = self.binprm(asked).expect("RAM");
        self.hit(binprm)
    }
}
