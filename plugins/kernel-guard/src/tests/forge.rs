//! A small kernel: some pages of code with every sort of site, constants with the tables that name them,
//! and data with ftrace's records, probes and lists.

use oriel_sdk::linux::{
    Area, AreaKind, Entry, Field, Module, ModuleState, Part, PartKind, Source, Symbol, Task,
};
use oriel_sdk::testing::{MockEngine, MockLinux};
use oriel_sdk::{Failure, Refusal};

const CR3: u64 = 0x10_0000;
/// Where things lie: so many pages, at a guest-physical address.
pub(super) const TEXT: u64 = 0xffff_ffff_8100_0000;
pub(super) const RODATA: u64 = 0xffff_ffff_8180_0000;
pub(super) const DATA: u64 = 0xffff_ffff_8200_0000;
pub(super) const MODULE: u64 = 0xffff_ffff_c000_0000;
const PLACES: [(u64, u64, u64); 4] = [
    (TEXT, 8, 0x100_0000),
    (RODATA, 4, 0x180_0000),
    (DATA, 8, 0x200_0000),
    (MODULE, 2, 0x300_0000),
];

/// Sites.
pub(super) const LABEL: u64 = TEXT + 0x100;
pub(super) const LABEL_TARGET: u64 = TEXT + 0x180;
pub(super) const SHORT_LABEL: u64 = TEXT + 0x200;
pub(super) const CALL: u64 = TEXT + 0x300;
pub(super) const TAIL: u64 = TEXT + 0x320;
pub(super) const TRAMPOLINE: u64 = TEXT + 0x2000;
pub(super) const TRACED: u64 = TEXT + 0x1000;
/// It lies on two pages.
pub(super) const BETWEEN: u64 = TEXT + 0x2ffe;
pub(super) const TRACER: u64 = TEXT + 0x4000;
/// A function whose record is of a place that holds no such instruction.
pub(super) const DROPPED: u64 = TEXT + 0x5000;
/// No site.
pub(super) const PLAIN: u64 = TEXT + 0x6000;

/// Functions.
pub(super) const CALLEE: u64 = TRACED;
pub(super) const TRACE_CALLER: u64 = TEXT + 0x3f00;

/// Data.
pub(super) const GATES: u64 = DATA;
pub(super) const PROBES: u64 = DATA + 0x1000;
pub(super) const PAGES_START: u64 = DATA + 0x2000;
pub(super) const GROUP: u64 = DATA + 0x2100;
const RECORDS: u64 = DATA + 0x3000;
pub(super) const OPS_LIST: u64 = DATA + 0x4000;
pub(super) const OPS: u64 = DATA + 0x4100;
const OPS_END: u64 = DATA + 0x4200;
pub(super) const TRAMPOLINES: u64 = DATA + 0x4800;
pub(super) const PROGRAMS: u64 = DATA + 0x5000;
pub(super) const PROGRAM: u64 = DATA + 0x5800;
pub(super) const PROBE: u64 = DATA + 0x6000;
/// The tables in the constants.
pub(super) const LABELS: u64 = RODATA + 0x100;
const CALLS: u64 = RODATA + 0x200;
pub(super) const SYSTEM_CALLS: u64 = RODATA + 0x1000;

pub(super) const NOP: [u8; 5] = [0x0f, 0x1f, 0x44, 0x00, 0x00];

/// What of it a test wants otherwise.
pub(super) struct Forged {
    /// Which boot it is.
    pub(super) banner: &'static str,
    pub(super) init_started: u64,
    /// The first program runs.
    pub(super) runs: bool,
    /// Types are known.
    pub(super) types: bool,
    /// Symbols that are not there.
    pub(super) hidden: &'static [&'static str],
}

impl Default for Forged {
    fn default() -> Self {
        Self {
            banner: "Linux version 6.1.0-mock",
            init_started: 7,
            runs: true,
            types: true,
            hidden: &[],
        }
    }
}

/// The guest-physical address of one of the kernel's.
pub(super) fn gpa(gva: u64) -> u64 {
    let is_in = |place: &&(u64, u64, u64)| (place.0..place.0 + place.1 * 4096).contains(&gva);
    let found = PLACES.iter().find(is_in);
    found.map_or_else(
        || panic!("{gva:#x} is nowhere"),
        |place| gva - place.0 + place.2,
    )
}

/// An instruction of one byte and a distance of four.
pub(super) fn leads(opcode: u8, at: u64, to: u64) -> [u8; 5] {
    let [a, b, c, d, ..] = to.wrapping_sub(at + 5).to_le_bytes();
    [opcode, a, b, c, d]
}

impl Forged {
    /// Makes the guest of an engine this kernel.
    pub(super) fn put(&self, engine: &mut MockEngine) -> Result<(), Failure> {
        for (gva, pages, gpa) in PLACES {
            for page in 0..pages {
                engine.memory.map(CR3, gva + page * 4096, gpa + page * 4096);
            }
        }
        self.code(engine)?;
        Self::constants(engine)?;
        Self::data(engine)?;
        engine.linux = Some(self.linux());
        Ok(())
    }

    fn code(&self, engine: &mut MockEngine) -> Result<(), Refusal> {
        let mut put = |gva, bytes: &[u8]| engine.memory.poke(gpa(gva), bytes);
        put(TEXT, &[0x55; 8 * 4096])?;
        for at in [LABEL, TRACED, BETWEEN] {
            put(at, &NOP)?;
        }
        put(SHORT_LABEL, &[0x66, 0x90])?;
        put(CALL, &leads(0xe8, CALL, CALLEE))?;
        put(TAIL, &[0x0f, 0x84])?;
        put(TAIL + 2, &leads(0, TAIL + 1, CALLEE)[1..])?;
        put(TRAMPOLINE, &leads(0xe9, TRAMPOLINE, CALLEE))?;
        put(TRAMPOLINE + 5, &[0x0f, 0xb9, 0xcc])?;
        put(TRACER, &leads(0xe8, TRACER, CALLEE))
    }

    fn constants(engine: &mut MockEngine) -> Result<(), Refusal> {
        let mut put = |gva: u64, bytes: &[u8]| engine.memory.poke(gpa(gva), bytes);
        put(RODATA, &[0x11; 4 * 4096])?;
        let labels = [(LABEL, LABEL_TARGET), (SHORT_LABEL, SHORT_LABEL + 0x10)];
        for (at, (code, target)) in (LABELS..).step_by(16).zip(labels) {
            put(at, &code.wrapping_sub(at).to_le_bytes()[..4])?;
            put(at + 4, &target.wrapping_sub(at + 4).to_le_bytes()[..4])?;
        }
        for (at, code) in (CALLS..).step_by(8).zip([CALL, TAIL]) {
            put(at, &code.wrapping_sub(at).to_le_bytes()[..4])?;
        }
        for number in 0..4 {
            put(
                SYSTEM_CALLS + number * 8,
                &(PLAIN + number * 16).to_le_bytes(),
            )?;
        }
        Ok(())
    }

    fn data(engine: &mut MockEngine) -> Result<(), Refusal> {
        let mut put = |gva: u64, words: &[u64]| {
            let bytes: Vec<_> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            engine.memory.poke(gpa(gva), &bytes)
        };
        for vector in 0..4 {
            put(GATES + vector * 16, &gate(PLAIN + vector * 16))?;
        }
        put(PAGES_START, &[GROUP])?;
        put(GROUP, &[0, RECORDS, 4])?;
        let records = [TRACED, BETWEEN, DROPPED, MODULE + 0x10];
        for (at, ip) in (RECORDS..).step_by(16).zip(records) {
            put(at, &[ip, 0])?;
        }
        put(OPS_LIST, &[OPS_END])?;
        put(TRAMPOLINES, &[TRAMPOLINES, TRAMPOLINES])?;
        put(PROGRAMS, &[PROGRAMS, PROGRAMS])
    }

    fn linux(&self) -> MockLinux {
        let mut linux = MockLinux::new(CR3);
        linux.kernel.banner = self.banner.to_owned();
        linux.symbols = self.symbols();
        if self.types {
            linux.fields = fields().collect();
        }
        linux.tasks.push(task(1, self.runs, self.init_started));
        linux.current.insert(0, 1);
        linux.areas = vec![
            area(AreaKind::Text, TEXT, TEXT + 0x7800),
            area(AreaKind::Rodata, RODATA, RODATA + 0x4000),
        ];
        let entry = |number: u32| Entry {
            number,
            address: PLAIN + u64::from(number) * 16,
            in_text: true,
        };
        linux.calls[0] = (0..4).map(entry).collect();
        linux.gates = (0..4).map(entry).collect();
        linux.tables = [SYSTEM_CALLS, 0, 0xffff_fe00_0000_0000];
        linux
    }

    fn symbols(&self) -> Vec<Symbol> {
        let all = [
            ("init_task", DATA + 0x7000),
            ("__start___jump_table", LABELS),
            ("__stop___jump_table", LABELS + 32),
            ("__start_static_call_sites", CALLS),
            ("__stop_static_call_sites", CALLS + 16),
            ("__static_call_text_start", TRAMPOLINE),
            ("__static_call_text_end", TRAMPOLINE + 8),
            ("ftrace_pages_start", PAGES_START),
            ("ftrace_ops_list", OPS_LIST),
            ("ftrace_list_end", OPS_END),
            ("ftrace_ops_trampoline_list", TRAMPOLINES),
            ("bpf_kallsyms", PROGRAMS),
            ("kprobe_table", PROBES),
            ("idt_table", GATES),
            ("start", TEXT),
            ("callee", CALLEE),
            ("ftrace_caller", TRACE_CALLER),
            ("ftrace_call", TRACER),
            ("plain", PLAIN),
        ];
        let all = all
            .into_iter()
            .filter(|(name, _)| !self.hidden.contains(name));
        all.map(|(name, address)| Symbol {
            name: name.to_owned(),
            address,
            kind: 't',
        })
        .collect()
    }
}

/// A gate that leads somewhere.
pub(super) fn gate(to: u64) -> [u64; 2] {
    let low = to & 0xffff | 0x10 << 16 | 0x8e00 << 32 | (to >> 16 & 0xffff) << 48;
    [low, to >> 32]
}

/// A task.
pub(super) fn task(pid: u32, user: bool, start_time: u64) -> Task {
    Task {
        address: 0xffff_8880_0000_0000 + u64::from(pid) * 0x4000,
        pid,
        tgid: pid,
        parent: Some(0),
        comm: "init".to_owned(),
        credentials: None,
        state: None,
        kernel: Some(!user),
        cr3: user.then_some(0x5000),
        start_time: Some(start_time),
    }
}

/// A module whose code is there.
pub(super) fn module() -> Module {
    let (kind, start, size) = (PartKind::Text, MODULE, 0x1000);
    Module {
        address: MODULE + 0x1000,
        name: "dummy".to_owned(),
        start,
        size: 0x2000,
        state: ModuleState::Live,
        parts: vec![Part { kind, start, size }],
    }
}

fn area(kind: AreaKind, start: u64, end: u64) -> Area {
    let source = Source::Kallsyms;
    Area {
        kind,
        start,
        end,
        source,
    }
}

fn fields() -> impl Iterator<Item = (String, Field)> {
    let all = [
        ("ftrace_page", 0, 24),
        ("ftrace_page.next", 0, 8),
        ("ftrace_page.records", 8, 8),
        ("ftrace_page.index", 16, 4),
        ("dyn_ftrace", 0, 16),
        ("dyn_ftrace.ip", 0, 8),
        ("ftrace_ops.next", 8, 8),
        ("ftrace_ops.list", 16, 16),
        ("ftrace_ops.trampoline", 32, 8),
        ("ftrace_ops.trampoline_size", 40, 8),
        ("bpf_ksym.start", 0, 8),
        ("bpf_ksym.end", 8, 8),
        ("bpf_ksym.lnode", 0x80, 16),
        ("kprobe", 0, 128),
        ("kprobe.hlist", 0, 16),
        ("kprobe.addr", 40, 8),
        ("kprobe.opcode", 88, 1),
        ("kprobe.flags", 120, 4),
        ("optimized_kprobe", 0, 176),
        ("optimized_kprobe.optinsn.copied_insn", 152, 4),
        ("optimized_kprobe.optinsn.insn", 160, 8),
    ];
    all.into_iter().map(|(path, offset, size)| {
        let (hops, bits) = (vec![], None);
        let field = Field {
            hops,
            offset,
            size,
            bits,
        };
        (path.to_owned(), field)
    })
}
