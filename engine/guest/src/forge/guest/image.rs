//! The image of a forged kernel: its tables of pages, of symbols, of system calls, and its first task.

use super::super::{
    Form,
    kallsyms::Entry,
    types::{self, types},
};
use super::{
    CURRENT, DATA, DESCRIPTIONS, DIRECT, ENTRY, Forged, INIT_TASK, INTERRUPTS, MODULES, PER_CPU,
    PROCESS, RODATA, TEXT, USER,
};

/// Bits of an entry in a table of pages.
const LARGE: u64 = 0x80;
const WRITE: u64 = 2;
const NO_EXECUTE: u64 = 1 << 63;
/// Places in the image.
const BANNER: u64 = RODATA + 0x100;
const CALLS: u64 = RODATA + 0x1000;
const TYPES: u64 = RODATA + 0x1_0000;
const SYMBOLS: u64 = RODATA + 0x10_0000;
const NAMESPACE: u64 = DATA + 0x1100;
const OWN_TABLES: u64 = DATA + 0x1f_e000;
/// What is said of itself.
const WORDS: &str = "Linux version 9.9.9-forged (a@test) #1 SMP\n";

impl Forged {
    pub(super) fn tables(&self) {
        let index = |level: u32| (self.image >> (12 + 9 * level) & 511) * 8;
        let own = self.gpa(self.at(OWN_TABLES));
        for top in [PROCESS, own] {
            self.physical(top + 511 * 8, 0x2003);
            self.physical(top + (DIRECT >> 39 & 511) * 8, 0x4003);
        }
        self.physical(0x2000 + index(2), 0x3003);
        let rights = [0, NO_EXECUTE, NO_EXECUTE | WRITE];
        for (number, rights) in (0u64..).zip(rights) {
            let page = TEXT + number * RODATA;
            self.physical(0x3000 + index(1) + number * 8, page | rights | LARGE | 1);
        }
        self.physical(0x4000, 0x5003);
        for number in 0..8 {
            let rights = NO_EXECUTE | WRITE | LARGE | 1;
            self.physical(0x5000 + number * 8, number << 21 | rights);
        }
        // For user mode: the page of the entry, and nothing else.
        self.physical(USER + 511 * 8, 0x6003);
        self.physical(0x6000 + index(2), 0x7003);
        self.physical(0x7000 + index(1), 0x8003);
        self.physical(0x8000 + (ENTRY >> 12) * 8, (TEXT + ENTRY) | 1);
    }

    pub(super) fn image(&mut self, form: Form, has_types: bool) {
        self.write(self.at(BANNER), WORDS.as_bytes());
        for (number, offset) in [0x1000, 0x1040, 0x1080].into_iter().enumerate() {
            self.word(self.at(CALLS + number as u64 * 8), self.at(offset));
        }
        let types = types().bytes();
        let types = if has_types { types } else { Vec::new() };
        self.write(self.at(TYPES), &types);
        let symbols = self.symbols(types.len() as u64, has_types);
        let table = form.table(&symbols, self.at(SYMBOLS), self.image);
        self.write(self.at(SYMBOLS), &table);
        self.page_fault_gate();
        let area = self.room(0x1000);
        self.word(self.at(PER_CPU), area);
        for list in [MODULES, DESCRIPTIONS] {
            self.empty_list(self.at(list));
        }
        self.root = self.room(types::NODE);
        self.write(self.root, &[6]);
        self.word(self.at(NAMESPACE + types::ROOT), self.root | 2);
    }

    fn symbols(&self, types: u64, has_types: bool) -> Vec<Entry> {
        let named = [
            (b'T', "_text", 0),
            (b'T', "_stext", 0),
            (b'T', "__x64_sys_read", 0x1000),
            (b'T', "__x64_sys_write", 0x1040),
            (b't', "do_exit.isra.0", 0x1050),
            (b'T', "asm_exc_page_fault", 0x1100),
            (b'T', "entry_SYSCALL_64", ENTRY),
            (b'T', "_etext", RODATA - 0x1000),
            (b'R', "__start_rodata", RODATA),
            (b'R', "linux_banner", BANNER),
            (b'R', "sys_call_table", CALLS),
            (b'R', "ia32_sys_call_table", CALLS + 0x20),
            (b'R', "__start_BTF", TYPES),
            (b'R', "__stop_BTF", TYPES + types),
            (b'R', "__end_rodata", DATA),
            (b'D', "init_task", INIT_TASK),
            (b'd', "modules", MODULES),
            (b'D', "init_pid_ns", NAMESPACE),
            (b'R', "__per_cpu_offset", PER_CPU),
            (b'd', "btf_modules", DESCRIPTIONS),
            (b'd', "idt_table", INTERRUPTS),
            (b'D', "init_top_pgt", OWN_TABLES),
        ];
        let named = named
            .into_iter()
            .filter(|(_, name, _)| has_types || !name.ends_with("_BTF"));
        let fillers =
            (0..600).map(|number| (b't', format!("symbol_{number}"), 0x2000 + number * 16));
        let named = named.map(|(kind, name, offset)| (kind, name.to_owned(), offset));
        let mut all: Vec<_> = named.chain(fillers).collect();
        all.sort_by_key(|(_, _, offset)| *offset);
        let placed = all
            .into_iter()
            .map(|(kind, name, offset)| (kind, name, self.at(offset)));
        let current = (b'D', "current_task".to_owned(), CURRENT);
        [current].into_iter().chain(placed).collect()
    }

    fn page_fault_gate(&self) {
        let handler = self.at(0x1100);
        let low = handler & 0xffff | 0x10 << 16 | 0x8e00 << 32 | (handler >> 16 & 0xffff) << 48;
        self.word(self.at(INTERRUPTS + 14 * 16), low);
        self.word(self.at(INTERRUPTS + 14 * 16 + 8), handler >> 32);
    }

    pub(super) fn first_task(&mut self) {
        let init = self.init_task();
        self.write(init + types::COMM, b"swapper/0");
        self.word(init + types::REAL_PARENT, init);
        self.word(init + types::REAL_PARENT + 8, init);
        self.empty_list(init + types::TASKS);
        let cred = self.credentials();
        self.word(init + types::TASK_CRED, cred);
        self.run(init);
    }
}
