//! What a kernel exports to modules: names and addresses in a table of its own, which kallsyms is no
//! part of (Linux, `include/linux/export-internal.h`): three numbers each, counted from where they
//! stand: the address, the name, the namespace.

use oriel_guest::forge::{Section, Vmlinux};

const ENTRY: usize = 12;

/// Every export that lies in the image: per-CPU variables do not.
pub(crate) fn of(kernel: &Vmlinux) -> Vec<(String, u64)> {
    let tables = ["__ksymtab", "__ksymtab_gpl"];
    let tables = tables.iter().filter_map(|name| kernel.section(name));
    let exports = tables.flat_map(|table| entries(kernel, table));
    exports
        .filter(|(_, address)| *address >> 31 == u64::MAX >> 31)
        .collect()
}

fn entries(kernel: &Vmlinux, table: Section) -> Vec<(String, u64)> {
    let strings = kernel.section("__ksymtab_strings").expect("names");
    let bytes = kernel.bytes_of(table);
    let numbers = (0..bytes.len()).step_by(ENTRY);
    let entries = numbers.map(|at| {
        let target = |at: usize| {
            let offset = i32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
            (table.address + at as u64).wrapping_add_signed(offset.into())
        };
        let name = usize::try_from(target(at + 4) - strings.address).expect("a name");
        let text = &kernel.bytes_of(strings)[name..];
        let end = text.iter().position(|byte| *byte == 0).expect("an end");
        (
            String::from_utf8_lossy(&text[..end]).into_owned(),
            target(at),
        )
    });
    entries.collect()
}
