//! The thread that writes: takes what waits in the rings, frames it, and brings it to the file. What
//! the file does not take now is tried again, so that nothing but its very end is ever half there.

use std::{
    io::{self, Write},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use oriel_journal::{
    entry::{ARCH, Entry, Header, MAGIC, VERSION, tables},
    frame, recording,
};
use oriel_protocol::Identity;

use super::{Closed, batch::Batch, ring::Rings};

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
    bytes.extend(recording::framed(&Entry::Header(Box::new(header))));
    to.write_all(&bytes)?;
    to.flush()?;
    Ok(Closed {
        records: 1,
        bytes: bytes.len() as u64,
        ..Closed::default()
    })
}

struct Writer<W> {
    to: W,
    /// Room for the bytes of one record.
    scratch: Vec<u8>,
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
        scratch: Vec::new(),
        pending: Vec::new(),
        done: 0,
        is_broken: false,
        told: false,
        lost: Vec::new(),
        closed: begun,
    };
    let mut spare = Batch::default();
    loop {
        let closed = rings.wait(if writer.is_broken { AGAIN } else { PERIOD });
        writer.write();
        if !writer.is_broken {
            rings.drain(&mut spare, |ring, batch, lost| {
                writer.take(ring, batch, lost)
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
    fn take(&mut self, ring: u32, batch: &Batch, lost: u64) {
        let Self {
            scratch, pending, ..
        } = self;
        batch.each(scratch, |content| frame::put(content, pending));
        self.closed.records += batch.len();
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
        self.pending
            .extend(recording::framed(&Entry::Lost { ring, count }));
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
    fn end(mut self, rings: &Rings, spare: &mut Batch) -> Closed {
        if self.is_broken {
            // What still waits is lost.
            rings.drain(spare, |ring, batch, lost| {
                self.tell_lost(ring, lost.saturating_add(batch.len()));
            });
        }
        if let Some(detail) = rings.farewell() {
            let lost = self.closed.lost;
            self.pending
                .extend(recording::framed(&Entry::End { detail, lost }));
            self.closed.records += 1;
            self.write();
            self.closed.whole = !self.is_broken;
        }
        self.closed
    }
}
