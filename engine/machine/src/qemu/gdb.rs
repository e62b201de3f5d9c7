//! A connection to QEMU's gdbstub: one question at a time, each with a deadline. Owns no run state:
//! whoever resumes the world here has to remember that it runs.
//!
//! While the world runs the stub answers nothing, and any byte that is sent stops it. An answer's
//! acknowledgement goes with the next question for that reason, never alone.

mod error;
mod handshake;

use std::{
    collections::BTreeMap,
    io::{ErrorKind, Read, Write},
    os::fd::{AsRawFd, RawFd},
    time::{Duration, Instant},
};

use oriel_protocol::{Gpa, HardwarePoint};

pub use error::GdbError;

use super::{
    layout::{self, Layout, Place},
    packet::{Item, Packets, framed, hex, unhex},
    stop::Stop,
    stream::{Address, Stream, is_late},
};

/// Bytes of memory in one question: QEMU's packets hold 4096 digits.
const CHUNK: usize = 1024;

/// How long the stub has for an answer while the world stands.
pub(super) const ANSWER_DEADLINE: Duration = Duration::from_secs(5);

/// What the stub stops at: the numbers of its `Z` packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Point {
    Software(u64),
    Hardware(HardwarePoint),
}

/// A connection whose world stands unless it was told to go on.
#[derive(Debug)]
pub(super) struct Gdb {
    stream: Stream,
    packets: Packets,
    layout: Layout,
    /// The stub's numbers of the vCPUs, by index.
    threads: Vec<u64>,
    /// The vCPU that registers are asked of; none: nobody knows.
    selected: Option<u64>,
    /// What it has said of registers since the world stands, by vCPU.
    known: BTreeMap<u32, Vec<u8>>,
    /// Whether addresses are taken for physical ones.
    physical: bool,
    /// An answer has not been acknowledged.
    owes: bool,
    /// The last question, in case it is wanted again.
    asked: Vec<u8>,
}

impl Gdb {
    /// Connects. That stops the world, and makes QEMU drop all breakpoints.
    pub(super) fn connect(address: &Address, deadline: Duration) -> Result<Self, GdbError> {
        let stream = Stream::connect(address).map_err(GdbError::Connect)?;
        Self::over(stream, deadline)
    }

    pub(super) fn fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }

    pub(super) const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// How many vCPUs there are.
    pub(super) fn vcpus(&self) -> u32 {
        u32::try_from(self.threads.len()).unwrap_or(u32::MAX)
    }

    /// The index of the vCPU that the stub calls so.
    pub(super) fn vcpu_of(&self, thread: u64) -> Option<u32> {
        let at = self.threads.iter().position(|known| *known == thread)?;
        u32::try_from(at).ok()
    }

    fn thread(&self, vcpu: u32) -> Result<u64, GdbError> {
        let thread = usize::try_from(vcpu)
            .ok()
            .and_then(|at| self.threads.get(at));
        thread.copied().ok_or(GdbError::NoVcpu(vcpu))
    }

    fn select(&mut self, vcpu: u32) -> Result<(), GdbError> {
        let thread = self.thread(vcpu)?;
        if self.selected != Some(thread) {
            self.do_it(&format!("Hg{thread:x}"))?;
            self.selected = Some(thread);
        }
        Ok(())
    }

    /// All registers of a vCPU, as [`Layout`] says where they lie; asked for once while the world stands.
    pub(super) fn registers(&mut self, vcpu: u32) -> Result<Vec<u8>, GdbError> {
        if let Some(known) = self.known.get(&vcpu) {
            return Ok(known.clone());
        }
        self.select(vcpu)?;
        let answer = self.ask("g")?;
        let all = unhex(&answer).ok_or_else(|| GdbError::unexpected("g", &answer))?;
        self.known.insert(vcpu, all.clone());
        Ok(all)
    }

    /// One register of up to 64 bits, where it is the only one that is wanted.
    pub(super) fn register(&mut self, vcpu: u32, name: &str) -> Result<Option<u64>, GdbError> {
        if let Some(known) = self.known.get(&vcpu) {
            return Ok(self.layout.value(known, name));
        }
        let Some(place) = self.layout.place(name).filter(|place| place.length <= 8) else {
            return Ok(None);
        };
        self.select(vcpu)?;
        let question = format!("p{:x}", place.number);
        let answer = self.ask(&question)?;
        let bytes = unhex(&answer).filter(|bytes| bytes.len() == place.length);
        let bytes = bytes.ok_or_else(|| GdbError::unexpected(&question, &answer))?;
        Ok(Some(layout::number(&bytes)))
    }

    /// What it has said of registers holds no longer: the world has run without our doing.
    pub(super) fn forget_registers(&mut self) {
        self.known.clear();
    }

    /// Sets a register.
    pub(super) fn set_register(
        &mut self,
        vcpu: u32,
        place: Place,
        value: u64,
    ) -> Result<(), GdbError> {
        self.select(vcpu)?;
        self.known.remove(&vcpu);
        let bytes = value.to_le_bytes();
        let bytes = bytes.get(..place.length.min(8)).unwrap_or_default();
        self.do_it(&format!("P{:x}={}", place.number, hex(bytes)))
    }

    /// Fills `to` with physical memory.
    pub(super) fn read_memory(&mut self, gpa: Gpa, to: &mut [u8]) -> Result<(), GdbError> {
        self.go_physical()?;
        for (part, at) in to.chunks_mut(CHUNK).zip((gpa..).step_by(CHUNK)) {
            let answer = self.ask(&format!("m{at:x},{:x}", part.len()))?;
            let bytes = unhex(&answer).filter(|bytes| bytes.len() == part.len());
            let bytes = bytes.ok_or_else(|| GdbError::unexpected("m", &answer))?;
            part.copy_from_slice(&bytes);
        }
        Ok(())
    }

    /// Stores into physical memory, so that QEMU knows of it.
    pub(super) fn write_memory(&mut self, gpa: Gpa, from: &[u8]) -> Result<(), GdbError> {
        self.go_physical()?;
        for (part, at) in from.chunks(CHUNK).zip((gpa..).step_by(CHUNK)) {
            self.do_it(&format!("M{at:x},{:x}:{}", part.len(), hex(part)))?;
        }
        Ok(())
    }

    /// Physical addresses from now on. Breakpoints are virtual either way.
    fn go_physical(&mut self) -> Result<(), GdbError> {
        if !self.physical {
            self.do_it("Qqemu.PhyMemMode:1")?;
            self.physical = true;
        }
        Ok(())
    }

    /// Has the stub stop there.
    pub(super) fn insert(&mut self, point: Point) -> Result<(), GdbError> {
        self.do_it(&format!("Z{}", words(point)))
    }

    /// No longer.
    pub(super) fn remove(&mut self, point: Point) -> Result<(), GdbError> {
        self.do_it(&format!("z{}", words(point)))
    }

    /// All vCPUs go on.
    pub(super) fn go_on(&mut self) -> Result<(), GdbError> {
        self.known.clear();
        self.send("vCont;c")
    }

    /// One vCPU runs one instruction, and nobody else.
    pub(super) fn step(&mut self, vcpu: u32) -> Result<(), GdbError> {
        let thread = self.thread(vcpu)?;
        self.known.clear();
        self.send(&format!("vCont;s:{thread:x}"))
    }

    /// One vCPU runs one instruction; the others go on.
    pub(super) fn step_among(&mut self, vcpu: u32) -> Result<(), GdbError> {
        let thread = self.thread(vcpu)?;
        let others = self.threads.iter().filter(|other| **other != thread);
        let others: String = others.map(|other| format!(";c:{other:x}")).collect();
        self.known.clear();
        self.send(&format!("vCont;s:{thread:x}{others}"))
    }

    /// Stops the world. A stop reply follows.
    pub(super) fn interrupt(&mut self) -> Result<(), GdbError> {
        self.write(&[3])
    }

    /// Ends the connection: the stub takes one at a time.
    pub(super) fn hang_up(&self) {
        self.stream.hang_up();
    }

    /// Lets the world go on without us. The stub drops our breakpoints by itself.
    pub(super) fn detach(&mut self) -> Result<(), GdbError> {
        self.do_it("D")
    }

    /// The stop reply that is to come, within a deadline; none: there was none in time.
    pub(super) fn stop_within(&mut self, time: Duration) -> Result<Option<Stop>, GdbError> {
        let deadline = Instant::now() + time;
        let packet = match self.packet(deadline) {
            Ok(packet) => packet,
            Err(GdbError::Silent(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let stop = Stop::read(&packet).ok_or_else(|| GdbError::unexpected("a stop", &packet))?;
        self.note(stop);
        Ok(Some(stop))
    }

    /// Who stops has run. A vCPU that does is the one that registers are asked of from then on, and of
    /// two that stop together one is told of: only where it is the same as before we know which.
    fn note(&mut self, stop: Stop) {
        self.known.clear();
        self.selected = self
            .selected
            .filter(|before| stop.thread() == Some(*before));
    }

    /// A question that is answered by `OK`.
    fn do_it(&mut self, question: &str) -> Result<(), GdbError> {
        match self.ask(question)?.as_slice() {
            b"OK" => Ok(()),
            answer => Err(GdbError::refused(question, answer)),
        }
    }

    fn ask(&mut self, question: &str) -> Result<Vec<u8>, GdbError> {
        self.send(question)?;
        self.answer(question, Instant::now() + ANSWER_DEADLINE)
    }

    /// The answer to a question. A stop reply that comes before it is that of a stop that we know
    /// of: the one that connecting brings about.
    fn answer(&mut self, question: &str, deadline: Instant) -> Result<Vec<u8>, GdbError> {
        loop {
            let packet = self.packet(deadline)?;
            let late = Stop::read(&packet).filter(|_| question != "?");
            late.into_iter().for_each(|stop| self.note(stop));
            let late = late.is_some();
            match packet.first() {
                _ if late => {}
                Some(b'E') if packet.len() == 3 => {
                    return Err(GdbError::refused(question, &packet));
                }
                _ => return Ok(packet),
            }
        }
    }

    fn send(&mut self, question: &str) -> Result<(), GdbError> {
        self.asked = framed(question);
        let mut bytes = Vec::with_capacity(self.asked.len() + 1);
        if std::mem::take(&mut self.owes) {
            bytes.push(b'+');
        }
        bytes.extend_from_slice(&self.asked);
        self.write(&bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), GdbError> {
        self.stream
            .wait_for(ANSWER_DEADLINE)
            .map_err(GdbError::Lost)?;
        self.stream.write_all(bytes).map_err(GdbError::Lost)
    }

    /// The next packet.
    fn packet(&mut self, deadline: Instant) -> Result<Vec<u8>, GdbError> {
        loop {
            match self.packets.next_item().map_err(GdbError::Packet)? {
                Some(Item::Packet(data)) => {
                    self.owes = true;
                    return Ok(data);
                }
                Some(Item::Ack) => {}
                Some(Item::Again) => {
                    let asked = self.asked.clone();
                    self.write(&asked)?;
                }
                None => self.receive(deadline)?,
            }
        }
    }

    fn receive(&mut self, deadline: Instant) -> Result<(), GdbError> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(GdbError::Silent(self.last_question()));
        }
        self.stream.wait_for(left).map_err(GdbError::Lost)?;
        let mut bytes = [0; 4096];
        match self.stream.read(&mut bytes) {
            Ok(0) => Err(GdbError::Closed),
            Ok(count) => {
                self.packets.feed(bytes.get(..count).unwrap_or_default());
                Ok(())
            }
            Err(error) if is_late(&error) => Err(GdbError::Silent(self.last_question())),
            // A signal: sockets with a time limit are not read again by themselves.
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(GdbError::Lost(error)),
        }
    }

    fn last_question(&self) -> String {
        let text = String::from_utf8_lossy(&self.asked);
        text.chars().take(40).collect()
    }
}

/// Type, address and length in a `Z` packet.
fn words(point: Point) -> String {
    match point {
        Point::Software(gva) => format!("0,{gva:x},1"),
        Point::Hardware(point) => {
            let kind = match point.access() {
                HardwarePoint::READ_WRITE => 4,
                _ if point.executes() => 1,
                _ => 2,
            };
            format!("{kind},{:x},{}", point.gva(), point.length())
        }
    }
}

#[cfg(test)]
mod tests;
