//! Accesses to trapped pages that go through unjudged: counted for the VM, and kept until the
//! engine asks.

use oriel_protocol::{Gpa, page::PAGE_SIZE};

use super::{Tap, over::Over};
use crate::{Unjudged, Unseen};

/// What the engine has not heard yet.
#[derive(Debug, Default)]
pub(super) struct News {
    waiting: Option<Unjudged>,
    /// There is more of it than when somebody last looked.
    fresh: bool,
}

impl Tap {
    /// Takes what has gone through unjudged since the last answer.
    pub fn take_unjudged(&mut self) -> Option<Unjudged> {
        self.unseen.fresh = false;
        self.unseen.waiting.take()
    }

    /// Whether there is something new to take; says so once.
    pub(in crate::kvm) fn has_news(&mut self) -> bool {
        std::mem::take(&mut self.unseen.fresh)
    }

    /// All pages are open for what an unknown access needs.
    pub(super) fn note_unknown(&mut self, ip: u64) {
        self.note(Unjudged::one(Some(ip), None, Unseen::Unknown));
    }

    /// Where KVM cannot stop the vCPU behind this instruction, what else it does to these pages
    /// before it comes out is not seen.
    pub(super) fn note_open(&mut self, over: &Over) {
        let open = over.frames.first().filter(|_| !self.can_step());
        if let Some(frame) = open {
            let gpa: Gpa = frame.saturating_mul(PAGE_SIZE);
            self.note(Unjudged::one(Some(over.ip), Some(gpa), Unseen::Open));
        }
    }

    fn note(&mut self, one: Unjudged) {
        if let Some(traps) = self.arming.traps() {
            traps.count_unjudged();
        }
        tracing::debug!(vcpu = self.index, ?one, "unjudged");
        self.unseen.waiting = Some(one.after(self.unseen.waiting.take()));
        self.unseen.fresh = true;
    }
}
