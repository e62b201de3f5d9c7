//! The types of a kernel's file, as bpftool reads them.

use std::{path::Path, process::Command};

/// A structure or union.
#[derive(Debug)]
pub(crate) struct Composite {
    pub(crate) id: u32,
    pub(crate) size: u64,
    pub(crate) members: Vec<Member>,
}

/// A member of it.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) type_id: u32,
    pub(crate) bits_offset: u32,
    pub(crate) bits: Option<u8>,
}

/// Every structure and union; none without bpftool.
pub(crate) fn composites(vmlinux: &Path) -> Option<Vec<Composite>> {
    let places = ["bpftool", "/usr/sbin/bpftool"];
    let dumped = places.iter().find_map(|program| {
        let mut command = Command::new(program);
        command.args(["btf", "dump", "file"]).arg(vmlinux);
        command.output().ok()
    })?;
    assert!(dumped.status.success(), "bpftool reads the file");
    let text = String::from_utf8(dumped.stdout).expect("text");
    let mut all: Vec<Composite> = Vec::new();
    let mut is_composite = false;
    for line in text.lines() {
        if line.starts_with('[') {
            let composite = composite(line);
            is_composite = composite.is_some();
            all.extend(composite);
        } else if is_composite {
            let last = all.last_mut().expect("one began");
            last.members.push(member(line));
        }
    }
    Some(all)
}

/// `[7] STRUCT 'list_head' size=16 vlen=2`
fn composite(line: &str) -> Option<Composite> {
    let (id, rest) = line[1..].split_once("] ")?;
    let known = rest.starts_with("STRUCT ") || rest.starts_with("UNION ");
    known.then(|| Composite {
        id: id.parse().expect("a number"),
        size: number(rest, "size=").expect("a size"),
        members: Vec::new(),
    })
}

/// `'next' type_id=8 bits_offset=0 bitfield_size=3`
fn member(line: &str) -> Member {
    let (_, rest) = line.split_once('\'').expect("a name");
    let (name, rest) = rest.split_once('\'').expect("its end");
    let small = |word| number(rest, word).map(|number| u32::try_from(number).expect("32 bits"));
    Member {
        name: if name == "(anon)" {
            String::new()
        } else {
            name.to_owned()
        },
        type_id: small("type_id=").expect("a type"),
        bits_offset: small("bits_offset=").expect("a place"),
        bits: small("bitfield_size=").map(|bits| u8::try_from(bits).expect("few")),
    }
}

fn number(text: &str, word: &str) -> Option<u64> {
    let (_, rest) = text.split_once(word)?;
    rest.split_whitespace().next()?.parse().ok()
}
