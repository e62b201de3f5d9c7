//! Looking without the stub: by the monitor and the file.

use std::{error::Error as _, io::Write as _};

use oriel_protocol::Refusal;

use super::*;
use crate::qemu::{Look, LookError, Onlooker, RamError};

/// A file with this in it.
fn file(contents: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(contents).unwrap();
    file
}

fn look(fake: &Fake, ram: RamChoice) -> Result<Onlooker, LookError> {
    let qmp = fake.address("qmp");
    Look { qmp, ram }.connect()
}

fn in_file(fake: &Fake, file: &tempfile::NamedTempFile) -> Result<Onlooker, LookError> {
    look(fake, RamChoice::File(file.path().to_owned()))
}

#[test]
fn a_vm_is_looked_at_while_it_runs_and_its_stub_is_left_alone() {
    let fake = Fake::new(1, &[]);
    let file = file(&fake.lock().memory);
    let mut seen = in_file(&fake, &file).unwrap();
    assert_eq!(seen.identity().name, "made-up");
    let memory = seen.memory();
    assert_eq!(memory.read_u64(0x4000), Ok(CODE_GPA | 3));
    assert_eq!(memory.write_at(0x4000, &[0]), Err(Refusal::Unsupported));
    assert_eq!((memory.end(), memory.is_near()), (fake::RAM as u64, true));
    let registers = seen.registers().unwrap();
    let (index, special) = registers[0];
    assert_eq!((registers.len(), index, special.efer), (1, 0, 0xd01));
    let state = fake.lock();
    assert!(state.running && state.connections == 0, "{:?}", state.log);
}

#[test]
fn a_file_that_is_not_the_guests_memory_is_refused_in_words() {
    let fake = Fake::new(1, &[]);
    let mut contents = fake.lock().memory.clone();
    for (name, words) in [("content", "0x1"), ("size", "has 4096 bytes")] {
        if name == "content" {
            contents[0x1_0000..].fill(0xcc);
        } else {
            contents.truncate(0x1000);
        }
        let error = in_file(&fake, &file(&contents)).unwrap_err();
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        assert!(cause.contains(words), "{name}: {cause}");
    }
    let error = look(&fake, RamChoice::File("/nowhere".into())).unwrap_err();
    assert!(matches!(error, LookError::Ram(RamError::File { .. })));
}

#[test]
fn a_file_that_is_truncated_while_it_is_looked_at_is_memory_that_is_not_there() {
    let fake = Fake::new(1, &[]);
    let file = file(&fake.lock().memory);
    let seen = in_file(&fake, &file).unwrap();
    file.as_file().set_len(0x2000).unwrap();
    let memory = seen.memory();
    assert_eq!(memory.read_u64(0x4000), Err(Refusal::NotFound));
    assert_eq!(memory.read_u64(0x1ffc), Err(Refusal::NotFound));
    assert_eq!(memory.read_u64(0x1000), Ok(0));
}

#[test]
fn memory_that_only_the_stub_could_read_is_not_read() {
    let fake = Fake::new(1, &[]);
    for ram in [RamChoice::Gdb, RamChoice::Auto] {
        let error = look(&fake, ram).unwrap_err();
        assert!(matches!(error, LookError::Ram(RamError::Missing(_))));
    }
    assert_eq!(fake.lock().connections, 0);
}

#[test]
fn another_processor_is_named() {
    let fake = Fake::new(1, &[]);
    fake.lock().target = "aarch64".to_owned();
    let error = look(&fake, RamChoice::Auto).unwrap_err().to_string();
    assert!(error.contains("aarch64"), "{error}");
}
