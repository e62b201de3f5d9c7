//! The thread that writes: takes what waits in the rings, frames it, and brings it to the file. What
//! the file does not take now is tried again, so that nothing but its very end is ever half there.

use std::{
    io::{self, Write},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use oriel_protocol::Identity;

use super::{
    Closed, codec,
    entry::{ARCH, Entry, Header, MAGIC, VERSION, tables},
    frame,
    ring::{LENGTH, Rings},
};

/// The writer looks into the rings this often, if nobody calls it before.
pub(super) const PERIOD: Duration = Duration::from_millis(20);
/// And so often whether a file that took nothing takes something again.
const AGAIN: Duration = Duration::from_millis(250);

/// Writes the beginning of a journal; answers what it has done.
pub(super) fn begin(to: &mut impl Write, identity: &Identity, vcpus: u32) -> io::Result<Closed> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let header = Header {
        arch: ARCH.to_owned(),
        uuid: *identity.uuid.as_bytes(),
        name: identity.name.clone(),
        vcpus,
        tables: tables(),
        engine: env!("CARGO_PKG_VERSION").to_owned(),
        began_s: since.map_or(0, |since| since.as_secs()),
    };
    frame_entry(&Entry::Header(Box::new(header)), &mut bytes);
    to.write_all(&bytes)?;
    to.flush()?;
    Ok(Closed {
        records: 1,
        bytes: bytes.len() as u64,
        ..Closed::default()
    })
}

/// Appends a record.
pub(super) fn frame_entry(entry: &Entry, to: &mut Vec<u8>) {
    let mut content = Vec::new();
    if codec::put(entry, &mut content) {
        frame::put(&content, to);
    }
}

struct Writer<W> {
    to: W,
    /// Frames on their way, of which so many bytes are in the file.
    pending: Vec<u8>,
    done: usize,
    /// The file takes nothing now.
    is_broken: bool,
    told: bool,
    /// Calls lost of each ring, as far as the file says so.
    lost: Vec<u64>,
    closed: Closed,
}

/// Writes until the journal is closed.
pub(super) fn run(rings: &Rings, to: impl Write, begun: Closed) -> Closed {
    let mut writer = Writer {
        to,
        pending: Vec::new(),
        done: 0,
        is_broken: false,
        told: false,
        lost: Vec::new(),
        closed: begun,
    };
    let mut spare = Vec::new();
    loop {
        let closed = rings.wait(if writer.is_broken { AGAIN } else { PERIOD });
        writer.write();
        if !writer.is_broken {
            rings.drain(&mut spare, |ring, bytes, lost| {
                writer.take(ring, bytes, lost)
            });
            writer.write();
        }
        if closed {
            break;
        }
    }
    writer.end(rings, &mut spare)
}

impl<W: Write> Writer<W> {
    /// Frames what has waited in a ring.
    fn take(&mut self, ring: u32, mut bytes: &[u8], lost: u64) {
        while let Some((head, rest)) = bytes.split_first_chunk::<LENGTH>() {
            let length = usize::try_from(u32::from_le_bytes(*head)).unwrap_or(usize::MAX);
            let Some((content, behind)) = rest.split_at_checked(length) else {
                break;
            };
            frame::put(content, &mut self.pending);
            self.closed.records += 1;
            bytes = behind;
        }
        self.tell_lost(ring, lost);
    }

    /// Where something is missing, a record says so.
    fn tell_lost(&mut self, ring: u32, lost: u64) {
        let at = usize::try_from(ring).unwrap_or(usize::MAX);
        if self.lost.len() <= at {
            self.lost.resize(at.saturating_add(1), 0);
        }
        let Some(told) = self.lost.get_mut(at).filter(|told| **told < lost) else {
            return;
        };
        let count = lost - *told;
        *told = lost;
        self.closed.lost += count;
        self.closed.records += 1;
        frame_entry(&Entry::Lost { ring, count }, &mut self.pending);
    }

    /// Brings to the file what is on its way. The first trouble is told.
    fn write(&mut self) {
        let written = self.try_write();
        self.is_broken = written.is_err();
        if let Err(error) = written
            && !self.told
        {
            self.told = true;
            tracing::error!(%error, "the journal cannot be written now; it is tried again, and what finds no room is handled as `--record-full` says");
        }
    }

    fn try_write(&mut self) -> io::Result<()> {
        while let Some(rest) = self
            .pending
            .get(self.done..)
            .filter(|rest| !rest.is_empty())
        {
            match self.to.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.done += count;
                    self.closed.bytes += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.pending.clear();
        self.done = 0;
        self.to.flush()
    }

    /// The last record, if there is to be one and the file takes it.
    fn end(mut self, rings: &Rings, spare: &mut Vec<u8>) -> Closed {
        if self.is_broken {
            // What still waits is lost.
            rings.drain(spare, |ring, bytes, lost| {
                let waiting = count(bytes);
                self.tell_lost(ring, lost.saturating_add(waiting));
            });
        }
        if let Some(detail) = rings.farewell() {
            let lost = self.closed.lost;
            frame_entry(&Entry::End { detail, lost }, &mut self.pending);
            self.closed.records += 1;
            self.write();
            self.closed.whole = !self.is_broken;
        }
        self.closed
    }
}

/// How many records there are in the bytes of a ring.
fn count(mut bytes: &[u8]) -> u64 {
    let mut count = 0;
    while let Some((head, rest)) = bytes.split_first_chunk::<LENGTH>() {
        let length = usize::try_from(u32::from_le_bytes(*head)).unwrap_or(usize::MAX);
        let Some(behind) = rest.get(length..) else {
            break;
        };
        count += 1;
        bytes = behind;
    }
    count
}
