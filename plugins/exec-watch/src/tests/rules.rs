//! What may run.

use super::*;
use crate::tests::forged::linux;

const FORBIDDEN: &str = "a forbidden program was to run";
const UNLISTED: &str = "a program was to run that is not on the list";
const UNTOLD: &str = "a program was to run whose path cannot be told";

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

/// What is said of an exec under these lists; nothing, if it may run.
fn said(guest: &mut Forged, asked: &Asked<'_>) -> String {
    let before = guest.bench.engine.alerts.len();
    guest.run(asked);
    let alerts = guest.bench.engine.alerts.get(before..).unwrap_or_default();
    let messages: Vec<&str> = alerts.iter().map(|alert| &*alert.message).collect();
    messages.join("; ")
}

fn guest(allow: &[&str], forbid: &[&str]) -> Result<Forged, Failure> {
    let config = Config::new();
    let config = config
        .with("allow", texts(allow))
        .with("forbid", texts(forbid));
    Forged::new(config)
}

fn asked<'a>(path: &'a str, file: &'a [&'a str]) -> Asked<'a> {
    Asked {
        path,
        file,
        ..Asked::default()
    }
}

#[test]
fn what_is_forbidden_is_so_by_the_path_that_is_asked_for_and_by_the_files_own()
-> Result<(), Failure> {
    let mut guest = guest(&[], &["/usr/bin/nc*", "/opt/evil"])?;
    for (path, file, forbidden) in [
        ("/usr/bin/ncat", &["usr", "bin", "ncat"][..], true),
        ("/usr/bin/nc", &["bin", "busybox"], true),
        ("./nc", &["usr", "bin", "nc"], true),
        ("/tmp/link", &["opt", "evil"], true),
        ("/opt/evil2", &["opt", "evil2"], false),
        ("/usr/bin/n", &["usr", "bin", "n"], false),
        ("/usr/../opt/ok", &["opt", "ok"], false),
    ] {
        let said = said(&mut guest, &asked(path, file));
        assert_eq!(said.starts_with(FORBIDDEN), forbidden, "{path}: {said}");
        assert_eq!(said.is_empty(), !forbidden, "{path}: {said}");
    }
    Ok(())
}

#[test]
fn what_is_allowed_is_so_by_the_files_own_path() -> Result<(), Failure> {
    let mut guest = guest(&["/usr/bin/*", "/bin/busybox"], &["/usr/bin/nc"])?;
    for (path, file, words) in [
        ("/bin/ls", &["bin", "busybox"][..], ""),
        ("id", &["usr", "bin", "id"], ""),
        ("/usr/bin/id", &["home", "id"], UNLISTED),
        ("/usr/bin/../../tmp/x", &["tmp", "x"], UNLISTED),
        ("/usr/bin/nc", &["usr", "bin", "nc"], FORBIDDEN),
    ] {
        let said = said(&mut guest, &asked(path, file));
        assert!(
            said.starts_with(words) && said.is_empty() == words.is_empty(),
            "{path}: {said}"
        );
    }
    Ok(())
}

#[test]
fn where_nobody_says_where_a_file_is_the_path_that_is_asked_for_counts_if_it_is_plain()
-> Result<(), Failure> {
    let mut kernel = linux("bprm_execve");
    kernel.fields.remove("mount.mnt");
    let config = Config::new().with("allow", texts(&["/usr/bin/*"]));
    let mut guest = Forged::with(config, kernel)?;
    assert!(
        guest.bench.engine.log[1]
            .1
            .contains("do not say where a file is")
    );
    for (path, words) in [
        ("/usr/bin/id", ""),
        ("/bin/id", UNLISTED),
        ("usr/bin/id", UNTOLD),
        ("/usr/bin/../../tmp/x", UNTOLD),
    ] {
        let said = said(&mut guest, &asked(path, &[]));
        assert!(
            said.starts_with(words) && said.is_empty() == words.is_empty(),
            "{path}: {said}"
        );
    }
    Ok(())
}

#[test]
fn a_forbidden_interpreter_is_met_in_any_script_and_one_that_is_not_listed_is_no_matter()
-> Result<(), Failure> {
    let mut guest = guest(&["/root/*"], &["/opt/evil"])?;
    let script = asked("/root/script", &["root", "script"]);
    assert_eq!(said(&mut guest, &script), "");
    let shell = Asked {
        interp: Some("/bin/sh"),
        file: &["bin", "busybox"],
        ..script
    };
    assert_eq!(said(&mut guest, &shell), "");
    let evil = Asked {
        interp: Some("../opt/evil"),
        file: &["opt", "evil"],
        ..script
    };
    let words = format!("{FORBIDDEN} as the interpreter of a script, and goes on");
    assert_eq!(said(&mut guest, &evil), words);
    assert_eq!(alert(&guest).fields["interpreter"], "../opt/evil");
    assert_eq!(alert(&guest).fields["path"], "/root/script");
    Ok(())
}

#[test]
fn a_star_alone_is_every_path_and_bytes_that_are_no_text_match_no_text() -> Result<(), Failure> {
    let mut everything = guest(&[], &["*"])?;
    assert!(said(&mut everything, &Asked::default()).starts_with(FORBIDDEN));
    let mut strange = guest(&[], &["/tmp/\u{fffd}"])?;
    let entry = strange.entry(b"tmp", Some(strange.root))?;
    let entry = strange.entry(b"\xff", Some(entry))?;
    let (file, binprm) = (strange.file(entry)?, strange.binprm(&Asked::default())?);
    strange.put(binprm + 64, file)?;
    strange.hit(binprm);
    assert!(strange.bench.engine.alerts.is_empty());
    Ok(())
}
