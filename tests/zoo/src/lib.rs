//! A policy that misbehaves as its configuration tells it, so that tests can contain it.
//!
//! `at` says where (`settings`), `act` says what: a verdict (`answer`), something that needs a
//! right (`ask`), or something that ends the instance (`harm`). Everything it does not do on command is what a good policy
//! would do. Never loaded outside tests.

mod answer;
mod ask;
mod harm;
mod settings;
#[cfg(test)]
mod tests;

use oriel_sdk::state::Saved;
use oriel_sdk::{
    Config, CreateVcpu, EventKind, Failure, Host, Judge, Level, Moment, Observe, Place, Policy,
    State, Tick, Unhook, msr, msr_read, observe, pio, reset,
};
use settings::{Act, Answer, Ask, Harm, Settings, Stage};

/// The version of what `save` writes.
const SCHEMA: u32 = 1;

/// The policy.
#[derive(Debug)]
pub struct Zoo {
    settings: Settings,
    /// How many events this instance has judged, and those before it that it took over from.
    seen: u64,
}

impl Policy for Zoo {
    fn init(config: &mut Config, _: Place, host: &mut impl Host) -> Result<Self, Failure> {
        let settings = Settings::read(config)?;
        let zoo = Self { settings, seen: 0 };
        zoo.obey(Stage::Init, 0, host)?;
        Ok(zoo)
    }
}

impl Zoo {
    /// Does what it was told to do at this stage. `deny` is to fail.
    fn obey(&self, stage: Stage, vcpu: u32, host: &mut impl Host) -> Result<(), Failure> {
        if self.settings.at != stage {
            return Ok(());
        }
        self.act(vcpu, 0, host);
        if self.settings.act == Act::Answer(Answer::Deny) {
            return Err("the zoo was told to refuse".into());
        }
        Ok(())
    }

    /// Does what it was told to do when an event is judged, and says whether it was.
    fn judges(&mut self, at: &Moment, new: Option<u64>, host: &mut impl Host) -> bool {
        self.seen += 1;
        let wanted = self.settings.when_new;
        let is_meant = self.settings.at == Stage::Judge && (wanted.is_none() || wanted == new);
        if is_meant {
            self.act(at.vcpu, at.seq, host);
        }
        is_meant
    }

    fn act(&self, vcpu: u32, chance: u64, host: &mut impl Host) {
        match self.settings.act {
            Act::Answer(_) | Act::HugeAnswer => {}
            Act::Harm(harm) => harm::inflict(harm, chance),
            Act::Ask(ask) => ask::ask(ask, &self.settings, vcpu, host),
        }
    }

    /// The MSRs it was told to hear; none: all of them.
    fn msrs<F: Clone>(&self, filter: fn(u32) -> F) -> Vec<F> {
        if self.settings.at == Stage::Filters {
            match self.settings.act {
                Act::Harm(harm) => harm::inflict(harm, 0),
                Act::HugeAnswer => return vec![filter(0); self.huge()],
                Act::Answer(_) | Act::Ask(_) => {}
            }
        }
        self.settings.msrs.iter().copied().map(filter).collect()
    }

    /// How many of something a huge answer has.
    fn huge(&self) -> usize {
        usize::try_from(self.settings.times).unwrap_or(usize::MAX)
    }

    /// Denies every value but the first, which the store knows; at one value it traps, which
    /// should help nobody to get past it.
    fn remembers(&self, new: u64, host: &mut impl Host) -> Option<msr::Verdict> {
        if self.settings.act != Act::Ask(Ask::Remember) {
            return None;
        }
        if new == self.settings.value {
            harm::inflict(Harm::Trap, 0);
        }
        let verdict = if ask::differs_from_the_first(new, host) {
            msr::Verdict::Deny
        } else {
            msr::Verdict::Continue
        };
        Some(verdict)
    }
}

impl Judge<msr::Write> for Zoo {
    fn filters(&self) -> Vec<msr::Filter> {
        self.msrs(msr::Filter::one)
    }

    fn judge(&mut self, at: &Moment, write: msr::Write, host: &mut impl Host) -> msr::Verdict {
        let is_meant = self.judges(at, Some(write.new), host);
        let remembered = self.remembers(write.new, host);
        remembered.unwrap_or_else(|| answer::value(&self.settings, is_meant))
    }
}

impl Judge<msr_read::Read> for Zoo {
    fn filters(&self) -> Vec<msr_read::Filter> {
        self.msrs(msr_read::Filter::one)
    }

    fn judge(&mut self, at: &Moment, _: msr_read::Read, host: &mut impl Host) -> msr_read::Verdict {
        let is_meant = self.judges(at, None, host);
        answer::value(&self.settings, is_meant)
    }
}

impl Judge<pio::Transfer> for Zoo {
    fn judge(&mut self, at: &Moment, _: pio::Transfer, host: &mut impl Host) -> pio::Verdict {
        let is_meant = self.judges(at, None, host);
        answer::value(&self.settings, is_meant)
    }
}

impl Judge<reset::Reset> for Zoo {
    fn judge(&mut self, at: &Moment, _: reset::Reset, host: &mut impl Host) -> reset::Verdict {
        let is_meant = self.judges(at, None, host);
        answer::fact(&self.settings, is_meant)
    }
}

impl Observe for Zoo {
    /// MSR writes where it is to misbehave as it sees them; else what hardly ever happens.
    fn filters(&self) -> Vec<observe::Filter> {
        let kind = if self.settings.at == Stage::Observe {
            EventKind::Msr
        } else {
            EventKind::Xsetbv
        };
        vec![observe::Filter::of(kind)]
    }

    fn observe(&mut self, at: &Moment, _: observe::Seen, host: &mut impl Host) {
        if self.settings.at == Stage::Observe {
            self.act(at.vcpu, at.seq, host);
        }
    }
}

impl CreateVcpu for Zoo {
    fn created(&mut self, at: &Moment, host: &mut impl Host) {
        if self.settings.at == Stage::Notice {
            self.act(at.vcpu, at.seq, host);
        }
    }
}

impl Unhook for Zoo {
    fn unhooking(&mut self, host: &mut impl Host) {
        if self.settings.at == Stage::Notice {
            self.act(0, 0, host);
        }
    }
}

impl Tick for Zoo {
    fn tick(&mut self, _: u64, _: u32, host: &mut impl Host) {
        if let Err(failure) = self.obey(Stage::Tick, 0, host) {
            host.log(Level::Warn, failure.as_str());
        }
    }
}

impl State for Zoo {
    fn save(&mut self, host: &mut impl Host) -> Result<Saved, Failure> {
        self.obey(Stage::Save, 0, host)?;
        if (self.settings.at, self.settings.act) == (Stage::Save, Act::HugeAnswer) {
            let data = vec![0; self.huge()];
            return Ok(Saved {
                schema: SCHEMA,
                data,
            });
        }
        Saved::encode(SCHEMA, &self.seen)
    }

    fn restore(
        &mut self,
        saved: Saved,
        revision: u64,
        host: &mut impl Host,
    ) -> Result<(), Failure> {
        self.obey(Stage::Restore, 0, host)?;
        self.seen = saved.decode(SCHEMA)?;
        let line = format!("{} events were seen up to revision {revision}", self.seen);
        host.log(Level::Info, &line);
        Ok(())
    }
}

oriel_sdk::export!(Zoo: msr, msr_read, pio, reset, observe, create_vcpu, unhook, tick, state);
