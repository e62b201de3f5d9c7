//! Against a real kernel: Debian's, laid out in memory by its program headers as it would be before
//! its first instruction. Runs where `ORIEL_GUESTS` names the folder of the guests (`cargo xtask
//! guests` makes it); what is compared with bpftool, where that is installed too.

#[path = "debian/bpftool.rs"]
mod bpftool;
#[path = "debian/exports.rs"]
mod exports;

use std::{
    fs,
    path::{Path, PathBuf},
};

use oriel_guest::{Area, Index, Source, btf::Types, forge::Vmlinux};

/// Debian's kernel, if the guests are there: its file, and laid out.
///
/// Panics where they are not and `ORIEL_REQUIRE` names `guests`.
fn guests() -> Option<(PathBuf, Vmlinux)> {
    let Some(folder) = std::env::var_os("ORIEL_GUESTS") else {
        let required = std::env::var("ORIEL_REQUIRE").unwrap_or_default();
        let is_required = required.split(',').any(|word| word.trim() == "guests");
        assert!(
            !is_required,
            "ORIEL_REQUIRE names guests, and ORIEL_GUESTS names no folder of them"
        );
        eprintln!("SKIPPED: ORIEL_GUESTS is not set; `cargo xtask guests` says where they are");
        return None;
    };
    let path = Path::new(&folder).join("vmlinux");
    let bytes = fs::read(&path).expect("the kernel's file");
    Some((path, Vmlinux::new(bytes)))
}

fn index(kernel: &Vmlinux) -> Index {
    Index::build(kernel.memory(), &[kernel.sight()]).expect("a kernel")
}

#[test]
fn symbols_are_where_the_sections_and_the_exports_of_the_file_are() {
    let Some((_, kernel)) = guests() else { return };
    let index = index(&kernel);
    let symbols = index.symbols().expect("symbols");
    assert!(symbols.len() > 50_000, "{}", symbols.len());
    let bounds = [
        (".text", "_text"),
        (".rodata", "__start_rodata"),
        (".BTF", "__start_BTF"),
        ("__ksymtab", "__start___ksymtab"),
        ("__ex_table", "__start___ex_table"),
        (".init.text", "_sinittext"),
    ];
    for (section, symbol) in bounds {
        let start = kernel.section(section).map(|section| section.address);
        assert_eq!(symbols.address(symbol), start, "{symbol}");
    }
    let exports = exports::of(&kernel);
    assert!(exports.len() > 5_000, "{}", exports.len());
    for (name, address) in &exports {
        let found = symbols.all(name).any(|symbol| symbol.address == *address);
        assert!(found, "{name} is at {address:#x}");
    }
}

#[test]
fn the_kernel_says_what_it_is() {
    let Some((_, kernel)) = guests() else { return };
    let index = index(&kernel);
    assert!(index.banner().value.starts_with("Linux version "));
    assert_eq!(index.banner().source, Source::Kallsyms);
    assert!(
        index
            .release()
            .starts_with(|first: char| first.is_ascii_digit())
    );
    assert_eq!(index.slide().expect("a slide").value, 0, "as it is linked");
    let guest = index.guest(kernel.memory());
    let text = guest.area(Area::Text).expect("code").value;
    let section = kernel.section(".text").expect("a section");
    assert!(text.start <= section.address + 0x1000 && text.contains(&(section.address + 0x1000)));
    let calls = guest.syscalls(oriel_guest::tables::Calls::Native);
    let calls = calls.expect("system calls").value;
    assert!(calls.len() > 300, "{}", calls.len());
    assert!(
        calls[0]
            .symbol
            .as_deref()
            .is_some_and(|name| name.ends_with("sys_read"))
    );
}

#[test]
fn every_member_of_every_type_is_where_bpftool_has_it() {
    let Some((path, kernel)) = guests() else {
        return;
    };
    let Some(theirs) = bpftool::composites(&path) else {
        eprintln!("SKIPPED: there is no bpftool; Debian has it in the package bpftool");
        return;
    };
    let index = index(&kernel);
    let types = index.types().expect("types");
    let mut compared = 0;
    for composite in theirs {
        let ours: Vec<_> = types.members(composite.id).into_iter().collect();
        assert_eq!(ours.len(), composite.members.len(), "{composite:?}");
        assert_eq!(
            types.size(composite.id),
            Some(composite.size),
            "{composite:?}"
        );
        for (ours, theirs) in ours.iter().zip(&composite.members) {
            let name = types.string(ours.name);
            assert_eq!((name, ours.type_id), (theirs.name.as_str(), theirs.type_id));
            assert_eq!(
                (ours.bit_offset, ours.bits),
                (theirs.bits_offset, theirs.bits)
            );
            compared += 1;
        }
    }
    assert!(compared > 40_000, "{compared}");
    paths(types);
}

/// Members that every kernel has are found by their paths, at the offsets of their parts.
fn paths(types: &Types) {
    let task = |member: &str| types.offset(&format!("task_struct.{member}"));
    let through = types.field("task_struct.mm.pgd").expect("a path");
    assert_eq!(through.hops, [task("mm").expect("a member")]);
    assert_eq!(
        through.offset,
        types.offset("mm_struct.pgd").expect("a member")
    );
    let comm = types.field("task_struct.comm").expect("a name");
    assert_eq!(comm.size, 16);
    assert_eq!(task("comm[5]").expect("a letter"), comm.offset + 5);
    let bits = types
        .field("task_struct.sched_reset_on_fork")
        .expect("a bit");
    assert_eq!(bits.bits.map(|bits| bits.width), Some(1));
}
