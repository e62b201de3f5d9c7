//! The tool's end of a socket, and a raw ping-pong to compare it with.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    thread,
};

use anyhow::{Context, Result};
use oriel_protocol::{
    Dialect, EventData, VcpuCall, VmCall,
    events::Msr,
    kvmi::{
        Action, Body, EventReply,
        event::{self, Received},
        frame::{HEADER, Header},
        tool,
    },
};

const DIALECT: Dialect = Dialect::V7;

/// The tool's end.
pub(crate) struct Peer {
    stream: UnixStream,
    payload: Vec<u8>,
    seq: u32,
}

impl Peer {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            payload: Vec::new(),
            seq: 0,
        }
    }

    /// The bytes of a command.
    pub(crate) fn vm(&mut self, call: VmCall) -> Vec<u8> {
        self.seq += 1;
        tool::command_vm(DIALECT, self.seq, &call).expect("a command of the dialect")
    }

    /// The bytes of a command for a vCPU.
    pub(crate) fn vcpu(&mut self, vcpu: u16, call: VcpuCall) -> Vec<u8> {
        self.seq += 1;
        tool::command_vcpu(DIALECT, self.seq, vcpu, &call).expect("a command of the dialect")
    }

    /// Sends a command and reads its answer; tells how long that is, all in all.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> Result<usize> {
        self.stream.write_all(request)?;
        self.read()?;
        let error = self.payload.first_chunk().context("no error code")?;
        anyhow::ensure!(*error == [0_u8; 4], "the command was refused");
        Ok(HEADER + self.payload.len())
    }

    fn read(&mut self) -> Result<Header> {
        let mut header = [0; HEADER];
        self.stream.read_exact(&mut header)?;
        let header = Header::read(header);
        self.payload.resize(header.size.into(), 0);
        self.stream.read_exact(&mut self.payload)?;
        Ok(header)
    }

    /// The next event.
    pub(crate) fn event(&mut self) -> Result<Received> {
        let header = self.read()?;
        Ok(event::decode(DIALECT, &header, &self.payload)?)
    }

    /// Answers an event with what it would have been anyway.
    pub(crate) fn echo(&mut self) -> Result<()> {
        let Received {
            seq, vcpu, data, ..
        } = self.event()?;
        let mut body = Body::None;
        if let EventData::Msr(Msr { new, .. }) = data {
            body = Body::Value(new);
        }
        let reply = EventReply {
            action: Action::Continue,
            body,
        };
        let answer = tool::answer(DIALECT, vcpu, seq, data.kind(), &reply);
        self.stream.write_all(&answer.context("an answer")?)?;
        Ok(())
    }
}

/// Bytes to and fro, and nothing else.
pub(crate) struct Raw {
    stream: UnixStream,
    request: Vec<u8>,
    reply: Vec<u8>,
}

impl Raw {
    pub(crate) fn start(request: usize, reply: usize) -> Result<Self> {
        let (mine, mut theirs) = UnixStream::pair()?;
        thread::spawn(move || {
            let (mut asked, answer) = (vec![0; request], vec![0; reply]);
            while theirs.read_exact(&mut asked).is_ok() && theirs.write_all(&answer).is_ok() {}
        });
        Ok(Self {
            stream: mine,
            request: vec![0; request],
            reply: vec![0; reply],
        })
    }

    pub(crate) fn exchange(&mut self) -> Result<()> {
        self.stream.write_all(&self.request)?;
        // In two pieces, as every reader of frames does.
        let (header, payload) = self.reply.split_at_mut(HEADER);
        self.stream.read_exact(header)?;
        self.stream.read_exact(payload)?;
        Ok(())
    }

    pub(crate) fn stop(self) {
        drop(self.stream);
    }
}
