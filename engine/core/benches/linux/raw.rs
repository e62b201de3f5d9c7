//! A bare client of QEMU's gdbstub: the packets of one breakpoint, and nothing that looks after them.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

/// A connection whose world stands.
pub(crate) struct Raw {
    stream: UnixStream,
    came: Vec<u8>,
}

impl Raw {
    /// Connects; the world stands from then on, with a breakpoint there.
    pub(crate) fn connect(socket: &Path, place: u64) -> Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let came = Vec::new();
        let mut raw = Self { stream, came };
        // Without its description of registers the stub shows fewer of them.
        raw.ask("qSupported:xmlRegisters=i386")?;
        raw.ask("qXfer:features:read:target.xml:0,f00")?;
        let stopped = raw.ask("?")?;
        ensure!(stopped.starts_with(b"T"), "the stub does not stop");
        raw.ask(&format!("Z0,{place:x},1"))?;
        Ok(raw)
    }

    /// So many cycles behind the first ones; how long one took.
    pub(crate) fn cycles(&mut self, first: u32, count: u32) -> Result<Duration> {
        let mut started = Instant::now();
        self.send("vCont;c")?;
        for cycle in 0..first + count {
            let thread = thread(&self.packet()?)?;
            if cycle == first {
                started = Instant::now();
            }
            let registers = self.ask("g")?;
            ensure!(registers.len() > 256, "there are no registers");
            self.send(&format!("vCont;s:{thread}"))?;
            thread_is(&self.packet()?, &thread)?;
            self.send("vCont;c")?;
        }
        // The one behind the last ends it.
        self.packet()?;
        Ok(started.elapsed() / count)
    }

    /// Lets the world go on without us.
    pub(crate) fn leave(mut self, place: u64) -> Result<()> {
        self.ask(&format!("z0,{place:x},1"))?;
        self.ask("D")?;
        self.stream.shutdown(std::net::Shutdown::Write)?;
        // Until QEMU has hung up too, it takes nobody else.
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest)?;
        Ok(())
    }

    /// The stop that connecting brings about may be told before the answer.
    fn ask(&mut self, question: &str) -> Result<Vec<u8>> {
        self.send(question)?;
        let is_stop = |packet: &[u8]| packet.starts_with(b"T") && question != "?";
        loop {
            let packet = self.packet()?;
            if !is_stop(&packet) {
                return Ok(packet);
            }
        }
    }

    /// The packet before is acknowledged with it.
    fn send(&mut self, question: &str) -> Result<()> {
        let sum = question.bytes().fold(0_u8, u8::wrapping_add);
        let packet = format!("+${question}#{sum:02x}");
        Ok(self.stream.write_all(packet.as_bytes())?)
    }

    fn packet(&mut self) -> Result<Vec<u8>> {
        loop {
            let begin = self.came.iter().position(|byte| *byte == b'$');
            let end = self.came.iter().position(|byte| *byte == b'#');
            if let (Some(begin), Some(end)) = (begin, end)
                && self.came.len() >= end + 3
            {
                let packet = self.came[begin + 1..end].to_vec();
                self.came.drain(..end + 3);
                return Ok(packet);
            }
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes)? {
                0 => bail!("the stub has closed the connection"),
                count => self.came.extend_from_slice(&bytes[..count]),
            }
        }
    }
}

/// The vCPU of a stop reply, as the stub spells it.
fn thread(stop: &[u8]) -> Result<String> {
    let text = std::str::from_utf8(stop)?;
    let (_, rest) = text.split_once("thread:").context("no stop reply")?;
    let (thread, _) = rest.split_once(';').context("no stop reply")?;
    Ok(thread.to_owned())
}

fn thread_is(stop: &[u8], expected: &str) -> Result<()> {
    let stopped = thread(stop)?;
    ensure!(
        stopped == expected,
        "vCPU {stopped} stopped in a step of {expected}"
    );
    Ok(())
}
