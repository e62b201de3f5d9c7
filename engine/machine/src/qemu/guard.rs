//! The guard: a process of its own that lives on when this one is killed, and then frees the VM.
//!
//! QEMU does nothing when a debugger goes without a word: breakpoints stay, and the guest freezes at
//! the next one. So before we connect, a guard is started that holds one end of a pipe. Whatever
//! becomes of us, the kernel closes our end.
//!
//! ```text
//!   we: start ──► wait for "ready" ──► connect … r | p …  d     over the pipe: run, pause, done
//!   guard:        watch(pipe) ──────────────────────────► end of file without d: repair
//! ```

use std::{
    io::{self, BufRead as _, BufReader, Read, Write as _},
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

use thiserror::Error;

use super::{
    attach,
    gdb::{Gdb, GdbError},
    qmp::{Qmp, QmpError},
    stream::Address,
    world,
};

/// What a guard says once it watches.
const READY: &str = "ready";

/// How long a repair is tried: QEMU may take a moment to see that the last debugger is gone.
const REPAIR: Duration = Duration::from_secs(30);
const ONE_TRY: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(100);

const RUN: u8 = b'r';
const LEAVE_PAUSED: u8 = b'p';
const DONE: u8 = b'd';

/// A guard, seen from the process that it watches.
#[derive(Debug)]
pub(super) struct Guard {
    child: Child,
    pipe: Option<ChildStdin>,
}

impl Guard {
    /// Starts this command as a guard, and waits until it watches.
    pub(super) fn start(command: &mut Command) -> io::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let pipe = child.stdin.take();
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut line)?;
        }
        if line.trim() != READY {
            let _ = child.kill();
            let _ = child.wait();
            return Err(io::Error::other(format!(
                "it says {:?}, not {READY:?}",
                line.trim()
            )));
        }
        Ok(Self { child, pipe })
    }

    /// Tells whether the VM is to stay paused if we die: somebody else has paused it.
    pub(super) fn tell(&mut self, paused: bool) {
        self.write(if paused { LEAVE_PAUSED } else { RUN });
    }

    /// There is nothing to guard any more.
    pub(super) fn dismiss(mut self) {
        self.write(DONE);
        self.pipe = None;
        // It ends at once; if it does not it is the kernel's to reap with us.
        let _ = self.child.wait();
    }

    fn write(&mut self, byte: u8) {
        if let Some(pipe) = &mut self.pipe
            && let Err(error) = pipe.write_all(&[byte])
        {
            tracing::warn!(%error, "the guard process is gone: if Oriel is killed now, the VM stays as it is until `oriel attach qemu --repair`");
            self.pipe = None;
        }
    }
}

/// What became of the VM that a guard watched, or that was to be repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// It was left in order; nothing was done.
    NotNeeded,
    /// Its breakpoints are gone, and it runs.
    Runs,
    /// Its breakpoints are gone; it was to stay paused.
    StaysPaused,
}

/// The VM could not be freed.
#[derive(Debug, Error)]
pub enum RepairError {
    /// The stub.
    #[error("the gdbstub at {address}")]
    Gdb {
        /// Where it is.
        address: Address,
        /// What was wrong.
        source: GdbError,
    },
    /// The monitor.
    #[error("the monitor at {address}")]
    Qmp {
        /// Where it is.
        address: Address,
        /// What was wrong.
        source: QmpError,
    },
    /// Somebody else debugs it.
    #[error("a debugger is attached at {0}: it is that one's to let the VM go")]
    Taken(Address),
    /// It does not run for all that.
    #[error("{0}")]
    Stands(String),
}

/// The life of a guard: says that it is ready, waits for the end of `watched`, and repairs the VM if
/// that comes without a word.
///
/// # Errors
/// [`RepairError`] if the VM could not be freed.
pub fn watch(
    mut watched: impl Read,
    mut out: impl io::Write,
    gdb: &Address,
    qmp: &Address,
) -> Result<Repair, RepairError> {
    // If nobody listens, whoever started us will be told by the end of this process.
    let _ = writeln!(out, "{READY}").and_then(|()| out.flush());
    let (mut last, mut byte) = (RUN, [0]);
    loop {
        match watched.read(&mut byte) {
            Ok(1) => last = byte[0],
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    if last == DONE {
        return Ok(Repair::NotNeeded);
    }
    repair(gdb, qmp, last == LEAVE_PAUSED)
}

/// Frees a VM whose debugger is gone: drops all breakpoints, detaches, makes sure that it runs
/// unless it is to stay paused.
///
/// # Errors
/// [`RepairError`] if that could not be done in half a minute.
pub fn repair(gdb: &Address, qmp: &Address, stays_paused: bool) -> Result<Repair, RepairError> {
    let deadline = Instant::now() + REPAIR;
    loop {
        match try_once(gdb, qmp, stays_paused) {
            Ok(done) => return Ok(done),
            Err(error) if is_final(&error) || Instant::now() >= deadline => return Err(error),
            Err(_) => std::thread::park_timeout(PAUSE),
        }
    }
}

/// Whether it is of no use to try again: there is no QEMU any more.
fn is_final(error: &RepairError) -> bool {
    let gone = |error: &io::Error| {
        matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
        )
    };
    match error {
        RepairError::Gdb {
            source: GdbError::Connect(error),
            ..
        }
        | RepairError::Qmp {
            source: QmpError::Connect(error),
            ..
        } => gone(error),
        RepairError::Gdb { .. } | RepairError::Qmp { .. } => false,
        RepairError::Taken(_) | RepairError::Stands(_) => false,
    }
}

fn try_once(gdb_at: &Address, qmp_at: &Address, stays_paused: bool) -> Result<Repair, RepairError> {
    let gdb_failed = |source| RepairError::Gdb {
        address: gdb_at.clone(),
        source,
    };
    let mut qmp = Qmp::connect(qmp_at).map_err(|source| RepairError::Qmp {
        address: qmp_at.clone(),
        source,
    })?;
    if attach::is_taken(&mut qmp, gdb_at) {
        return Err(RepairError::Taken(gdb_at.clone()));
    }
    // Shaking hands asks `?`, at which QEMU drops all breakpoints.
    let mut gdb = Gdb::connect(gdb_at, ONE_TRY).map_err(gdb_failed)?;
    if stays_paused {
        return Ok(Repair::StaysPaused);
    }
    gdb.detach().map_err(gdb_failed)?;
    world::make_sure(&mut qmp).map_err(RepairError::Stands)?;
    Ok(Repair::Runs)
}
