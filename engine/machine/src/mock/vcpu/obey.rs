//! Carrying out verdicts.
//!
//! An instruction that has been dealt with is left: RIP goes behind it, whatever the verdict was
//! but `retry`. A RIP that a judge has set stands: nothing is added to it, and an instruction that
//! had not run yet, or was to be tried again, is not what the vCPU is at any more.

use std::mem::discriminant;

use oriel_protocol::{EventData, Verdict, x86::Exception};

use super::{MockVcpu, Open, Phase, Stage};
use crate::{machine::End, mock::effect::Given};

impl MockVcpu {
    /// Carries out the verdict on the open event; without one there is nothing to do.
    pub(super) fn obey(&mut self, verdict: Verdict) {
        let Some(open) = self.open.take() else {
            return;
        };
        if !open.takes(&verdict) {
            let (kind, name) = (open.data.kind().name(), verdict.kind().name());
            let reason = format!("`{name}` is no answer to this `{kind}` event");
            return self.world.end(End::Failed(reason));
        }
        self.note_verdict(&open.data, open.stage, &verdict);
        match verdict {
            Verdict::Continue | Verdict::Step => self.go_on(&open, &Given::Own),
            Verdict::Replace(value) => self.go_on(&open, &Given::Value(value)),
            Verdict::Emulate(bytes) => self.go_on(&open, &Given::Bytes(bytes)),
            Verdict::Retry => self.again(),
            Verdict::Skip => self.retire(),
            Verdict::Deny => self.fault(Exception::GP0),
            Verdict::Inject(exception) => self.inject_instead(exception, open.stage),
            Verdict::Crash => self.world.end(End::Stopped),
        }
    }

    fn go_on(&mut self, open: &Open, given: &Given) {
        match open.stage {
            Stage::Run => self.carry_out(&open.data, given),
            Stage::Fetch | Stage::Reach if self.moved() => self.finish(),
            Stage::Fetch | Stage::Reach | Stage::Watched => {}
            Stage::Retired | Stage::Delivery => {}
        }
    }

    /// The effect of what is played.
    pub(super) fn carry_out(&mut self, data: &EventData, given: &Given) {
        match self.guest.carry_out(data, given) {
            Ok(None) => {
                self.note_watched(data);
                self.retire();
            }
            Ok(Some(end)) => {
                self.note_outcome();
                self.world.end(end);
            }
            Err(exception) => self.fault(exception),
        }
    }

    /// Notes the debug registers that an access has met. One by its physical address alone meets
    /// none.
    #[inline]
    fn note_watched(&mut self, data: &EventData) {
        if let EventData::Page(it) = data
            && let Some(gva) = it.gva
            && self.armed.has_points()
        {
            self.watched = self.armed.watched(it.access, gva, it.size);
            self.watched.reverse();
        }
    }

    /// From the fetch on: what is wanted may have changed.
    fn again(&mut self) {
        if self.moved() {
            self.finish();
        } else {
            self.phase = Phase::Fetch;
        }
    }

    /// The instruction raises an exception. It takes the place of an injected one that is pending,
    /// and is then what a `trap` event tells.
    pub(super) fn fault(&mut self, exception: Exception) {
        match &mut self.guest.cpu.pending {
            Some(pending) => *pending = exception,
            None => self.guest.deliver(exception),
        }
        self.phase = Phase::Abandoned;
    }

    fn inject_instead(&mut self, exception: Exception, stage: Stage) {
        self.guest.cpu.pending = Some(exception);
        if !matches!(stage, Stage::Watched | Stage::Retired) {
            self.phase = Phase::Abandoned;
        }
    }

    /// Leaves the instruction.
    pub(super) fn retire(&mut self) {
        if self.length == 0 {
            return self.finish();
        }
        if !self.moved() {
            let rip = &mut self.guest.cpu.general.rip;
            *rip = rip.wrapping_add(u64::from(self.length));
        }
        self.phase = Phase::Retired;
    }

    /// The step has been played once.
    pub(super) fn finish(&mut self) {
        self.note_outcome();
        self.fresh_course();
        self.script.advance();
        self.phase = Phase::Next;
    }

    /// Whether a judge has set RIP.
    const fn moved(&self) -> bool {
        self.guest.cpu.general.rip != self.at
    }
}

impl Open {
    /// Whether the verdict is one of those that were allowed, with a value of the right sort.
    fn takes(&self, verdict: &Verdict) -> bool {
        let mut fits = true;
        if let Verdict::Replace(value) = verdict {
            let own = self.data.proposed();
            fits = own.is_none_or(|own| discriminant(value) == discriminant(&own));
        }
        fits && self.allowed.contains(verdict.kind().set())
    }
}
