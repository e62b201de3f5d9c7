//! A policy that answers by a table: its configuration says what it arms, and which event is
//! answered how. So a test says in a line what a policy says, and looks what becomes of it.
//!
//! `rules` says which answer fits what (`rule`), `answer` what that is for each kind of event,
//! `arms` what is armed as the instance of a vCPU begins. Decides nothing by itself, and is never
//! loaded outside tests.

mod answer;
mod arms;
mod rule;
#[cfg(test)]
mod tests;

use oriel_sdk::{
    Access, Config, EventKind, Failure, Host, Intercept, Judge, Level, Log, Moment, Place, Policy,
    breakpoint, mmio, msr, msr_read, page, pio, reset, shutdown, singlestep, trap,
};

use answer::Says;
use arms::Arms;
use rule::{Rule, Seen};

/// The policy.
#[derive(Debug)]
pub struct Table {
    rules: Vec<Rule>,
    /// How many instructions are still to be stepped.
    steps: u64,
}

impl Policy for Table {
    fn init(config: &mut Config, place: Place, host: &mut impl Host) -> Result<Self, Failure> {
        let rules: Vec<String> = config.get_or("rules", Vec::new())?;
        let rules = rules.iter().map(|text| Rule::parse(text));
        let rules = rules.collect::<Result<_, _>>()?;
        let arms = Arms::read(config)?;
        if let Place::Vcpu(vcpu) = place {
            arms.arm(vcpu, host)?;
        }
        let steps = arms.steps;
        Ok(Self { rules, steps })
    }
}

impl Table {
    /// What the first rule that fits says; where none does, the event happens.
    fn answer<V: Says>(&mut self, at: &Moment, seen: &Seen) -> V {
        let fits = |rule: &&mut Rule| rule.fits(seen, at.ip);
        let rule = self.rules.iter_mut().find(fits);
        rule.map_or(V::CONTINUE, |rule| rule.take(at))
    }
}

/// A kind of event that has no access and is of nothing.
const fn bare(kind: EventKind) -> Seen {
    seen(kind, Access::empty(), 0)
}

const fn seen(kind: EventKind, access: Access, of: u64) -> Seen {
    Seen { kind, access, of }
}

const fn direction(write: bool) -> Access {
    if write { Access::WRITE } else { Access::READ }
}

impl Judge<msr::Write> for Table {
    fn judge(&mut self, at: &Moment, write: msr::Write, _: &mut impl Host) -> msr::Verdict {
        self.answer(at, &seen(EventKind::Msr, Access::WRITE, write.msr.into()))
    }
}

impl Judge<msr_read::Read> for Table {
    fn judge(&mut self, at: &Moment, read: msr_read::Read, _: &mut impl Host) -> msr_read::Verdict {
        self.answer(at, &seen(EventKind::MsrRead, Access::READ, read.msr.into()))
    }
}

impl Judge<pio::Transfer> for Table {
    fn judge(&mut self, at: &Moment, it: pio::Transfer, _: &mut impl Host) -> pio::Verdict {
        self.answer(
            at,
            &seen(EventKind::Pio, direction(it.write), it.port.into()),
        )
    }
}

impl Judge<mmio::Transfer> for Table {
    fn judge(&mut self, at: &Moment, it: mmio::Transfer, _: &mut impl Host) -> mmio::Verdict {
        self.answer(at, &seen(EventKind::Mmio, direction(it.write), it.gpa))
    }
}

impl Judge<page::Touch> for Table {
    fn judge(&mut self, at: &Moment, it: page::Touch, _: &mut impl Host) -> page::Verdict {
        self.answer(at, &seen(EventKind::Page, it.access, it.gpa))
    }
}

impl Judge<breakpoint::Hit> for Table {
    fn judge(
        &mut self,
        at: &Moment,
        it: breakpoint::Hit,
        _: &mut impl Host,
    ) -> breakpoint::Verdict {
        self.answer(at, &seen(EventKind::Breakpoint, Access::EXECUTE, it.gva))
    }
}

impl Judge<singlestep::Step> for Table {
    fn judge(
        &mut self,
        at: &Moment,
        _: singlestep::Step,
        host: &mut (impl Intercept + Log),
    ) -> singlestep::Verdict {
        self.steps = self.steps.saturating_sub(1);
        if self.steps == 0
            && let Err(refusal) = host.single_step(at.vcpu, false)
        {
            host.log(Level::Warn, &format!("still stepping: {refusal}"));
        }
        self.answer(at, &bare(EventKind::Singlestep))
    }
}

impl Judge<trap::Delivery> for Table {
    fn judge(&mut self, at: &Moment, it: trap::Delivery, _: &mut impl Host) -> trap::Verdict {
        self.answer(
            at,
            &seen(EventKind::Trap, Access::empty(), it.vector.into()),
        )
    }
}

impl Judge<reset::Reset> for Table {
    fn judge(&mut self, at: &Moment, _: reset::Reset, _: &mut impl Host) -> reset::Verdict {
        self.answer(at, &bare(EventKind::Reset))
    }
}

impl Judge<shutdown::Shutdown> for Table {
    fn judge(
        &mut self,
        at: &Moment,
        _: shutdown::Shutdown,
        _: &mut impl Host,
    ) -> shutdown::Verdict {
        self.answer(at, &bare(EventKind::Shutdown))
    }
}

oriel_sdk::export!(
    Table: msr, msr_read, pio, mmio, page, breakpoint, singlestep, trap, reset, shutdown
);
