//! What a forged kernel allocates: tasks with their numbers, and descriptions of types.

use oriel_protocol::Gva;

use super::super::types;
use super::{DESCRIPTIONS, DIRECT, Forged, PROCESS};

impl Forged {
    pub(super) fn task(&mut self, pid: u32, tgid: u32, comm: &str, parent: Gva) -> Gva {
        let task = self.room(types::TASK);
        let numbers = u64::from(pid) | u64::from(tgid) << 32;
        self.word(task + types::TASK_PID, numbers);
        self.write(task + types::COMM, comm.as_bytes());
        self.word(task + types::STATE, 1);
        // Who waits for it stands behind who it belongs to.
        self.word(task + types::REAL_PARENT, parent);
        self.word(task + types::REAL_PARENT + 8, parent);
        let mm = self.room(types::MM);
        self.word(mm + types::PGD, DIRECT + PROCESS);
        self.word(task + types::TASK_MM, mm);
        let cred = self.credentials();
        self.word(task + types::TASK_CRED, cred);
        self.number(pid, task);
        task
    }

    /// Root's, with every capability.
    pub(super) fn credentials(&mut self) -> Gva {
        let cred = self.room(types::CRED);
        for set in 0..3 {
            self.word(cred + types::PERMITTED + set * 8, 0x1ff_ffff_ffff);
        }
        cred
    }

    /// Puts a number into the tree.
    pub(super) fn number(&mut self, pid: u32, task: Gva) {
        let node = self.root + types::SLOTS + u64::from(pid >> 6) * 8;
        if self.read(node) == 0 {
            let leaves = self.room(types::NODE);
            self.word(node, leaves | 2);
        }
        let entry = self.room(types::PID);
        self.word(entry + types::PID_TASKS, task + types::PID_LINKS);
        self.word(self.slot(pid), entry);
    }

    /// Where the tree has a number.
    pub(super) fn slot(&self, pid: u32) -> Gva {
        let leaves = self.read(self.root + types::SLOTS + u64::from(pid >> 6) * 8) & !3;
        leaves + types::SLOTS + u64::from(pid & 63) * 8
    }

    pub(super) fn describe(&mut self, module: Gva, types: &[u8]) {
        let (entry, btf) = (self.room(types::DESCRIPTION), self.room(64));
        let data = self.room(types.len() as u64);
        self.write(data, types);
        self.word(btf, data);
        self.word(btf + 24, types.len() as u64);
        self.word(entry + types::DESCRIPTION_MODULE, module);
        self.word(entry + types::DESCRIPTION_BTF, btf);
        self.link(self.at(DESCRIPTIONS), entry);
    }
}
