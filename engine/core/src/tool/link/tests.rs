use std::{io::Read, os::unix::net::UnixStream};

use oriel_protocol::{
    events::{Pause, Unhook},
    kvmi::{
        Snapshot,
        frame::{HEADER, Header},
    },
};

use super::*;

fn pair(patience: Duration) -> (Link, UnixStream) {
    let (mine, theirs) = UnixStream::pair().unwrap();
    let link = Link::new(mine.into(), Dialect::V7, 2, patience).unwrap();
    (link, theirs)
}

fn event(data: impl Into<EventData>, snapshot: &Snapshot) -> Letter<'_> {
    Letter {
        vcpu: 1,
        snapshot,
        data: data.into(),
    }
}

fn header(tool: &mut UnixStream) -> Header {
    let mut header = [0; HEADER];
    tool.read_exact(&mut header).unwrap();
    let header = Header::read(header);
    let mut rest = vec![0; header.size.into()];
    tool.read_exact(&mut rest).unwrap();
    header
}

#[test]
fn events_are_numbered_from_one_in_the_order_in_which_they_are_sent() {
    let (link, mut tool) = pair(Duration::from_secs(60));
    let state = Snapshot::default();
    assert_eq!(link.send_event(&event(Pause {}, &state)), Some(1));
    assert_eq!(link.pending.take(1, 1), Some(EventKind::Pause));
    assert_eq!(link.send_event(&event(Unhook {}, &state)), Some(2));
    assert_eq!(link.pending.take(1, 2), None, "nobody waits for an answer");
    assert_eq!((header(&mut tool).seq, header(&mut tool).seq), (1, 2));
}

#[test]
fn a_tool_that_does_not_read_is_hung_up_on() {
    let (link, _tool) = pair(Duration::from_millis(1));
    let state = Snapshot::default();
    while link.send_event(&event(Pause {}, &state)).is_some() {}
    assert_eq!(link.reason(), Some("it does not read what it is sent"));
}

#[test]
fn a_tool_that_has_gone_is_noticed_and_the_first_reason_stands() {
    let (link, tool) = pair(Duration::from_secs(60));
    drop(tool);
    let state = Snapshot::default();
    assert_eq!(link.send_event(&event(Pause {}, &state)), None);
    link.hang_up("later");
    assert_eq!(link.reason(), Some("it has closed the connection"));
}

#[test]
fn whoever_reads_finds_the_end_of_a_connection_that_is_hung_up() {
    let (link, _tool) = pair(Duration::from_secs(60));
    let mut reader = std::fs::File::from(link.reader().unwrap());
    link.hang_up("enough");
    assert_eq!(reader.read(&mut [0; 1]).unwrap(), 0);
}
