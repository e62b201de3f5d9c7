//! Pins the MSRs through which a kernel is entered.
//!
//! The booting kernel's first write to such a register pins its value (`pin`); EFER, which a
//! kernel fills bit by bit, has a rule of its own (`efer`). A write that breaks a rule is
//! answered and reported by `answer`, as the configuration (`settings`) says. What is pinned
//! lives in the store, so that an attacker who makes an instance trap gains nothing.

mod answer;
mod efer;
mod pin;
mod settings;
#[cfg(test)]
mod tests;

use oriel_sdk::{
    Alert, Config, EventKind, Failure, Host, Judge, Log, Moment, Observe, Place, Policy, Refusal,
    Rings, Scope, Store, msr, observe, reset,
};
use settings::Settings;

/// The policy.
#[derive(Debug)]
pub struct Guard {
    settings: Settings,
}

impl Policy for Guard {
    fn init(config: &mut Config, _: Place, _: &mut impl Host) -> Result<Self, Failure> {
        let settings = Settings::read(config)?;
        Ok(Self { settings })
    }
}

impl Judge<msr::Write> for Guard {
    fn filters(&self) -> Vec<msr::Filter> {
        self.settings.guarded().map(msr::Filter::one).collect()
    }

    fn judge(
        &mut self,
        at: &Moment,
        write: msr::Write,
        host: &mut (impl Alert + Log + Store),
    ) -> msr::Verdict {
        let finding = if write.msr == efer::MSR {
            efer::check(&self.settings, at, write, host)
        } else {
            pin::check(&self.settings, at, write, host)
        };
        match finding {
            Ok(None) => msr::Verdict::Continue,
            Ok(Some(violation)) => {
                answer::to_violation(self.settings.on_violation, at, write, violation, host)
            }
            Err(refusal) => {
                answer::to_blindness(self.settings.on_violation, at, write, refusal, host)
            }
        }
    }
}

/// Sees, at most once a second, that there is something at user level: it asks what the
/// processor can do, as every dynamic loader does.
impl Observe for Guard {
    fn filters(&self) -> Vec<observe::Filter> {
        vec![observe::Filter {
            per_second: 1,
            scope: Scope::at(Rings::RING3),
            ..observe::Filter::of(EventKind::Cpuid)
        }]
    }

    fn observe(&mut self, at: &Moment, _: observe::Seen, host: &mut (impl Log + Store)) {
        if at.cpl == 3 {
            efer::lock(host);
        }
    }
}

/// After a reset the kernel boots anew, and chooses anew.
impl Judge<reset::Reset> for Guard {
    fn judge(
        &mut self,
        at: &Moment,
        _: reset::Reset,
        host: &mut (impl Alert + Log + Store),
    ) -> reset::Verdict {
        if let Err(refusal) = forget(host) {
            answer::to_stale_pins(at, refusal, host);
        }
        reset::Verdict::Continue
    }
}

fn forget(host: &mut impl Store) -> Result<(), Refusal> {
    for prefix in [pin::KEYS, efer::KEYS] {
        for key in host.keys(prefix)? {
            host.remove_key(&key)?;
        }
    }
    Ok(())
}

oriel_sdk::export!(Guard: msr, observe, reset);
