//! Clients as they come: friendly, rude, slow and gone. Over a real socket, served as it is served.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
};

use super::{connection::Patience, *};
use crate::steward::{fake::Fake, for_tests};

const FOREVER: Duration = Duration::from_secs(600);

/// A control socket with policies behind it.
struct Scene {
    _directory: tempfile::TempDir,
    path: PathBuf,
    control: Option<Control>,
}

fn scene(patience: Patience) -> Scene {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control");
    let socket = Socket::bind(&path).unwrap();
    let steward = for_tests(Fake::with(&[("guard", b"one")]), None);
    let service = Service::new(Arc::new(steward), patience);
    Scene {
        _directory: directory,
        path,
        control: Some(Control::start(socket, service).unwrap()),
    }
}

/// Nobody is ever late.
fn patient() -> Patience {
    Patience {
        head: FOREVER,
        body: FOREVER,
        answer: FOREVER,
        grace: Duration::from_millis(1),
    }
}

impl Scene {
    fn connect(&self) -> UnixStream {
        UnixStream::connect(&self.path).unwrap()
    }

    /// Sends this, and reads to the end of the answer.
    fn send(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        // One that has heard enough may have hung up.
        let _ = stream.write_all(bytes);
        read(stream)
    }
}

fn read(mut stream: UnixStream) -> String {
    let mut answer = Vec::new();
    // Whoever was not heard out sees a reset behind the answer.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

const LIST: &[u8] = b"GET /v1/policies HTTP/1.1\r\n\r\n";

#[test]
fn a_request_is_answered_and_the_connection_closed() {
    let answer = scene(patient()).send(LIST);
    assert_eq!(status(&answer), "200");
    assert!(
        answer.contains("Connection: close") && answer.contains("\"guard\""),
        "{answer}"
    );
}

#[test]
fn rude_clients_get_an_answer_and_the_next_is_served() {
    let scene = scene(patient());
    let long = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(http::HEAD_MAX));
    let cases: [(&[u8], &str); 5] = [
        (b"\x16\x03\x01 garbage\r\n\r\n", "400"),
        (long.as_bytes(), "431"),
        (
            b"POST /v1/policies HTTP/1.1\r\nContent-Length: 999999999999\r\n\r\n",
            "413",
        ),
        (
            b"POST /v1/policies HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "411",
        ),
        (
            b"POST /v1/policies HTTP/1.1\r\nContent-Length: 3\r\n\r\n{]}",
            "400",
        ),
    ];
    for (bytes, expected) in cases {
        assert_eq!(status(&scene.send(bytes)), expected);
        assert_eq!(status(&scene.send(LIST)), "200");
    }
}

#[test]
fn clients_that_hang_hold_nobody_up() {
    let scene = scene(patient());
    let mut hanging = Vec::new();
    for half in [
        &b""[..],
        b"GET /v1",
        b"POST /v1/policies HTTP/1.1\r\nContent-Length: 9\r\n\r\n{",
    ] {
        let mut stream = scene.connect();
        stream.write_all(half).unwrap();
        hanging.push(stream);
    }
    assert_eq!(status(&scene.send(LIST)), "200");
    drop(hanging);
    assert_eq!(status(&scene.send(LIST)), "200");
}

#[test]
fn who_takes_too_long_is_told_so_and_makes_room() {
    let hasty = Patience {
        head: Duration::from_millis(1),
        body: Duration::from_millis(1),
        answer: FOREVER,
        grace: Duration::from_millis(1),
    };
    let scene = scene(hasty);
    // More than there is room for: each has to go before the last is heard.
    let mut slow: Vec<_> = (0..CONNECTIONS * 2).map(|_| scene.connect()).collect();
    for stream in &mut slow {
        // It may have gone already.
        let _ = stream.write_all(b"GET /v1");
    }
    for stream in slow {
        assert_eq!(status(&read(stream)), "408");
    }
    let half = b"POST /v1/policies HTTP/1.1\r\nContent-Length: 9\r\n\r\n{";
    let answer = scene.send(half);
    assert_eq!(status(&answer), "408", "{answer}");
}

#[test]
fn half_a_body_changes_nothing() {
    let scene = scene(patient());
    let mut stream = scene.connect();
    stream
        .write_all(b"POST /v1/policies/guard/rollback HTTP/1.1\r\nContent-Length: 99\r\n\r\n{}")
        .unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read(stream), "", "nothing was asked");
}

#[test]
fn who_waits_for_a_word_before_a_large_body_gets_it() {
    let scene = scene(patient());
    let mut stream = scene.connect();
    stream
        .write_all(
            b"POST /v1/policies HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n",
        )
        .unwrap();
    let mut word = [0; http::CONTINUE.len()];
    stream.read_exact(&mut word).unwrap();
    assert_eq!(word, http::CONTINUE);
    stream.write_all(b"{}").unwrap();
    assert_eq!(status(&read(stream)), "422");
}

#[test]
fn the_socket_is_gone_when_the_vm_is() {
    let mut scene = scene(patient());
    let hanging = scene.connect();
    scene.control.take();
    assert!(!scene.path.exists());
    assert_eq!(read(hanging), "");
}
