//! A task out of its bytes. Owns the meaning of its numbers.

use oriel_protocol::Gva;

use super::{
    Credentials, State, Task,
    layout::{self, Layout},
};
use crate::{
    answer::Unknown,
    record::{Record, Stretch},
    space::Space,
};

/// `PF_KTHREAD` (Linux, `include/linux/sched.h`).
const KERNEL_THREAD: u32 = 0x0020_0000;
/// The same file: what is reported of a state, and what makes an uninterruptible sleep an idle one.
const REPORTED: u64 = 0x7f;
const IDLE: u64 = 0x402;
/// `TASK_RTLOCK_WAIT`, which waits as an uninterruptible sleep does.
const LOCK_WAIT: u64 = 0x1000;
/// Pids are below this (`PID_MAX_LIMIT`).
const MOST_PIDS: u32 = 1 << 22;

/// What a task does, by its words.
pub(crate) fn state_of(state: u64, exit_state: u64) -> State {
    if state & IDLE == IDLE {
        return State::Idle;
    }
    let state = if state & LOCK_WAIT != 0 { 2 } else { state };
    let reported = (state | exit_state) & REPORTED;
    match 64 - reported.leading_zeros() {
        0 => State::Running,
        1 => State::Sleeping,
        2 => State::DiskSleep,
        3 => State::Stopped,
        4 => State::TracingStop,
        5 => State::Dead,
        6 => State::Zombie,
        _ => State::Parked,
    }
}

impl Layout {
    /// The task at this address.
    pub(crate) fn task(&self, space: Space<'_>, address: Gva) -> Result<Task, Unknown> {
        let record = self.stretch.of(space, address)?;
        let (pid, tgid) = (record.u32(self.pid), record.u32(self.tgid));
        let (Some(pid), Some(tgid)) = (pid, tgid) else {
            return Err(Unknown::Damaged("a task"));
        };
        if pid >= MOST_PIDS || tgid >= MOST_PIDS {
            return Err(Unknown::Damaged("a task"));
        }
        Ok(Task {
            address,
            pid,
            tgid,
            parent: self.parent(space, &record),
            comm: record.text(self.comm.0, self.comm.1).unwrap_or_default(),
            credentials: self.credentials(space, &record),
            state: self.state(&record),
            kernel: self.is_kernel(&record),
            cr3: self.cr3(space, &record),
            start_time: self.start_time.and_then(|offset| record.u64(offset)),
        })
    }

    fn parent(&self, space: Space<'_>, record: &Record) -> Option<u32> {
        let parent = record.u64(self.real_parent?)?;
        space.u32(parent.wrapping_add(self.tgid)).ok()
    }

    fn state(&self, record: &Record) -> Option<State> {
        let (offset, size) = self.state?;
        let state = match size {
            8 => record.u64(offset)?,
            _ => record.u32(offset)?.into(),
        };
        let exit_state = record.u32(self.exit_state?)?;
        Some(state_of(state, exit_state.into()))
    }

    fn is_kernel(&self, record: &Record) -> Option<bool> {
        match self.flags {
            Some(flags) => Some(record.u32(flags)? & KERNEL_THREAD != 0),
            None => Some(record.u64(self.mm?)? == 0),
        }
    }

    fn cr3(&self, space: Space<'_>, record: &Record) -> Option<u64> {
        let mm = record.u64(self.mm?)?;
        let tables = space.u64(mm.wrapping_add(self.pgd?)).ok();
        let tables = tables.filter(|_| mm != 0)?;
        Some(space.translate(tables).ok()?.gpa)
    }

    fn credentials(&self, space: Space<'_>, record: &Record) -> Option<Credentials> {
        let known = self.credentials?;
        let record = known.stretch().of(space, record.u64(self.cred?)?).ok()?;
        Some(Credentials {
            uid: record.u32(known.uid)?,
            gid: record.u32(known.gid)?,
            euid: record.u32(known.euid)?,
            egid: record.u32(known.egid)?,
            effective: record.u64(known.effective)?,
            permitted: record.u64(known.permitted)?,
        })
    }
}

impl layout::Credentials {
    fn stretch(&self) -> Stretch {
        let ids = [self.uid, self.gid, self.euid, self.egid];
        let sets = [self.effective, self.permitted];
        let ids = ids.into_iter().map(|offset| (offset, 4));
        Stretch::over(ids.chain(sets.into_iter().map(|offset| (offset, 8))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_have_the_letters_of_ps() {
        let letters = [
            ((0, 0), 'R'),
            ((1, 0), 'S'),
            ((2, 0), 'D'),
            ((0x402, 0), 'I'),
            ((4, 0), 'T'),
            ((8, 0), 't'),
            ((0x80, 0x20), 'Z'),
            ((0x80, 0x10), 'X'),
            ((0x40, 0), 'P'),
            ((0x1000, 0), 'D'),
        ];
        for ((state, exit_state), letter) in letters {
            assert_eq!(state_of(state, exit_state).letter(), letter, "{state:#x}");
        }
    }
}
