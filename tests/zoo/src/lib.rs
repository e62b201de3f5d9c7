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
    Config, Failure, Host, Judge, Level, Moment, Place, Policy, State, Tick, msr, msr_read, pio,
    reset,
};
use settings::{Act, Answer, Settings, Stage};

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
        self.act(vcpu, host);
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
            self.act(at.vcpu, host);
        }
        is_meant
    }

    fn act(&self, vcpu: u32, host: &mut impl Host) {
        match self.settings.act {
            Act::Answer(_) => {}
            Act::Harm(harm) => harm::inflict(harm),
            Act::Ask(ask) => ask::ask(ask, &self.settings, vcpu, host),
        }
    }

    /// The MSRs it was told to hear; none: all of them.
    fn msrs<F>(&self, filter: fn(u32) -> F) -> Vec<F> {
        if let (Stage::Filters, Act::Harm(harm)) = (self.settings.at, self.settings.act) {
            harm::inflict(harm);
        }
        self.settings.msrs.iter().copied().map(filter).collect()
    }
}

impl Judge<msr::Write> for Zoo {
    fn filters(&self) -> Vec<msr::Filter> {
        self.msrs(msr::Filter::one)
    }

    fn judge(&mut self, at: &Moment, write: msr::Write, host: &mut impl Host) -> msr::Verdict {
        let is_meant = self.judges(at, Some(write.new), host);
        answer::value(&self.settings, is_meant)
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

oriel_sdk::export!(Zoo: msr, msr_read, pio, reset, tick, state);
