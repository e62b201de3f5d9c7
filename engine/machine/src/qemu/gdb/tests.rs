use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    thread,
};

use super::*;

const SOON: Duration = Duration::from_millis(100);

/// A connection to a peer that answers the first question with these bytes and then waits, or
/// closes.
fn peer(says: &[u8], stays: bool) -> Result<Gdb, GdbError> {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let says = says.to_vec();
    let peer = thread::spawn(move || {
        let mut question = [0; 256];
        let _ = theirs.read(&mut question);
        theirs.write_all(&says).unwrap();
        stays.then_some(theirs)
    });
    let gdb = Gdb::over(Stream::Unix(ours), SOON);
    drop(peer.join());
    gdb
}

#[test]
fn a_peer_that_is_silent_or_gone_or_no_stub_is_named() {
    for (says, stays, words) in [
        (&b""[..], true, "another debugger"),
        (b"+$PacketSize=1000#", true, "no answer"),
        (b"", false, "closed"),
        (b"+", false, "closed"),
        (b"HTTP/1.1 400 Bad Request\r\n", true, "no gdbstub"),
        (b"+$PacketSize=1000#00", true, "no gdbstub"),
    ] {
        let error = peer(says, stays).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn what_is_known_of_registers_ends_with_a_stop_and_so_may_whose_they_are() {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let mut gdb = Gdb {
        stream: Stream::Unix(ours),
        packets: Packets::default(),
        layout: Layout::default(),
        threads: vec![1, 2],
        selected: Some(1),
        known: BTreeMap::from([(0, vec![7])]),
        physical: false,
        owes: false,
        asked: Vec::new(),
    };
    assert_eq!(gdb.registers(0).unwrap(), [7], "without asking");
    gdb.note(Stop::Met { thread: 1 });
    assert!(gdb.known.is_empty());
    assert_eq!(gdb.selected, Some(1), "it is the same");
    for other in [Stop::Met { thread: 2 }, Stop::Interrupted] {
        gdb.selected = Some(1);
        gdb.note(other);
        assert_eq!(
            gdb.selected, None,
            "{other:?}: QEMU may speak of another now"
        );
    }
}

#[test]
fn points_are_put_as_the_stub_wants_them() {
    let hardware =
        |length, access| Point::Hardware(HardwarePoint::new(0x10, length, access).unwrap());
    for (point, said) in [
        (Point::Software(0xffff), "0,ffff,1"),
        (hardware(1, oriel_protocol::Access::EXECUTE), "1,10,1"),
        (hardware(8, oriel_protocol::Access::WRITE), "2,10,8"),
        (hardware(4, HardwarePoint::READ_WRITE), "4,10,4"),
    ] {
        assert_eq!(words(point), said);
    }
}
