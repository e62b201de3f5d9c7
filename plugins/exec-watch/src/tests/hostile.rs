//! Memory that lies: nothing is read for ever, and what nobody can read is not let through.

use super::*;
use crate::tests::forged::DIRECT;

const UNTOLD: &str = "a program was to run whose path cannot be told, and was refused";

#[test]
fn counts_that_no_kernel_has_are_unknown_or_cut() -> Result<(), Failure> {
    let mut guest = Forged::new(all())?;
    guest.run(&Asked {
        argc: -1,
        ..Asked::default()
    });
    assert!(line(&guest).contains("argc=unknown envc=3 arguments=unknown "));
    guest.run(&Asked {
        argc: i32::MAX,
        ..Asked::default()
    });
    let told = line(&guest);
    assert!(
        told.contains("argc=2147483647") && told.contains("\"\", …]"),
        "{told}"
    );
    Ok(())
}

#[test]
fn texts_without_an_end_are_not_read_for_ever() -> Result<(), Failure> {
    let mut guest = Forged::new(denying("/opt/evil"))?;
    let binprm = guest.binprm(&Asked {
        arguments: &[b'x'; 0x1010],
        file: &[],
        ..Asked::default()
    })?;
    let (first, second) = (guest.object(&[b'y'; 4096])?, guest.object(&[b'y'; 4096])?);
    assert_eq!(second, first + 4096);
    guest.put(binprm + 96, first)?;
    guest.put(binprm + 104, first)?;
    assert_eq!(guest.hit(binprm), Verdict::Retry);
    assert_eq!(alert(&guest).message, UNTOLD);
    assert_eq!(alert(&guest).fields["path"], "unknown");
    assert_eq!(alert(&guest).fields["arguments"], "[…]");
    Ok(())
}

#[test]
fn an_exec_of_which_nothing_can_be_read_is_refused_or_told_of() -> Result<(), Failure> {
    let mut denied = Forged::new(denying("/opt/evil"))?;
    let mut listed = Forged::new(
        all()
            .with("mode", "deny")
            .with("allow", vec!["/*".to_owned()]),
    )?;
    let mut told = Forged::new(all())?;
    for binprm in [0, 0x1234, u64::MAX, DIRECT, DIRECT - 1, 1 << 63] {
        assert_eq!(denied.hit(binprm), Verdict::Retry, "{binprm:#x}");
        assert_eq!(listed.hit(binprm), Verdict::Retry, "{binprm:#x}");
        assert_eq!(alert(&denied).message, UNTOLD);
        assert_eq!(alert(&listed).message, UNTOLD);
        assert_eq!(told.hit(binprm), Verdict::Continue);
        let all_unknown =
            "path=\"unknown\" file=\"unknown\" argc=unknown envc=unknown arguments=unknown";
        assert!(line(&told).starts_with(all_unknown), "{}", line(&told));
    }
    Ok(())
}

/// Raises an exec whose open file has this entry, and says what becomes of it.
fn with_entry(guest: &mut Forged, entry: u64) -> Result<Verdict, Failure> {
    let file = guest.file(entry)?;
    let binprm = guest.binprm(&Asked {
        path: "./x",
        file: &[],
        ..Asked::default()
    })?;
    guest.put(binprm + 64, file)?;
    let verdict = guest.hit(binprm);
    assert_eq!(alert(guest).message, UNTOLD);
    assert_eq!(alert(guest).fields["file"], "unknown");
    Ok(verdict)
}

#[test]
fn a_way_to_the_root_that_does_not_end_is_no_way_past_the_list() -> Result<(), Failure> {
    let mut guest = Forged::new(denying("/opt/evil"))?;
    let (one, other) = (guest.entry(b"one", None)?, guest.entry(b"other", None)?);
    guest.put(one + 24, other)?;
    guest.put(other + 24, one)?;
    assert_eq!(
        with_entry(&mut guest, one)?,
        Verdict::Retry,
        "round and round"
    );
    let mut deep = guest.root;
    for _ in 0..300 {
        deep = guest.entry(b"a", Some(deep))?;
    }
    assert_eq!(
        with_entry(&mut guest, deep)?,
        Verdict::Retry,
        "deeper than is followed"
    );
    Ok(())
}

#[test]
fn mounts_that_lie_in_each_other_come_to_an_end() -> Result<(), Failure> {
    let mut guest = Forged::new(denying("/opt/evil"))?;
    let (own, root) = (guest.mount - 32, guest.root);
    let other = guest.object(&[])?;
    guest.put(own + 16, other)?;
    guest.put(own + 24, root)?;
    guest.put(other + 16, own)?;
    guest.put(other + 24, root)?;
    guest.put(other + 32, root)?;
    assert_eq!(with_entry(&mut guest, root)?, Verdict::Retry);
    Ok(())
}

#[test]
fn names_that_no_file_has_are_not_believed() -> Result<(), Failure> {
    let mut guest = Forged::new(denying("/opt/evil"))?;
    for name in [&b"bin/busybox"[..], b"a\0b", b""] {
        let entry = guest.entry(name, Some(guest.root))?;
        assert_eq!(with_entry(&mut guest, entry)?, Verdict::Retry, "{name:?}");
    }
    let endless = guest.entry(b"x", Some(guest.root))?;
    guest.put(endless + 32, u64::MAX)?;
    assert_eq!(with_entry(&mut guest, endless)?, Verdict::Retry);
    let nowhere = guest.entry(b"x", Some(0xdead_0000))?;
    assert_eq!(with_entry(&mut guest, nowhere)?, Verdict::Retry);
    Ok(())
}

#[test]
fn the_longest_words_fit_into_an_alert() -> Result<(), Failure> {
    let mut guest = Forged::new(denying("*"))?;
    let nasty = "\u{1}".repeat(200);
    let mut file = vec!["d"];
    file.extend([&*nasty; 12]);
    let path = format!("/{}", "\u{1}".repeat(3000));
    let arguments = "\u{1}".repeat(4000);
    guest.run(&Asked {
        path: &path,
        file: &file,
        argc: 1,
        arguments: arguments.as_bytes(),
        ..Asked::default()
    });
    let fields = alert(&guest).fields.iter();
    let length: usize = fields.map(|(name, value)| name.len() + value.len()).sum();
    assert!(length + alert(&guest).message.len() < 4096, "{length}");
    Ok(())
}
