//! KVMI tools as operators meet them: a tool listens on a UNIX socket, the program dials.

use std::{
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    thread::JoinHandle,
};

use oriel_protocol::{
    Dialect, EventKind, VcpuCall, VmCall,
    commands::{
        vcpu::{ControlEvents, ControlMsr},
        vm::GetVersion,
    },
    kvmi::{
        Action, Body, EventReply,
        frame::{HEADER, Header},
        handshake::{Answer, Hello},
        tool::{self, Incoming},
    },
    x86::msr,
};
use serde_json::{Value as Json, json};

use super::{assert_error, directory, file, mock, oriel, status, stderr};

const V7: Dialect = Dialect::V7;

/// A tool's end of a connection, once hands have been shaken.
struct Hooked {
    stream: UnixStream,
    hello: Vec<u8>,
}

impl Hooked {
    /// Waits for the program to dial, and shakes hands with this cookie.
    fn accept(listener: &UnixListener, cookie: [u8; 20]) -> Self {
        let (mut stream, _) = listener.accept().expect("the program dials");
        let mut first = [0; 4];
        stream.read_exact(&mut first).expect("its greeting");
        let mut hello = vec![0; Hello::size(first).expect("its size")];
        hello[..4].copy_from_slice(&first);
        stream.read_exact(&mut hello[4..]).expect("the rest of it");
        stream
            .write_all(&Answer { cookie }.write())
            .expect("our answer");
        Self { stream, hello }
    }

    fn send(&mut self, message: &[u8]) {
        // Where the program has hung up, the next read says so.
        let _ = self.stream.write_all(message);
    }

    /// The next message; none once the connection has ended.
    fn receive(&mut self) -> Option<Incoming> {
        let mut header = [0; HEADER];
        self.stream.read_exact(&mut header).ok()?;
        let header = Header::read(header);
        let mut payload = vec![0; header.size.into()];
        self.stream.read_exact(&mut payload).ok()?;
        Some(tool::incoming(V7, &header, &payload).expect("a message of the dialect"))
    }

    /// Answers every event by letting it happen; counts them.
    fn let_happen(&mut self) -> u32 {
        let mut events = 0;
        while let Some(message) = self.receive() {
            let Incoming::Event(event) = message else {
                continue;
            };
            events += 1;
            let value = match event.data.proposed() {
                Some(oriel_protocol::Value::Word(word)) => Body::Value(word),
                Some(oriel_protocol::Value::Leaf(_)) | None => Body::None,
            };
            let reply = EventReply {
                action: Action::Continue,
                body: value,
            };
            let answer = tool::answer(V7, event.vcpu, event.seq, event.data.kind(), &reply);
            self.send(&answer.expect("an answer of the dialect"));
        }
        events
    }
}

/// A tool that listens at `path` and does this with the connection.
fn tool<T: Send + 'static>(
    path: &Path,
    cookie: [u8; 20],
    act: impl FnOnce(&mut Hooked) -> T + Send + 'static,
) -> JoinHandle<T> {
    let listener = UnixListener::bind(path).expect("a socket");
    std::thread::spawn(move || act(&mut Hooked::accept(&listener, cookie)))
}

/// Has writes of LSTAR reported.
fn watch_lstar(hooked: &mut Hooked) {
    let on = ControlEvents {
        event: EventKind::Msr,
        enable: true,
    };
    let number = ControlMsr {
        msr: msr::LSTAR,
        enable: true,
    };
    let calls = [VcpuCall::ControlEvents(on), VcpuCall::ControlMsr(number)];
    let version = VmCall::GetVersion(GetVersion {});
    hooked.send(&tool::command_vm(V7, 1, &version).expect("a command"));
    for (seq, call) in (2..).zip(&calls) {
        hooked.send(&tool::command_vcpu(V7, seq, 0, call).expect("a command"));
    }
}

fn lines(output: &std::process::Output) -> Vec<Json> {
    let text = String::from_utf8(output.stdout.clone()).expect("UTF-8");
    let lines = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    lines.collect()
}

#[test]
fn a_tool_that_listens_judges_beside_policies() {
    let directory = directory();
    let path = directory.path().join("tool.sock");
    let tool = tool(&path, [0; 20], |hooked| {
        watch_lstar(hooked);
        (hooked.let_happen(), hooked.hello.clone())
    });
    let address = format!("scan=unix:{}", path.display());
    let flags = ["--tool", &address, "--tool-wait", "60", "--events", "-"];
    let output = mock("msr-attack", &flags);
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let (events, hello) = tool.join().expect("the tool");
    assert_eq!(events, 2, "two writes of LSTAR");
    assert_eq!(hello.len(), 96);
    assert!(hello[32..].starts_with(b"msr-attack\0"));
    let lines = lines(&output);
    let visits = lines.iter().filter(|line| line["type"] == "tool");
    let states: Vec<_> = visits.map(|line| &line["state"]).collect();
    assert_eq!(states, [&json!("hooked"), &json!("gone")]);
    let judged = lines.iter().filter(|line| line["type"] == "event");
    assert!(judged.clone().count() == 2);
    assert!(
        judged
            .clone()
            .all(|line| line["judges"][0]["name"] == "scan")
    );
}

#[test]
fn a_tool_that_speaks_another_dialect_is_told_apart_in_words() {
    let directory = directory();
    let path = directory.path().join("tool.sock");
    let tool = tool(&path, [0; 20], |hooked| {
        hooked.send(&tool::raw(2, 1, &[]));
        hooked.receive();
        // What a tool of v12 asks next; and it gives up when it is not understood.
        hooked.send(&tool::raw(8, 2, &[]));
        hooked.receive();
    });
    let address = format!("unix:{}", path.display());
    let flags = ["--tool", &address, "--tool-wait", "60", "--reconnect", "0"];
    let output = mock("hello", &flags);
    tool.join().expect("the tool");
    assert_eq!(status(&output), 0);
    assert!(
        stderr(&output).contains("--dialect v12"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_tool_that_does_not_know_the_secret_is_not_hooked() {
    let directory = directory();
    let cookie = file(&directory, "cookie", "swordfish\n");
    let path = directory.path().join("tool.sock");
    let tool = tool(&path, [7; 20], |hooked| hooked.receive().is_none());
    let address = format!("unix:{}", path.display());
    let flags = [
        "--tool",
        &address,
        "--tool-cookie",
        &cookie,
        "--tool-wait",
        "60",
        "--reconnect",
        "0",
    ];
    let output = mock("hello", &flags);
    assert!(tool.join().expect("the tool"), "it was hung up on");
    assert_eq!(status(&output), 0);
    assert!(
        stderr(&output).contains("does not know the secret"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_tool_of_the_configuration_needs_no_flags() {
    let directory = directory();
    let path = directory.path().join("tool.sock");
    let tool = tool(&path, [0; 20], |hooked| {
        watch_lstar(hooked);
        hooked.let_happen()
    });
    let text = "[vm]\nmachine = \"mock\"\nguest = \"builtin:msr-attack\"\ntool-wait = 60\n\
                [[tool]]\naddress = \"unix:tool.sock\"\nallow-events = [\"msr\"]\n";
    let config = file(&directory, "oriel.toml", text);
    let output = oriel(&["run", &config]);
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    assert_eq!(tool.join().expect("the tool"), 2);
}

#[test]
fn what_is_said_of_tools_is_checked_before_anything_runs() {
    let cases: [(&[&str], &str); 5] = [
        (&["--tool", "tcp:1"], "vsock:CID:PORT"),
        (
            &["--tool", "unix:a", "--dialect", "v8"],
            "rfc6, v6, v7 or v12",
        ),
        (&["--tool", "unix:a", "--allow-commands", "fly"], "fly"),
        (&["--tool", "unix:a", "--allow-events", "fly"], "fly"),
        (
            &["--tool", "unix:a", "--tool-cookie", "/nonexistent"],
            "/nonexistent",
        ),
    ];
    for (flags, word) in cases {
        assert_error(&mock("hello", flags), &[word]);
    }
}

#[test]
fn a_guest_runs_without_a_tool_that_is_not_there() {
    let directory = directory();
    let address = format!("unix:{}", directory.path().join("nobody").display());
    let flags = ["--tool", &address, "--tool-wait", "60", "--reconnect", "0"];
    let output = mock("hello", &flags);
    assert_eq!(status(&output), 0);
    for words in ["does not answer", "the guest runs without it"] {
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
    }
}
