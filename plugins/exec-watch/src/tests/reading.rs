//! What is read of an exec.

use super::*;
use crate::tests::forged::{ARGUMENTS, NEW, linux};

#[test]
fn an_exec_is_told_of_with_its_paths_its_arguments_and_who_asks() -> Result<(), Failure> {
    let mut guest = Forged::new(all())?;
    assert_eq!(guest.run(&Asked::default()), Verdict::Continue);
    assert_eq!(
        line(&guest),
        "path=\"/bin/ls\" file=\"/bin/busybox\" argc=2 envc=3 arguments=[\"ls\", \"-l\"] pid=41 \
         tgid=41 comm=\"forked\" parent=40 parent-comm=\"sh\" uid=1000 euid=0 vcpu=0 answer=goes-on"
    );
    assert!(guest.bench.engine.alerts.is_empty());
    assert_eq!(guest.bench.engine.counters["execs"], 1);
    Ok(())
}

#[test]
fn arguments_cross_pages_of_the_new_memory_and_end_where_the_environment_begins()
-> Result<(), Failure> {
    let mut guest = Forged::new(all())?;
    guest.run(&Asked {
        argc: 3,
        arguments: b"sh\0-c\0echo one page and the next\0HOME=/\0",
        ..Asked::default()
    });
    let told = "arguments=[\"sh\", \"-c\", \"echo one page and the next\"]";
    assert!(line(&guest).contains(told), "{}", line(&guest));
    Ok(())
}

#[test]
fn what_is_paged_out_is_unknown_and_what_is_there_is_told() -> Result<(), Failure> {
    let mut guest = Forged::new(all())?;
    let asked = Asked {
        argc: 3,
        arguments: b"sh\0-c\0echo one page and the next\0",
        ..Asked::default()
    };
    let binprm = guest.binprm(&asked)?;
    guest.bench.engine.memory.unmap(NEW, ARGUMENTS + 0x1000);
    guest.hit(binprm);
    let told = line(&guest).to_owned();
    assert!(
        told.contains("argc=3") && told.contains("[\"sh\", \"-c\", unknown]"),
        "{told}"
    );
    guest.bench.engine.memory.unmap(NEW, ARGUMENTS);
    guest.hit(binprm);
    assert!(
        line(&guest).contains("arguments=[unknown]"),
        "{}",
        line(&guest)
    );
    Ok(())
}

#[test]
fn a_program_without_arguments_has_none_and_an_empty_one_is_one() -> Result<(), Failure> {
    let mut guest = Forged::new(all())?;
    guest.run(&Asked {
        argc: 0,
        ..Asked::default()
    });
    assert!(line(&guest).contains("argc=0 envc=3 arguments=[] "));
    guest.run(&Asked {
        argc: 1,
        arguments: b"\0HOME=/\0",
        ..Asked::default()
    });
    assert!(line(&guest).contains("argc=1 envc=3 arguments=[\"\"] "));
    Ok(())
}

#[test]
fn many_arguments_and_long_ones_are_cut_and_that_is_said() -> Result<(), Failure> {
    let mut guest = Forged::new(all())?;
    guest.run(&Asked {
        argc: 100,
        arguments: &b"a\0".repeat(100),
        ..Asked::default()
    });
    let told = line(&guest).to_owned();
    assert!(
        told.contains("argc=100") && told.contains("\"a\", …]"),
        "{told}"
    );
    guest.run(&Asked {
        argc: 1,
        arguments: &[b'x'; 600],
        ..Asked::default()
    });
    assert!(line(&guest).contains("xxx…\"]"), "{}", line(&guest));
    Ok(())
}

#[test]
fn a_text_that_a_guest_chooses_looks_like_nothing_else() -> Result<(), Failure> {
    let mut guest = Forged::new(all())?;
    guest.run(&Asked {
        path: "/a\" answer=refused \u{1b}[2J",
        file: &["new\nline"],
        argc: 1,
        arguments: b"unknown\0",
        ..Asked::default()
    });
    let told = line(&guest);
    assert!(
        told.starts_with(r#"path="/a\" answer=refused \u{1b}[2J" file="/new\nline""#),
        "{told}"
    );
    assert!(told.contains("arguments=[\"unknown\"]"), "{told}");
    Ok(())
}

#[test]
fn a_file_lies_where_its_mount_does() -> Result<(), Failure> {
    let mut guest = Forged::new(all())?;
    let inner = guest.object(&[])?;
    let (place, root) = (guest.entry(b"media", Some(guest.root))?, guest.object(&[])?);
    guest.put(inner + 16, guest.mount - 32)?;
    guest.put(inner + 24, place)?;
    guest.put(inner + 32, root)?;
    let entry = guest.entry(b"tool", Some(root))?;
    let file = guest.file(entry)?;
    guest.put(file + 16, inner + 32)?;
    let binprm = guest.binprm(&Asked {
        path: "./tool",
        ..Asked::default()
    })?;
    guest.put(binprm + 64, file)?;
    guest.hit(binprm);
    assert!(line(&guest).starts_with("path=\"./tool\" file=\"/media/tool\" "));
    Ok(())
}

#[test]
fn a_file_that_hangs_on_no_root_has_its_own_name() -> Result<(), Failure> {
    let mut guest = Forged::new(denying("/memfd:*"))?;
    let binprm = guest.binprm(&Asked {
        path: "/dev/fd/3",
        ..Asked::default()
    })?;
    for name in ["memfd:x", "memfd:a/b"] {
        let entry = guest.entry(name.as_bytes(), None)?;
        let file = guest.file(entry)?;
        guest.put(binprm + 64, file)?;
        assert_eq!(guest.hit(binprm), Verdict::Retry, "{name}");
        assert_eq!(alert(&guest).fields["file"], format!("/{name}"));
    }
    Ok(())
}

#[test]
fn types_are_asked_once_a_kernel() -> Result<(), Failure> {
    let mut guest = Forged::with(all(), linux("security_bprm_check"))?;
    guest.run(&Asked::default());
    let before = guest.bench.engine.asked.len();
    guest.run(&Asked::default());
    let asked = &guest.bench.engine.asked[before..];
    assert!(asked.len() < 30, "{asked:?}");
    let looked = |command: &&_| {
        format!("{command:?}").starts_with("Find") && format!("{command:?}") != "FindTask"
    };
    assert_eq!(asked.iter().filter(looked).count(), 0, "{asked:?}");
    Ok(())
}
