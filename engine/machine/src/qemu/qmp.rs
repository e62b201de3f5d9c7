//! A connection to QEMU's monitor (QMP): a JSON object a line, each question with its answer, and
//! events between them. Owns no run state; says what it is told.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    os::fd::{AsFd as _, AsRawFd, RawFd},
    time::{Duration, Instant},
};

use serde_json::{Map, Value, json};
use thiserror::Error;
use uuid::Uuid;

use super::stream::{Address, Stream, is_late};

/// The most bytes of one line. The memory layout of a large guest has some hundred thousand.
const LONGEST: usize = 16 << 20;

/// How long QEMU has for an answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// The QMP connection is of no use, or QEMU says no.
#[derive(Debug, Error)]
pub enum QmpError {
    /// Nobody listens there.
    #[error("nobody listens there: start QEMU with `-qmp unix:PATH,server=on,wait=off`")]
    Connect(#[source] io::Error),
    /// Nothing came in time.
    #[error(
        "no answer to {0:?}: somebody else uses this QMP socket (it serves one at a time; give QEMU a second `-qmp`), or QEMU hangs"
    )]
    Silent(String),
    /// The other side is gone.
    #[error("QEMU has closed the QMP connection")]
    Closed,
    /// The host's socket failed.
    #[error("the QMP connection broke")]
    Lost(#[source] io::Error),
    /// What comes is no QMP.
    #[error("what answers speaks no QMP: {0:?}")]
    Garbage(String),
    /// QEMU says no.
    #[error("QEMU refuses {command:?}: {reason}")]
    Refused {
        /// What was asked.
        command: String,
        /// What it says.
        reason: String,
    },
}

/// What QEMU tells by itself, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The vCPUs go on.
    Resume,
    /// The guest has shut down, or QEMU was told to.
    Shutdown,
    /// The guest begins anew.
    Reset,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Qmp {
    stream: Stream,
    bytes: Vec<u8>,
    told: VecDeque<Told>,
    asked: String,
}

impl Qmp {
    pub(super) fn connect(address: &Address) -> Result<Self, QmpError> {
        let stream = Stream::connect(address).map_err(QmpError::Connect)?;
        Self::over(stream, DEADLINE)
    }

    /// Shakes hands over this connection.
    pub(super) fn over(stream: Stream, deadline: Duration) -> Result<Self, QmpError> {
        let mut qmp = Self {
            stream,
            bytes: Vec::new(),
            told: VecDeque::new(),
            asked: "a greeting".to_owned(),
        };
        let greeting = qmp.line(Instant::now() + deadline)?;
        if greeting.get("QMP").is_none() {
            return Err(QmpError::Garbage(shortened(
                &Value::Object(greeting).to_string(),
            )));
        }
        qmp.ask("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    pub(super) fn fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }

    /// Ends the connection: the monitor takes one at a time.
    pub(super) fn hang_up(&self) {
        self.stream.hang_up();
    }

    /// The process that listens there: QEMU, unless somebody has made the socket for it.
    pub(super) fn process(&self) -> Option<u32> {
        let Stream::Unix(stream) = &self.stream else {
            return None;
        };
        let peer = rustix::net::sockopt::socket_peercred(stream.as_fd()).ok()?;
        u32::try_from(peer.pid.as_raw_nonzero().get()).ok()
    }

    /// What QEMU answers to a command.
    pub(super) fn ask(&mut self, command: &str, arguments: Value) -> Result<Value, QmpError> {
        command.clone_into(&mut self.asked);
        let question = json!({ "execute": command, "arguments": arguments });
        self.stream.wait_for(DEADLINE).map_err(QmpError::Lost)?;
        self.stream
            .write_all(format!("{question}\n").as_bytes())
            .map_err(QmpError::Lost)?;
        let deadline = Instant::now() + DEADLINE;
        loop {
            let mut line = self.line(deadline)?;
            if let Some(answer) = line.remove("return") {
                return Ok(answer);
            }
            if let Some(error) = line.get("error") {
                let reason = error
                    .get("desc")
                    .and_then(Value::as_str)
                    .unwrap_or("no reason");
                return Err(QmpError::Refused {
                    command: command.to_owned(),
                    reason: shortened(reason),
                });
            }
            self.note(&line);
        }
    }

    /// What the monitor for people answers to a line.
    pub(super) fn monitor(&mut self, line: &str, vcpu: Option<u32>) -> Result<String, QmpError> {
        let mut arguments = json!({ "command-line": line });
        if let (Some(vcpu), Some(map)) = (vcpu, arguments.as_object_mut()) {
            map.insert("cpu-index".to_owned(), json!(vcpu));
        }
        let answer = self.ask("human-monitor-command", arguments)?;
        Ok(answer.as_str().unwrap_or_default().to_owned())
    }

    /// Fills `to` with physical memory. Stops nothing.
    pub(super) fn read_memory(&mut self, gpa: u64, to: &mut [u8]) -> Result<(), QmpError> {
        let text = self.monitor(&format!("xp /{}xb {gpa:#x}", to.len()), None)?;
        let bytes = dumped(&text, to.len());
        let bytes = bytes.ok_or_else(|| QmpError::Garbage(shortened(&text)))?;
        to.copy_from_slice(&bytes);
        Ok(())
    }

    /// Whether the vCPUs run, and QEMU's word for the state.
    pub(super) fn status(&mut self) -> Result<(bool, String), QmpError> {
        let answer = self.ask("query-status", json!({}))?;
        let running = answer.get("running").and_then(Value::as_bool);
        let status = answer.get("status").and_then(Value::as_str);
        match (running, status) {
            (Some(running), Some(status)) => Ok((running, status.to_owned())),
            _ => Err(QmpError::Garbage(shortened(&answer.to_string()))),
        }
    }

    /// Lets the vCPUs go on.
    pub(super) fn go_on(&mut self) -> Result<(), QmpError> {
        self.ask("cont", json!({})).map(drop)
    }

    /// The VM's uuid and name, as far as it was given some.
    pub(super) fn identity(&mut self) -> Result<(Option<Uuid>, Option<String>), QmpError> {
        let uuid = self.ask("query-uuid", json!({}))?;
        let uuid = uuid.get("UUID").and_then(Value::as_str);
        let uuid = uuid.and_then(|text| text.parse().ok());
        let name = self.ask("query-name", json!({}))?;
        let name = name.get("name").and_then(Value::as_str).map(str::to_owned);
        Ok((uuid.filter(|uuid: &Uuid| !uuid.is_nil()), name))
    }

    /// Whether the guest runs by KVM, not by TCG.
    pub(super) fn uses_kvm(&mut self) -> Result<bool, QmpError> {
        let answer = self.ask("query-kvm", json!({}))?;
        Ok(answer
            .get("enabled")
            .and_then(Value::as_bool)
            .unwrap_or(false))
    }

    /// What has been told since the last time, without waiting.
    pub(super) fn take_told(&mut self) -> Option<Told> {
        self.told.pop_front()
    }

    /// Reads what has come. Called when there is something.
    pub(super) fn receive(&mut self) -> Result<(), QmpError> {
        self.read(Duration::from_millis(1))?;
        while let Some(line) = self.whole_line()? {
            self.note(&line);
        }
        Ok(())
    }

    fn note(&mut self, line: &Map<String, Value>) {
        match line.get("event").and_then(Value::as_str) {
            Some("RESUME") => self.told.push_back(Told::Resume),
            Some("SHUTDOWN") => self.told.push_back(Told::Shutdown),
            Some("RESET") => self.told.push_back(Told::Reset),
            Some(_) | None => {}
        }
    }

    fn line(&mut self, deadline: Instant) -> Result<Map<String, Value>, QmpError> {
        loop {
            if let Some(line) = self.whole_line()? {
                return Ok(line);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.read(left)? {
                return Err(QmpError::Silent(self.asked.clone()));
            }
        }
    }

    fn whole_line(&mut self) -> Result<Option<Map<String, Value>>, QmpError> {
        let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') else {
            return if self.bytes.len() > LONGEST {
                Err(QmpError::Garbage("a line without an end".to_owned()))
            } else {
                Ok(None)
            };
        };
        let line: Vec<u8> = self.bytes.drain(..=end).collect();
        match serde_json::from_slice(&line) {
            Ok(Value::Object(map)) => Ok(Some(map)),
            Ok(_) | Err(_) => Err(QmpError::Garbage(shortened(&String::from_utf8_lossy(
                &line,
            )))),
        }
    }

    /// Whether something came in time.
    fn read(&mut self, time: Duration) -> Result<bool, QmpError> {
        self.stream.wait_for(time).map_err(QmpError::Lost)?;
        let mut bytes = [0; 16 << 10];
        match self.stream.read(&mut bytes) {
            Ok(0) => Err(QmpError::Closed),
            Ok(count) => {
                self.bytes
                    .extend_from_slice(bytes.get(..count).unwrap_or_default());
                Ok(true)
            }
            Err(error) if is_late(&error) => Ok(false),
            // A signal: sockets with a time limit are not read again by themselves.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(QmpError::Lost(error)),
        }
    }
}

/// So many bytes of a dump: lines of an address, a colon, and bytes as `0x2a`.
fn dumped(text: &str, length: usize) -> Option<Vec<u8>> {
    let lines = text
        .lines()
        .filter_map(|line| Some(line.split_once(": ")?.1));
    let words = lines.flat_map(str::split_whitespace);
    let bytes = words.map(|word| u8::from_str_radix(word.strip_prefix("0x")?, 16).ok());
    let bytes: Option<Vec<_>> = bytes.collect();
    bytes.filter(|bytes| bytes.len() == length)
}

fn shortened(text: &str) -> String {
    text.trim().chars().take(120).collect()
}

#[cfg(test)]
mod tests;
