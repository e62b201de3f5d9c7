//! `oriel guest`, on a made-up monitor and a file with the memory of a forged guest.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    process::Output,
    sync::{Arc, Mutex},
    thread,
};

use oriel_guest::forge::Forged;
use oriel_machine::GuestMemory as _;
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::{assert_error, assert_usage, directory, file, oriel, status, stderr};

/// A VM that is looked at, and all that its monitor was asked.
struct Vm {
    folder: TempDir,
    ram: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Vm {
    /// One whose vCPU shows these registers.
    fn new(forged: &Forged, efer: u64) -> Self {
        let folder = directory();
        let end = usize::try_from(forged.memory().end()).expect("16 MiB");
        let mut bytes = vec![0; end];
        forged.memory().read_at(0, &mut bytes).expect("RAM");
        let ram = file(&folder, "ram", &bytes);
        let monitor = Monitor {
            registers: registers(forged, efer),
            bytes,
            asked: Arc::default(),
        };
        let asked = Arc::clone(&monitor.asked);
        let listener = UnixListener::bind(folder.path().join("qmp")).expect("a socket");
        thread::spawn(move || {
            listener
                .incoming()
                .flatten()
                .for_each(|stream| monitor.serve(stream));
        });
        Self { folder, ram, asked }
    }

    fn ask(&self, question: &[&str]) -> Output {
        self.ask_with(&["--ram", &self.ram], question)
    }

    fn ask_with(&self, flags: &[&str], question: &[&str]) -> Output {
        let qmp = format!("unix:{}", self.folder.path().join("qmp").display());
        let words = [&["guest", "--qmp", &qmp], flags, question].concat();
        oriel(&words)
    }

    fn json(&self, question: &[&str]) -> Json {
        let output = self.ask(&[question, &["--json"]].concat());
        assert_eq!(status(&output), 0, "{}", stderr(&output));
        serde_json::from_slice(&output.stdout).expect("one JSON document")
    }
}

struct Monitor {
    registers: String,
    bytes: Vec<u8>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Monitor {
    fn serve(&self, mut stream: UnixStream) {
        let _ = stream.write_all(b"{\"QMP\": {}}\n");
        let lines = BufReader::new(stream.try_clone().expect("a socket")).lines();
        for line in lines.map_while(Result::ok) {
            let asked: Json = serde_json::from_str(&line).expect("JSON");
            let answer = json!({ "return": self.answer(&asked) });
            if stream.write_all(format!("{answer}\n").as_bytes()).is_err() {
                return;
            }
        }
    }

    fn answer(&self, asked: &Json) -> Json {
        let command = asked["execute"].as_str().expect("a command");
        self.asked.lock().expect("a lock").push(command.to_owned());
        match command {
            "query-target" => json!({ "arch": "x86_64" }),
            "query-status" => json!({ "running": true, "status": "running" }),
            "query-name" => json!({ "name": "forged" }),
            "query-memdev" => json!([{ "id": "mem0", "size": self.bytes.len(), "share": false }]),
            "human-monitor-command" => {
                let line = asked["arguments"]["command-line"].as_str();
                json!(self.text(line.expect("a line")))
            }
            _ => json!({}),
        }
    }

    fn text(&self, line: &str) -> String {
        let last = self.bytes.len() - 1;
        match line.strip_prefix("xp /64xb 0x") {
            Some(address) => {
                let at = usize::from_str_radix(address, 16).expect("an address");
                let bytes = self.bytes[at..at + 64].iter();
                let words: String = bytes.map(|byte| format!(" {byte:#04x}")).collect();
                format!("{at:016x}:{words}\r\n")
            }
            None if line == "info registers -a" => self.registers.clone(),
            None => format!(
                "FlatView #1\n AS \"memory\", root: system\n  0000000000000000-{last:016x} (prio 0, ram): mem0\n"
            ),
        }
    }
}

/// As QEMU writes them.
fn registers(forged: &Forged, efer: u64) -> String {
    let sight = forged.sight();
    let (idt, limit) = sight.idt.expect("a table");
    let segment = "0000 0000000000000000 00000000 00000000\r\n";
    let segments: String = [
        "ES =", "CS =", "SS =", "DS =", "FS =", "GS =", "LDT=", "TR =",
    ]
    .map(|name| format!("{name}{segment}"))
    .concat();
    format!(
        "\r\nCPU#0\r\nRIP=0\r\n{segments}GDT=     0000000000000000 0000007f\r\nIDT=     {idt:016x} {limit:08x}\r\nCR0=80050033 CR2=0 CR3={:016x} CR4=000006b0\r\nEFER={efer:016x}\r\n",
        sight.cr3
    )
}

const LONG_MODE: u64 = 0xd01;

fn some() -> Forged {
    let mut forged = Forged::new(0);
    let first = forged.init_task();
    let init = forged.process(1, "init", first);
    forged.process(42, "sleep", init);
    forged
}

#[test]
fn a_guest_is_looked_at_by_the_monitor_and_the_file_alone() {
    let vm = Vm::new(&some(), LONG_MODE);
    let shown = vm.ask(&["ps"]);
    assert_eq!(status(&shown), 0, "{}", stderr(&shown));
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(
        text.lines()
            .any(|line| line.starts_with("42") && line.ends_with("sleep")),
        "{text}"
    );
    assert_eq!(vm.json(&["ps"])["tasks"][1]["parent"], 1);
    assert_eq!(vm.json(&["info"])["release"], "9.9.9-forged");
    assert_eq!(vm.json(&["modules"])["modules"], json!([]));
    assert_eq!(
        vm.json(&["symbols", "--at", "ffffffff81001001"])["offset"],
        "0x1"
    );
    assert_eq!(
        vm.json(&["type", "task_struct.mm.pgd"])["hops"],
        json!([48])
    );
    assert_eq!(
        vm.json(&["syscalls"])["calls"][0]["symbol"],
        "__x64_sys_read"
    );
    let asked = vm.asked.lock().expect("a lock").clone();
    let allowed = |word: &String| word.starts_with("q") || word == "human-monitor-command";
    assert!(asked.iter().all(allowed), "{asked:?}");
}

#[test]
fn no_answer_is_status_1_with_the_reason() {
    let vm = Vm::new(&some(), LONG_MODE);
    assert_error(
        &vm.ask(&["symbols", "nix"]),
        &["the kernel lists no symbol nix"],
    );
    assert_error(&vm.ask(&["type", "nix"]), &["describes no type nix"]);
    assert_error(
        &vm.ask(&["type", "list_head", "--module", "tun"]),
        &["no module tun is loaded"],
    );
    let early = Vm::new(&some(), 0);
    assert_error(&early.ask(&["info"]), &["no vCPU is in long mode yet"]);
}

#[test]
fn memory_that_takes_the_stub_is_not_read_without_leave() {
    let vm = Vm::new(&some(), LONG_MODE);
    for ram in ["auto", "gdb"] {
        let words = ["stops the VM", "`--gdb unix:PATH` allows that"];
        assert_error(&vm.ask_with(&["--ram", ram], &["ps"]), &words);
    }
    let stub = format!("unix:{}", vm.folder.path().join("none").display());
    let named = vm.ask_with(&["--ram", "/dev/null", "--gdb", &stub], &["ps"]);
    assert_error(&named, &["has 0 bytes"]);
    let allowed = vm.ask_with(&["--gdb", &stub], &["ps"]);
    assert_error(&allowed, &["the gdbstub at", "nobody listens there"]);
}

#[test]
fn a_vm_has_to_be_named_and_to_be_there() {
    assert_usage(
        &oriel(&["guest", "ps"]),
        &["which VM?", "--qmp", "--control"],
    );
    let nobody = oriel(&["guest", "info", "--qmp", "unix:/nowhere/qmp"]);
    assert_error(&nobody, &["nobody listens there"]);
}
