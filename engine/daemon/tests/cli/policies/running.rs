//! A VM that runs until it is told to end, and what an operator types meanwhile.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
};

use super::super::{Json, directory, status, stderr};

/// A place for a VM and its socket.
pub(crate) struct Scene {
    pub(crate) directory: tempfile::TempDir,
}

/// A VM that runs. It is killed at the end.
pub(crate) struct Running {
    child: Child,
    control: PathBuf,
}

pub(crate) fn scene() -> Scene {
    let directory = directory();
    let text = "name = \"web-1\"\nvcpus = 2\nloop = true\neverywhere = true\n\
                [[step]]\nserial = \"runs\\n\"\n[[step]]\nidle = 1\n";
    fs::write(directory.path().join("guest.toml"), text).expect("a scenario");
    Scene { directory }
}

impl Scene {
    pub(crate) fn guest(&self) -> PathBuf {
        self.directory.path().join("guest.toml")
    }

    pub(crate) fn control(&self) -> PathBuf {
        self.directory.path().join("control")
    }

    /// Runs the guest; returns once it runs and takes orders.
    pub(crate) fn run(&self, flags: &[&str]) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oriel"));
        command.args(["run", "--machine", "mock", "--serial", "stdout", "--guest"]);
        command
            .arg(self.guest())
            .arg("--control")
            .arg(self.control());
        command
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut serial = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        serial.read_line(&mut line).expect("the guest speaks");
        if line.is_empty() {
            panic!("it did not run: {}", words(&mut child));
        }
        // Whatever else the guest says has to be taken, or it would wait for a reader.
        std::thread::spawn(move || std::io::copy(&mut serial, &mut std::io::sink()));
        let running = Running {
            child,
            control: self.control(),
        };
        // The guest may have been quicker.
        running.said(&["list"]);
        running
    }
}

fn words(child: &mut Child) -> String {
    let mut said = String::new();
    let stderr = child.stderr.as_mut().expect("piped");
    stderr.read_to_string(&mut said).expect("UTF-8");
    said
}

impl Running {
    pub(crate) fn command(&self, order: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oriel"));
        command.arg("policy").args(order);
        command.env("ORIEL_CONTROL", &self.control);
        command
    }

    pub(crate) fn order(&self, order: &[&str]) -> Output {
        self.command(order).output().expect("the program starts")
    }

    /// What it says to people.
    #[track_caller]
    pub(crate) fn said(&self, order: &[&str]) -> String {
        let output = self.order(order);
        assert_eq!(status(&output), 0, "{order:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    #[track_caller]
    pub(crate) fn json(&self, order: &[&str]) -> Json {
        let mut order = order.to_vec();
        order.push("--json");
        serde_json::from_str(&self.said(&order)).expect("JSON")
    }

    /// Asks until it is so. What it waits for comes, or the test does not end.
    pub(crate) fn until(&self, mut so: impl FnMut(&Self) -> bool) {
        while !so(self) {
            std::thread::yield_now();
        }
    }

    /// Ends it as an operator does; its exit status.
    pub(crate) fn end(self) -> i32 {
        self.end_with_words().0
    }

    pub(crate) fn end_with_words(mut self) -> (i32, String) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status();
        assert!(sent.expect("kill").success());
        let said = words(&mut self.child);
        let status = self.child.wait().expect("it ends").code();
        (status.expect("by itself"), said)
    }

    /// Ends it as a crash does; what it had said.
    pub(crate) fn kill(&mut self) -> String {
        self.child.kill().expect("it runs");
        let said = words(&mut self.child);
        self.child.wait().expect("it ends");
        said
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
