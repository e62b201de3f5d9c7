//! The names of the kernel's own threads, which are longer than a task has room for. Owns the way
//! to them; a task without one is called what it calls itself.

use oriel_protocol::Gva;

use super::Task;
use crate::{answer::Unknown, guest::Guest};

/// `PF_WQ_WORKER` (Linux, `include/linux/sched.h`): a worker, with a note on what it works at.
const WORKER: u64 = 0x20;
/// Longer than any such name is shown (`TASK_COMM_LEN` and `WORKER_DESC_LEN`, and 64 in `/proc`).
const LONGEST: usize = 64;

impl Guest<'_> {
    /// The name of a task as `/proc` shows it: a kernel thread's in full, with what a worker last
    /// worked at. Where that cannot be had it is the one in the task.
    pub fn name_of(&self, task: &Task) -> String {
        let long = (task.kernel == Some(true)).then(|| self.long_name(task).ok().flatten());
        long.flatten().unwrap_or_else(|| task.comm.clone())
    }

    fn long_name(&self, task: &Task) -> Result<Option<String>, Unknown> {
        // Before 5.17 it was kept in a member for something else, and had no full name.
        let thread = self.value(task.address, "task_struct.worker_private")?;
        if self.value(task.address, "task_struct.flags")? & WORKER != 0 {
            return self.worker_name(task, thread);
        }
        let name = self.value(thread, "kthread.full_name")?;
        Ok(self.text_at(name))
    }

    /// A worker's own name, then `+` and what it works at, or `-` and what it last did.
    fn worker_name(&self, task: &Task, thread: Gva) -> Result<Option<String>, Unknown> {
        let worker = self.value(thread, "kthread.data")?;
        let note = self.types()?.offset("worker.desc")?;
        let Some(note) = self.text_at(worker.wrapping_add(note)) else {
            return Ok(None);
        };
        let works = self.value(worker, "worker.current_work")? != 0;
        let attached = self.value(worker, "worker.pool")? != 0;
        let mark = if works { '+' } else { '-' };
        Ok(attached.then(|| format!("{}{mark}{note}", task.comm)))
    }

    fn text_at(&self, at: Gva) -> Option<String> {
        let text = self.space().text(at, LONGEST).ok();
        text.filter(|text| at != 0 && !text.is_empty())
    }
}
