//! A policy that does what the guest's values say: each of its rights is used, and each answer is
//! written to the log, so that two ways of running it can be compared word by word. Its own state
//! changes some verdicts. Never loaded outside tests.

mod deeds;

use deeds::Deed;
use oriel_sdk::state::Saved;
use oriel_sdk::{
    Access, BreakpointPlace, Config, CpuidLeaf, Failure, Host, Judge, Moment, Place, Policy,
    Register, State, Tick, breakpoint, cpuid, cr, hypercall, msr, msr_read, page, pio,
};

/// The page whose writes are trapped from the start.
pub const TRAPPED: u64 = 0x5000;
/// The page whose reads are trapped too.
pub const HIDDEN: u64 = 0x8000;
/// Where a breakpoint is from the start.
pub const BREAKPOINT: u64 = 0x7000;
/// Its tag.
const TAG: u64 = 7;
/// How many events there are from one that the state decides to the next.
const EVERY: u64 = 5;

/// One instance.
#[derive(Debug, Default)]
pub struct Scripted {
    /// How many events it has judged, over swaps.
    seen: u64,
    /// The last one is tried again.
    retried: bool,
}

impl Policy for Scripted {
    fn init(_: &mut Config, place: Place, host: &mut impl Host) -> Result<Self, Failure> {
        // One for all: the others may begin later than its first event.
        if let Place::Vcpu(vcpu @ 0) = place {
            let read = Access::READ | Access::EXECUTE;
            let page = host.set_page_access(TRAPPED, read, TAG);
            let page = page.and(host.set_page_access(HIDDEN, Access::EXECUTE, TAG + 1));
            let place = BreakpointPlace::Gpa(BREAKPOINT);
            let armed = page.and(host.set_breakpoint(vcpu, place, TAG));
            armed.map_err(|refusal| format!("nothing is armed: {refusal:?}"))?;
        }
        Ok(Self::default())
    }
}

impl Scripted {
    /// Counts an event; whether it is one that the state decides.
    fn count(&mut self) -> bool {
        self.seen += 1;
        self.seen.is_multiple_of(EVERY)
    }

    /// Answers `retry` once, and then lets it happen.
    fn retry(&mut self) -> msr::Verdict {
        self.retried = !self.retried;
        if self.retried {
            msr::Verdict::Retry
        } else {
            msr::Verdict::Continue
        }
    }
}

impl Judge<msr::Write> for Scripted {
    fn filters(&self) -> Vec<msr::Filter> {
        vec![
            msr::Filter::range(msr::STAR..=msr::CSTAR),
            msr::Filter::one(0x8b),
        ]
    }

    fn judge(&mut self, at: &Moment, write: msr::Write, host: &mut impl Host) -> msr::Verdict {
        if self.count() {
            return msr::Verdict::Replace(self.seen);
        }
        match Deed::of(write.new) {
            Deed::Answer(msr::Verdict::Retry) => self.retry(),
            Deed::Answer(verdict) => verdict,
            Deed::Keep => msr::Verdict::Replace(write.old),
            Deed::Ask(question, with) => {
                let said = question(at, with, host);
                host.info(format_args!("{} {said}", at.seq));
                msr::Verdict::Continue
            }
        }
    }
}

impl Judge<msr_read::Read> for Scripted {
    fn judge(&mut self, _: &Moment, read: msr_read::Read, _: &mut impl Host) -> msr_read::Verdict {
        match read.value & 3 {
            0 => msr_read::Verdict::Continue,
            1 => msr_read::Verdict::Deny,
            2 => msr_read::Verdict::Replace(read.value ^ self.seen),
            _ => msr_read::Verdict::Skip,
        }
    }
}

impl Judge<cr::Write> for Scripted {
    fn filters(&self) -> Vec<cr::Filter> {
        vec![cr::Filter::bits(4, 1 << 20), cr::Filter::one(0)]
    }

    fn judge(&mut self, _: &Moment, write: cr::Write, host: &mut impl Host) -> cr::Verdict {
        let times = host.add_number("cr", 1).unwrap_or(0);
        match times % 3 {
            0 => cr::Verdict::Replace(write.old),
            1 => cr::Verdict::Continue,
            _ => cr::Verdict::Deny,
        }
    }
}

impl Judge<cpuid::Query> for Scripted {
    fn judge(&mut self, _: &Moment, query: cpuid::Query, _: &mut impl Host) -> cpuid::Verdict {
        if self.count() {
            return cpuid::Verdict::Deny;
        }
        let ecx = query.proposed.ecx ^ query.function;
        cpuid::Verdict::Replace(CpuidLeaf {
            ecx,
            ..query.proposed
        })
    }
}

impl Judge<page::Touch> for Scripted {
    fn judge(&mut self, at: &Moment, touch: page::Touch, host: &mut impl Host) -> page::Verdict {
        let where_and_what = (touch.gva, touch.gpa, touch.size, touch.value, touch.tag);
        host.info(format_args!("{} {where_and_what:?}", at.seq));
        let value = touch.value.unwrap_or(self.seen);
        let wish = match value % 6 {
            0 => page::Verdict::Continue,
            1 => page::Verdict::Replace(touch.proposed ^ 0xff),
            2 => page::Verdict::Deny,
            3 => page::Verdict::Skip,
            4 => page::Verdict::Step,
            _ => page::Verdict::Emulate(vec![0xa5; 3]),
        };
        at.first_allowed([wish]).unwrap_or(page::Verdict::Continue)
    }
}

impl Judge<breakpoint::Hit> for Scripted {
    fn judge(
        &mut self,
        at: &Moment,
        hit: breakpoint::Hit,
        host: &mut impl Host,
    ) -> breakpoint::Verdict {
        host.info(format_args!(
            "{} {:?}",
            at.seq,
            (hit.gva, hit.managed, hit.tag)
        ));
        let wish = if hit.managed && self.count() {
            breakpoint::Verdict::Skip
        } else {
            breakpoint::Verdict::Continue
        };
        at.first_allowed([wish])
            .unwrap_or(breakpoint::Verdict::Continue)
    }
}

impl Judge<hypercall::Call> for Scripted {
    fn judge(
        &mut self,
        at: &Moment,
        call: hypercall::Call,
        host: &mut impl Host,
    ) -> hypercall::Verdict {
        let registers = host.get_registers(at.vcpu);
        let seen = registers.map(|all| (all.rax, all.rdi, all.rsi, all.rdx, all.rip));
        host.info(format_args!("{} {seen:?}", at.seq));
        let set = host.set_register(at.vcpu, Register::R9, call.a ^ call.b);
        host.info(format_args!("{set:?}"));
        hypercall::Verdict::Replace(call.a.wrapping_add(call.c))
    }
}

impl Judge<pio::Transfer> for Scripted {
    fn filters(&self) -> Vec<pio::Filter> {
        vec![pio::Filter::range(0x60..=0x6f)]
    }

    fn judge(&mut self, _: &Moment, transfer: pio::Transfer, _: &mut impl Host) -> pio::Verdict {
        match (transfer.write, transfer.count) {
            (true, 1) => pio::Verdict::Replace(transfer.proposed ^ 1),
            (true, _) => pio::Verdict::Skip,
            (false, _) => pio::Verdict::Continue,
        }
    }
}

impl State for Scripted {
    fn save(&mut self, _: &mut impl Host) -> Result<Saved, Failure> {
        Saved::encode(1, &(self.seen, self.retried))
    }

    fn restore(&mut self, saved: Saved, _: u64, _: &mut impl Host) -> Result<(), Failure> {
        (self.seen, self.retried) = saved.decode(1)?;
        Ok(())
    }
}

impl Tick for Scripted {
    fn tick(&mut self, _: u64, _: u32, host: &mut impl Host) {
        let keys = host.keys("");
        let ticks = host.add_number("ticks", 1);
        host.info(format_args!("{ticks:?} {keys:?}"));
    }
}

oriel_sdk::export!(
    Scripted: msr, msr_read, cr, cpuid, page, breakpoint, hypercall, pio, state, tick
);
