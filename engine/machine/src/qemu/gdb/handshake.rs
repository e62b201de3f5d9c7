//! The first questions to a stub: what it can do, which registers there are and where, which vCPUs.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{Gdb, GdbError, Packets, Stream};
use crate::qemu::{
    layout::{self, Layout},
    packet::number,
    stop::thread_number,
};

/// The most bytes of one description.
const LONGEST_DESCRIPTION: usize = 1 << 20;

impl Gdb {
    /// Shakes hands over this connection.
    pub(in crate::qemu) fn over(stream: Stream, deadline: Duration) -> Result<Self, GdbError> {
        let mut gdb = Self {
            stream,
            packets: Packets::default(),
            layout: Layout::default(),
            threads: Vec::new(),
            selected: None,
            known: BTreeMap::new(),
            physical: false,
            owes: false,
            asked: Vec::new(),
        };
        gdb.send("qSupported:xmlRegisters=i386")?;
        gdb.answer("qSupported", Instant::now() + deadline)?;
        // Its own word for the last stop; and whatever breakpoints a debugger has left go.
        gdb.ask("?")?;
        gdb.layout = gdb.find_layout()?;
        gdb.threads = gdb.find_threads()?;
        Ok(gdb)
    }

    fn find_layout(&mut self) -> Result<Layout, GdbError> {
        let target = self.description("target.xml")?;
        let parts = layout::parts(&target).map_err(GdbError::Layout)?;
        let parts: Result<Vec<_>, _> = parts.iter().map(|part| self.description(part)).collect();
        let mut texts = vec![target];
        texts.extend(parts?);
        Layout::read(&texts).map_err(GdbError::Layout)
    }

    /// One description, piece by piece: `m` before a piece that is not the last, `l` before that.
    fn description(&mut self, name: &str) -> Result<String, GdbError> {
        let mut bytes = Vec::new();
        loop {
            let question = format!("qXfer:features:read:{name}:{:x},f00", bytes.len());
            let answer = self.ask(&question)?;
            let (more, piece) = match answer.split_first() {
                Some((b'm', piece)) if !piece.is_empty() => (true, piece),
                Some((b'l', piece)) => (false, piece),
                _ => return Err(GdbError::unexpected(&question, &answer)),
            };
            bytes.extend_from_slice(piece);
            if !more || bytes.len() > LONGEST_DESCRIPTION {
                return Ok(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
    }

    /// The stub's numbers of the vCPUs; they are in the order of the vCPUs.
    fn find_threads(&mut self) -> Result<Vec<u64>, GdbError> {
        let (mut threads, mut question) = (Vec::new(), "qfThreadInfo");
        loop {
            let answer = self.ask(question)?;
            match answer.split_first() {
                Some((b'm', list)) => {
                    let numbers = list.split(|byte| *byte == b',').map(thread_number);
                    let numbers: Option<Vec<_>> = numbers.collect();
                    threads.extend(numbers.ok_or_else(|| GdbError::unexpected(question, &answer))?);
                }
                Some((b'l', _)) if !threads.is_empty() => return Ok(threads),
                _ => return Err(GdbError::unexpected(question, &answer)),
            }
            if threads.len() > 4096 {
                return Err(GdbError::unexpected(question, &answer));
            }
            question = "qsThreadInfo";
        }
    }

    /// Whether the stub steps a vCPU with interrupts and timers held off.
    pub(in crate::qemu) fn steps_quietly(&mut self) -> bool {
        let answer = self.ask("qqemu.sstep").unwrap_or_default();
        let digits = answer.strip_prefix(b"0x").unwrap_or(&answer);
        number(digits).is_some_and(|bits| bits & 6 == 6)
    }
}
