//! A file beside a guest that runs, and changes its memory while they are compared.

use std::{io::Write as _, os::unix::net::UnixStream, time::Duration};

use super::*;
use crate::qemu::stream::Stream;

const RAM: u64 = 0x2000;

/// A file, and a guest that writes into it whenever it is looked at.
struct Writer {
    file: tempfile::NamedTempFile,
    count: u8,
    /// It writes so often.
    times: u8,
    /// It is another guest's file.
    strange: bool,
}

impl Writer {
    fn new(times: u8, strange: bool) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(RAM).unwrap();
        Self {
            file,
            count: 0,
            times,
            strange,
        }
    }

    fn write(&self) {
        use std::os::unix::fs::FileExt as _;
        let written = self.file.as_file().write_all_at(&[self.count], 0);
        written.unwrap();
    }
}

impl Witness for Writer {
    fn see(&mut self, _: &mut Qmp, gpa: u64, to: &mut [u8]) -> Result<(), RamError> {
        to.fill(0);
        if gpa == 0 && self.count < self.times {
            // Before the guest is seen, and after.
            self.count += 1;
            to[0] = self.count;
            self.count += 1;
            self.write();
        } else if gpa == 0 {
            to[0] = self.count;
        }
        to[1] = u8::from(self.strange);
        Ok(())
    }
}

fn monitor() -> (Qmp, UnixStream) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let greeting = b"{\"QMP\": {}}\n{\"return\": {}}\n";
    theirs.write_all(greeting).unwrap();
    let qmp = Qmp::over(Stream::Unix(ours), Duration::from_secs(1));
    (qmp.unwrap(), theirs)
}

fn found(mut guest: Writer) -> bool {
    let block = Block {
        gpa: 0,
        length: RAM,
        offset: 0,
        region: "mem0".to_owned(),
    };
    let path = guest.file.path().to_owned();
    let (mut qmp, _peer) = monitor();
    named(&path, &[block], &mut qmp, &mut guest).is_ok()
}

#[test]
fn a_guest_that_writes_while_it_is_compared_is_found_all_the_same() {
    assert!(found(Writer::new(0, false)), "it is still");
    assert!(found(Writer::new(9, false)), "it is still in the end");
    assert!(found(Writer::new(250, false)), "it never is");
}

#[test]
fn what_differs_while_nothing_changes_is_another_guests() {
    assert!(!found(Writer::new(0, true)));
    assert!(!found(Writer::new(9, true)));
}
