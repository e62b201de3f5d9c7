use std::{os::unix::net::UnixStream, thread};

use super::*;

const SOON: Duration = Duration::from_millis(100);
const GREETING: &str = "{\"QMP\": {}}\n{\"return\": {}}\n";

/// A connection to a peer that says this and then waits, or closes.
fn peer(says: &str, stays: bool) -> (Result<Qmp, QmpError>, Option<UnixStream>) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(says.as_bytes()).unwrap();
    let theirs = stays.then_some(theirs);
    (Qmp::over(Stream::Unix(ours), SOON), theirs)
}

#[test]
fn a_peer_that_is_silent_or_gone_or_no_monitor_is_named() {
    for (says, stays, words) in [
        ("", true, "somebody else uses"),
        ("{\"QMP\":", true, "no answer"),
        ("", false, "closed"),
        ("{}\n", true, "speaks no QMP"),
        ("[1]\n", true, "speaks no QMP"),
        ("SSH-2.0\n", true, "speaks no QMP"),
    ] {
        let (qmp, _peer) = peer(says, stays);
        let error = qmp.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn events_between_a_question_and_its_answer_are_kept() {
    let (qmp, peer) = peer(GREETING, true);
    let (mut qmp, mut peer) = (qmp.unwrap(), peer.unwrap());
    peer.write_all(
        b"{\"event\": \"RESUME\"}\n{\"event\": \"NIC\"}\n{\"return\": {\"running\": true, \"status\": \"running\"}}\n{\"event\": \"RESET\"}\n{\"event\": \"SHUTDOWN\"}\n",
    )
    .unwrap();
    assert_eq!(qmp.status().unwrap(), (true, "running".to_owned()));
    assert_eq!(qmp.take_told(), Some(Told::Resume));
    qmp.receive().unwrap();
    assert_eq!(
        [qmp.take_told(), qmp.take_told(), qmp.take_told()],
        [Some(Told::Reset), Some(Told::Shutdown), None]
    );
}

#[test]
fn a_no_is_in_qemus_words() {
    let (qmp, peer) = peer(GREETING, true);
    let (mut qmp, mut peer) = (qmp.unwrap(), peer.unwrap());
    let says = thread::spawn(move || {
        peer.write_all(b"{\"error\": {\"class\": \"X\", \"desc\": \"not now\"}}\n")
            .unwrap();
        peer
    });
    let error = qmp.ask("stop", json!({})).unwrap_err().to_string();
    assert_eq!(error, "QEMU refuses \"stop\": not now");
    drop(says.join());
}
