use super::*;
use crate::linux::{
    Which,
    tests::{asked, some},
};

fn shown(question: &Question) -> Vec<String> {
    lines(question, &asked(&some(), question).unwrap())
}

/// The words of the line that begins with this one.
fn words(lines: &[String], first: &str) -> Vec<String> {
    let mut split = lines.iter().map(|line| line.split_whitespace());
    let line = split.find(|line| line.clone().next() == Some(first));
    let line = line.unwrap_or_else(|| panic!("{first} is not in {lines:#?}"));
    line.map(str::to_owned).collect()
}

#[test]
fn what_is_known_of_a_kernel_is_a_line_a_part_with_its_source() {
    let lines = shown(&Question::Info);
    assert_eq!(words(&lines, "release"), ["release", "9.9.9-forged"]);
    assert_eq!(words(&lines, "slide"), ["slide", "0x200000", "convention"]);
    assert_eq!(
        words(&lines, "modules"),
        ["modules", "1", "kallsyms-and-btf"]
    );
    let code = words(&lines, "code");
    assert_eq!(code[1], "0xffffffff81200000");
    assert_eq!(words(&lines, "vCPU")[2..5], ["runs", "700", "sh"]);
}

#[test]
fn what_is_unknown_is_said_with_the_reason() {
    let answer = serde_json::json!({ "types": { "unknown": "no-types", "why": "no BTF" } });
    let lines = lines(&Question::Info, &answer);
    assert_eq!(words(&lines, "types"), ["types", "unknown:", "no", "BTF"]);
}

#[test]
fn symbols_look_as_nm_has_them() {
    let which = Which::Named("__x64_sys_read".to_owned());
    let module = None;
    let lines = shown(&Question::Symbols { which, module });
    assert_eq!(lines, ["ffffffff81201000 T __x64_sys_read"]);
    let at = shown(&Question::At {
        address: 0xffff_ffff_8120_1004,
    });
    assert_eq!(at, ["__x64_sys_read+0x4"]);
    let exactly = shown(&Question::At {
        address: 0xffff_ffff_8120_1000,
    });
    assert_eq!(exactly, ["__x64_sys_read"]);
}

#[test]
fn a_type_is_its_members_and_a_member_the_way_to_it() {
    let ask = |path: &str| {
        let path = path.to_owned();
        shown(&Question::Type { path, module: None })
    };
    let whole = ask("mm_struct");
    assert_eq!(whole[0], "struct mm_struct, 32 bytes");
    assert!(
        whole
            .iter()
            .any(|line| line.starts_with("8") && line.contains("pgd"))
    );
    let member = ask("task_struct.mm.pgd");
    assert_eq!(words(&member, "pointers"), ["pointers", "at", "48"]);
    assert_eq!(words(&member, "offset"), ["offset", "8"]);
}

#[test]
fn tasks_are_a_table_and_names_move_no_cursor() {
    let lines = shown(&Question::Tasks);
    let heads = ["PID", "PROCESS", "PARENT", "UID", "STATE", "VCPU", "NAME"];
    assert_eq!(words(&lines, "PID"), heads);
    assert_eq!(
        words(&lines, "700"),
        ["700", "700", "1", "1000", "sleeping", "0", "sh"]
    );
    let threads = shown(&Question::Threads);
    assert_eq!(
        words(&threads, "701").last().map(String::as_str),
        Some("\\u{1b}[2Jworker")
    );
}

#[test]
fn a_list_that_breaks_off_says_so() {
    let answer = serde_json::json!({ "tasks": [], "ending": "loop" });
    let lines = lines(&Question::Tasks, &answer);
    assert!(lines[1].contains("the list is loop"), "{lines:?}");
    let none = shown(&Question::Hidden);
    assert!(none[0].starts_with("nobody is hidden among"), "{none:?}");
}

#[test]
fn modules_and_entries_are_tables() {
    let modules = shown(&Question::Modules);
    let veth = ["veth", "12288", "live", "0xffffffffc0000000"];
    assert_eq!(words(&modules, "veth"), veth);
    let calls = shown(&Question::Syscalls { compat: false });
    let read = ["0", "0xffffffff81201000", "kernel", "__x64_sys_read"];
    assert_eq!(words(&calls, "0"), read);
    let gates = shown(&Question::Interrupts);
    assert_eq!(gates[0], "vCPU 0, by register");
    assert_eq!(words(&gates, "14")[2], "kernel");
}
