//! A KVMI tool for tests: it says what it is told to, right or wrong, and waits for what comes.
//!
//! It blocks, with a bound that only a hang meets. What comes out of turn is kept: events while a
//! command waits for its answer, and answers of other commands.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{ErrorKind, Read, Write},
    os::{fd::OwnedFd, unix::net::UnixStream},
    sync::mpsc,
};

use oriel_engine::{
    Candidate,
    tool::{Settings, candidate},
};
use oriel_protocol::{
    Dialect, EventKind, Request, Value,
    commands::{Vcpu, Vm},
    kvmi::{
        Action, Body, EventReply, Layout, PageReply,
        event::Received,
        frame::{HEADER, Header},
        tool::{self, Incoming},
    },
};

use crate::FOREVER;

/// The name of the seat that [`seat`] makes.
pub const NAME: &str = "tool";

/// A seat for a tool that speaks this dialect and may do everything.
pub fn seat(dialect: Dialect) -> Candidate {
    candidate(NAME, settings(dialect))
}

/// What an operator says about such a tool.
pub fn settings(dialect: Dialect) -> Settings {
    Settings {
        dialect,
        // No test waits for these; those that do set them short.
        deadline: FOREVER,
        pause_limit: FOREVER,
        ..Settings::default()
    }
}

/// A tool.
#[derive(Debug)]
pub struct Tool {
    stream: UnixStream,
    dialect: Dialect,
    seq: u32,
    events: VecDeque<Received>,
    answers: BTreeMap<u32, Answer>,
    ended: mpsc::Receiver<String>,
}

/// The answer to a command: its data, or the error.
pub type Said = Result<Vec<u8>, i32>;

#[derive(Debug)]
struct Answer {
    id: u16,
    said: Said,
}

/// What is told when a connection has ended, and why.
pub type Ended = Box<dyn FnOnce(&str) + Send>;

impl Tool {
    /// A tool, the VM's end of its socket, and who has to be told of the end.
    pub fn pair(dialect: Dialect) -> (Self, OwnedFd, Ended) {
        let (ours, theirs) = UnixStream::pair().expect("two sockets");
        let (tool, ended) = Self::over(dialect, ours);
        (tool, theirs.into(), ended)
    }

    /// A tool at this end of a socket.
    ///
    /// # Panics
    /// If the socket takes no time-outs.
    pub fn over(dialect: Dialect, stream: UnixStream) -> (Self, Ended) {
        stream.set_read_timeout(Some(FOREVER)).expect("a socket");
        stream.set_write_timeout(Some(FOREVER)).expect("a socket");
        let (send, ended) = mpsc::channel();
        let tool = Self {
            stream,
            dialect,
            seq: 0,
            events: VecDeque::new(),
            answers: BTreeMap::new(),
            ended,
        };
        let tell = move |why: &str| {
            // The tool may not care.
            let _ = send.send(why.to_owned());
        };
        (tool, Box::new(tell))
    }

    /// What it speaks.
    pub const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Whether it speaks v12.
    pub fn is_v12(&self) -> bool {
        self.dialect == Dialect::V12
    }

    /// Sends these bytes.
    ///
    /// # Panics
    /// If nobody takes them.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the VM reads");
    }

    /// Sends these bytes, if anybody still takes them.
    pub fn try_bytes(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// The number of a command that is about to be sent.
    pub const fn next_seq(&mut self) -> u32 {
        self.seq += 1;
        self.seq
    }

    /// The bytes of a command for the VM, and its number.
    ///
    /// # Panics
    /// If the dialect lacks it.
    pub fn vm_bytes<R>(&mut self, request: R) -> (u32, Vec<u8>)
    where
        R: Request<Scope = Vm>,
    {
        let seq = self.next_seq();
        let bytes = tool::command_vm(self.dialect, seq, &request.into_call());
        (seq, bytes.expect("the dialect has it"))
    }

    /// The bytes of a command for a vCPU, and its number.
    ///
    /// # Panics
    /// If the dialect lacks it.
    pub fn vcpu_bytes<R>(&mut self, vcpu: u16, request: R) -> (u32, Vec<u8>)
    where
        R: Request<Scope = Vcpu>,
    {
        let seq = self.next_seq();
        let bytes = tool::command_vcpu(self.dialect, seq, vcpu, &request.into_call());
        (seq, bytes.expect("the dialect has it"))
    }

    /// Sends a command for the VM; answers with its number.
    pub fn send<R: Request<Scope = Vm>>(&mut self, request: R) -> u32 {
        let (seq, bytes) = self.vm_bytes(request);
        self.bytes(&bytes);
        seq
    }

    /// Sends a command for a vCPU; answers with its number.
    pub fn send_on<R: Request<Scope = Vcpu>>(&mut self, vcpu: u16, request: R) -> u32 {
        let (seq, bytes) = self.vcpu_bytes(vcpu, request);
        self.bytes(&bytes);
        seq
    }

    /// Sends any message; answers with its number.
    pub fn send_raw(&mut self, id: u16, payload: &[u8]) -> u32 {
        let seq = self.next_seq();
        self.bytes(&tool::raw(id, seq, payload));
        seq
    }

    /// Has the VM run a command.
    ///
    /// # Errors
    /// The error number of its answer.
    ///
    /// # Panics
    /// If the answer makes no sense.
    pub fn vm<R>(&mut self, request: R) -> Result<R::Reply, i32>
    where
        R: Request<Scope = Vm> + Layout,
    {
        let seq = self.send(request);
        self.reply::<R>(seq)
    }

    /// Has a vCPU run a command.
    ///
    /// # Errors
    /// The error number of its answer.
    ///
    /// # Panics
    /// If the answer makes no sense.
    pub fn on<R>(&mut self, vcpu: u16, request: R) -> Result<R::Reply, i32>
    where
        R: Request<Scope = Vcpu> + Layout,
    {
        let seq = self.send_on(vcpu, request);
        self.reply::<R>(seq)
    }

    /// Sends any message and waits for its answer.
    ///
    /// # Errors
    /// The error number of its answer.
    pub fn raw(&mut self, id: u16, payload: &[u8]) -> Said {
        let seq = self.send_raw(id, payload);
        self.answer_to(seq).1
    }

    /// Sends any message for a vCPU and waits for its answer.
    ///
    /// # Errors
    /// The error number of its answer.
    pub fn raw_on(&mut self, id: u16, vcpu: u16, payload: &[u8]) -> Said {
        let seq = self.send_raw(id, &on_vcpu(vcpu, payload));
        self.answer_to(seq).1
    }

    /// The answer to a command that was sent, understood.
    ///
    /// # Errors
    /// The error number of the answer.
    ///
    /// # Panics
    /// If it makes no sense, or is another command's.
    pub fn reply<R: Layout>(&mut self, seq: u32) -> Result<R::Reply, i32> {
        let (id, said) = self.answer_to(seq);
        assert_eq!(Some(id), R::ID.numbers().of(self.dialect), "another's id");
        let data = said?;
        Ok(tool::reply::<R>(self.dialect, &data).expect("an answer that makes sense"))
    }

    /// The id and the answer of the command of this number, when it comes.
    pub fn answer_to(&mut self, seq: u32) -> (u16, Said) {
        loop {
            if let Some(answer) = self.answers.remove(&seq) {
                return (answer.id, answer.said);
            }
            self.take_in();
        }
    }

    /// The number of the next command that is answered.
    pub fn next_answered(&mut self) -> u32 {
        while self.answers.is_empty() {
            self.take_in();
        }
        let (seq, _) = self.answers.pop_first().expect("there is one");
        seq
    }

    /// Whether the command of this number is answered, or the connection ends before.
    pub fn is_answered(&mut self, seq: u32) -> bool {
        while !self.answers.contains_key(&seq) {
            let Some(incoming) = self.receive() else {
                return false;
            };
            self.keep(incoming);
        }
        true
    }

    /// Answers that have come and were not asked about.
    pub fn answers_so_far(&self) -> usize {
        self.answers.len()
    }

    /// The next event.
    pub fn event(&mut self) -> Received {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            self.take_in();
        }
    }

    /// The next event, which is of this kind.
    ///
    /// # Panics
    /// If it is of another one.
    pub fn event_of(&mut self, kind: EventKind) -> Received {
        let event = self.event();
        assert_eq!(event.data.kind(), kind, "{:?}", event.data);
        event
    }

    /// Events that have come while something else was waited for.
    pub fn events_so_far(&self) -> usize {
        self.events.len()
    }

    /// Asks the VM something, so that all that it sent before is here.
    pub fn sync(&mut self) {
        let version = oriel_protocol::commands::vm::GetVersion {};
        assert!(self.vm(version).is_ok());
    }

    /// Answers an event.
    ///
    /// # Panics
    /// If it takes no answer.
    pub fn answer(&mut self, event: &Received, reply: &EventReply) {
        let bytes = self.answer_bytes(event, reply);
        self.bytes(&bytes);
    }

    /// The bytes that answer an event.
    ///
    /// # Panics
    /// If it takes no answer.
    pub fn answer_bytes(&self, event: &Received, reply: &EventReply) -> Vec<u8> {
        let Received {
            seq, vcpu, data, ..
        } = event;
        tool::answer(self.dialect, *vcpu, *seq, data.kind(), reply).expect("it takes an answer")
    }

    /// Answers `continue`: a write gets the value that it has.
    pub fn go_on(&mut self, event: &Received) {
        self.act(event, Action::Continue);
    }

    /// Answers `retry`.
    pub fn retry(&mut self, event: &Received) {
        self.act(event, Action::Retry);
    }

    /// Answers with this action.
    pub fn act(&mut self, event: &Received, action: Action) {
        self.answer(event, &reply(event, action));
    }

    /// Answers a write of a register with another value.
    pub fn value(&mut self, event: &Received, value: u64) {
        let body = Body::Value(value);
        self.answer(
            event,
            &EventReply {
                action: Action::Continue,
                body,
            },
        );
    }

    /// Waits for the VM to close the connection. What else it sent is kept.
    ///
    /// # Panics
    /// If it does not close it.
    pub fn is_hung_up_on(&mut self) -> bool {
        while let Some(incoming) = self.receive() {
            self.keep(incoming);
        }
        true
    }

    /// Why the connection has ended, once everything that the tool did is undone.
    ///
    /// # Panics
    /// If it does not end.
    pub fn ended(&self) -> String {
        self.ended.recv_timeout(FOREVER).expect("it ends")
    }

    /// Closes the connection; returns once everything that the tool did is undone.
    pub fn hang_up(self) -> String {
        let Self { stream, ended, .. } = self;
        drop(stream);
        ended.recv_timeout(FOREVER).expect("it ends")
    }

    /// The socket.
    pub const fn stream(&self) -> &UnixStream {
        &self.stream
    }

    fn take_in(&mut self) {
        let incoming = self.receive();
        self.keep(incoming.expect("the VM has hung up"));
    }

    fn keep(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Event(event) => self.events.push_back(event),
            Incoming::Reply {
                id,
                seq,
                error,
                data,
            } => {
                let said = refused_or(error, data);
                let before = self.answers.insert(seq, Answer { id, said });
                assert!(before.is_none(), "command {seq} is answered twice");
            }
        }
    }

    /// The next message; none if the connection is closed.
    ///
    /// # Panics
    /// If it makes no sense, or nothing comes.
    pub fn receive(&mut self) -> Option<Incoming> {
        let mut header = [0; HEADER];
        if !read(&mut self.stream, &mut header) {
            return None;
        }
        let header = Header::read(header);
        let mut payload = vec![0; header.size.into()];
        if !read(&mut self.stream, &mut payload) {
            return None;
        }
        let incoming = tool::incoming(self.dialect, &header, &payload);
        Some(incoming.expect("a message that makes sense"))
    }
}

/// Fills the buffer; not if the connection ends first.
fn read(stream: &mut UnixStream, buffer: &mut [u8]) -> bool {
    match stream.read_exact(buffer) {
        Ok(()) => true,
        Err(error) => {
            let closed = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset];
            assert!(closed.contains(&error.kind()), "nothing comes: {error}");
            false
        }
    }
}

fn refused_or(error: i32, data: Vec<u8>) -> Said {
    if error == 0 {
        return Ok(data);
    }
    assert!(
        data.is_empty(),
        "an error carries data, which no tool reads"
    );
    Err(error)
}

/// A payload for a vCPU.
pub fn on_vcpu(vcpu: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vcpu.to_le_bytes().to_vec();
    bytes.resize(8, 0);
    bytes.extend_from_slice(payload);
    bytes
}

/// An answer with this action, and the value that stands.
pub fn reply(event: &Received, action: Action) -> EventReply {
    let body = match (event.data.kind(), event.data.proposed()) {
        (EventKind::Cr | EventKind::Msr, Some(Value::Word(word))) => Body::Value(word),
        (EventKind::Page, _) => Body::Page(PageReply::default()),
        (_, _) => Body::None,
    };
    EventReply { action, body }
}
