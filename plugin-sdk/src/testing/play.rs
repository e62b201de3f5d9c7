//! Playing a scenario natively: the mock machine under the policy itself, on one thread.
//!
//! ```text
//!   scenario ─► machine ─► event ─► ears: who hears it? ─► policy ─► verdict ─► machine
//!                  ▲                                          │
//!                  └──────────────── MockEngine ◄─────────────┘ commands
//! ```
//! The machine is the one that `oriel plugin test` and `oriel run --machine mock` play. The engine's
//! part is done here and in [`MockEngine`](super::MockEngine) for one policy: filters, staged
//! registers, the failure mode `closed`. What differs from the engine is time: it is counted, not
//! measured, so that each playing is the same.

mod business;
mod ears;
mod lawful;
mod performance;
mod stage;

use std::sync::Arc;

use oriel_machine::outlet::Kept;
use oriel_machine::{End, mock};
use oriel_protocol::Verdict;

use super::Bench;
use crate::export::Exports;
use crate::{EventKind, Failure, Refusal, Register};
use ears::Ears;
use performance::Performance;
use stage::Stage;

/// Scenarios: guests as data, in TOML (`docs/scenarios.md`) or put together in Rust, and what a
/// machine says of them.
pub mod scenario {
    pub use oriel_machine::End;
    pub use oriel_machine::mock::{
        BUILTINS, Check, Expect, Fault, Instruction, Map, Outcome, Report, Scenario, ScenarioError,
        Step, builtin, instruction,
    };
    pub use oriel_protocol::{Decision, Verdict, events::ShutdownCause, x86};
}

/// An event that is about to be brought to the policy.
///
/// ```
/// # use oriel_sdk::{Config, Failure, Host, Judge, Moment, Place, Policy, msr};
/// # use oriel_sdk::testing::{Bench, Cue, scenario};
/// # struct Calm;
/// # impl Policy for Calm {
/// #     fn init(_: &mut Config, _: Place, _: &mut impl Host) -> Result<Self, Failure> { Ok(Self) }
/// # }
/// # impl Judge<msr::Write> for Calm {
/// #     fn judge(&mut self, _: &Moment, _: msr::Write, _: &mut impl Host) -> msr::Verdict {
/// #         msr::Verdict::Continue
/// #     }
/// # }
/// # oriel_sdk::export!(Calm: msr);
/// # fn main() -> Result<(), Failure> {
/// let attack = scenario::builtin("msr-attack").ok_or("it is built in")?;
/// let mut kinds = Vec::new();
/// let mut bench = Bench::<Calm>::new(Config::new())?;
/// bench.play_with(&attack, |_, cue: Cue| kinds.push(cue.kind))?;
/// assert_eq!(kinds, [oriel_sdk::EventKind::Msr; 4]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cue {
    /// The vCPU.
    pub vcpu: u32,
    /// How many events have been brought to the policy before, on all vCPUs.
    pub before: usize,
    /// Its kind.
    pub kind: EventKind,
}

/// An event that was judged.
///
/// ```
/// use oriel_sdk::EventKind;
/// use oriel_sdk::testing::{Judged, scenario::Verdict};
///
/// let denied = Judged { vcpu: 0, seq: 1, kind: EventKind::Msr, verdict: Verdict::Deny };
/// assert_eq!(denied.verdict, Verdict::Deny);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The vCPU.
    pub vcpu: u32,
    /// Its number on that vCPU.
    pub seq: u64,
    /// Its kind.
    pub kind: EventKind,
    /// What was answered.
    pub verdict: Verdict,
}

/// What came of a scenario. What the policy told and stored is in the bench's engine.
///
/// ```
/// # use oriel_sdk::{Config, Failure, Host, Judge, Moment, Place, Policy, Register, msr};
/// # use oriel_sdk::testing::Bench;
/// # use oriel_sdk::testing::scenario::{End, Scenario};
/// # struct Strict;
/// # impl Policy for Strict {
/// #     fn init(_: &mut Config, _: Place, _: &mut impl Host) -> Result<Self, Failure> { Ok(Self) }
/// # }
/// # impl Judge<msr::Write> for Strict {
/// #     fn judge(&mut self, _: &Moment, _: msr::Write, _: &mut impl Host) -> msr::Verdict {
/// #         msr::Verdict::Deny
/// #     }
/// # }
/// # oriel_sdk::export!(Strict: msr);
/// # fn main() -> Result<(), Failure> {
/// let scenario = Scenario::parse(
///     r#"
///     [[step]]
///     event = "msr"
///     msr = "lstar"
///     value = 1
///     expect = { verdict = "deny", value = 0 }
///
///     [[step]]
///     finish = 7
///     "#,
///     "strict",
/// )?;
/// let mut played = Bench::<Strict>::new(Config::new())?.play(&scenario)?;
/// played.assert_as_expected();
/// assert_eq!(played.end, End::Finished(7));
/// assert_eq!(played.msr(0, 0xC000_0082), Ok(0));
/// assert_eq!(played.register(0, Register::Rcx), Ok(0xC000_0082));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Played {
    /// How the VM ended.
    pub end: End,
    /// The events that the policy judged, in order.
    pub judged: Vec<Judged>,
    /// What came of the steps that say what should.
    pub outcomes: Vec<mock::Outcome>,
    /// The same, compared.
    pub checks: Vec<mock::Check>,
    /// How the policy failed, each time: it was lost, or answered what the event cannot take.
    pub failures: Vec<String>,
    /// What the guest reported, and which vCPU.
    pub reports: Vec<(u32, u64)>,
    /// What came over the serial line.
    pub serial: String,
    /// The exceptions that each vCPU took.
    pub faults: Vec<Vec<mock::Fault>>,
    stage: Box<Stage>,
}

impl<P: Exports> Bench<P> {
    /// Plays a scenario to its end, with what [`export!`](crate::export!) names, and says what came
    /// of it. The bench's store, faults and refusals hold; its instances begin anew.
    ///
    /// ```
    /// use oriel_sdk::testing::{Bench, scenario};
    /// use oriel_sdk::{Config, Failure, Host, Judge, Metrics, Moment, Place, Policy, msr};
    ///
    /// struct Count;
    /// # impl Policy for Count {
    /// #     fn init(_: &mut Config, _: Place, _: &mut impl Host) -> Result<Self, Failure> { Ok(Self) }
    /// # }
    ///
    /// impl Judge<msr::Write> for Count {
    ///     fn judge(&mut self, _: &Moment, _: msr::Write, host: &mut impl Metrics) -> msr::Verdict {
    ///         host.count("writes", 1);
    ///         msr::Verdict::Continue
    ///     }
    /// }
    ///
    /// oriel_sdk::export!(Count: msr);
    /// # fn main() -> Result<(), Failure> {
    /// let attack = scenario::builtin("msr-attack").ok_or("it is built in")?;
    /// let mut bench = Bench::<Count>::new(Config::new())?;
    /// bench.play(&attack)?.assert_as_expected();
    /// assert_eq!(bench.engine.counters["writes"], 4);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The scenario never ends, does not fit together, or the policy refuses to begin.
    pub fn play(&mut self, scenario: &mock::Scenario) -> Result<Played, Failure> {
        self.play_with(scenario, |_, _| ())
    }

    /// As [`play`](Self::play); `cue` is called before each event that the policy judges, and may do
    /// anything to the bench: lose a page, refuse a command, swap the instance, crash it.
    ///
    /// ```
    /// # use oriel_sdk::{Config, Failure, Host, Judge, Moment, Place, Policy, Store, msr};
    /// # use oriel_sdk::testing::{Bench, scenario};
    /// # struct Once;
    /// # impl Policy for Once {
    /// #     fn init(_: &mut Config, _: Place, _: &mut impl Host) -> Result<Self, Failure> { Ok(Self) }
    /// # }
    /// # impl Judge<msr::Write> for Once {
    /// #     fn judge(&mut self, _: &Moment, write: msr::Write, host: &mut impl Store) -> msr::Verdict {
    /// #         match host.compare_and_swap_number("first", None, write.new) {
    /// #             Ok(None) => msr::Verdict::Continue,
    /// #             Ok(Some(_)) | Err(_) => msr::Verdict::Deny,
    /// #         }
    /// #     }
    /// # }
    /// # oriel_sdk::export!(Once: msr);
    /// # fn main() -> Result<(), Failure> {
    /// # let attack = scenario::builtin("msr-attack").ok_or("it is built in")?;
    /// let mut bench = Bench::<Once>::new(Config::new())?;
    /// let played = bench.play_with(&attack, |bench, cue| {
    ///     if cue.before == 1 {
    ///         bench.crash();
    ///     }
    /// })?;
    /// // A policy that was made to trap has not forgotten what it saw.
    /// assert_eq!(played.judged[1].verdict, scenario::Verdict::Deny);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`play`](Self::play).
    pub fn play_with(
        &mut self,
        scenario: &mock::Scenario,
        cue: impl FnMut(&mut Self, Cue),
    ) -> Result<Played, Failure> {
        if scenario.loops() {
            return Err("it says `loop`, so it never ends; take the key out".into());
        }
        let outlet = Arc::new(Kept::default());
        let mock::Alone {
            parts,
            probe,
            idled,
        } = scenario.build_alone(outlet.clone())?;
        let ears = Ears::of();
        self.clear();
        self.engine.judged = Some(ears.judged());
        self.engine
            .seat(Some(Box::new(Stage::new(parts, ears.heard()))));
        let performed = Performance::new(self, ears, idled, cue).perform();
        let stage = self.engine.vacate();
        self.engine.judged = None;
        let (end, judged, failures) = performed?;
        let stage = stage.ok_or("the machine is gone")?;
        let outcomes = probe.outcomes();
        Ok(Played {
            end,
            judged,
            checks: scenario.compare(&outcomes),
            outcomes,
            failures,
            reports: outlet.reports(),
            serial: outlet.serial_text(),
            faults: (0..stage.vcpus()).map(|vcpu| probe.faults(vcpu)).collect(),
            stage,
        })
    }
}

impl Played {
    /// Sees to it that every step went as the scenario expects, and that the policy did not fail.
    ///
    /// ```
    /// # use oriel_sdk::{Config, Failure, Host, Judge, Moment, Place, Policy, reset};
    /// # use oriel_sdk::testing::{Bench, scenario};
    /// # struct Calm;
    /// # impl Policy for Calm {
    /// #     fn init(_: &mut Config, _: Place, _: &mut impl Host) -> Result<Self, Failure> { Ok(Self) }
    /// # }
    /// # impl Judge<reset::Reset> for Calm {
    /// #     fn judge(&mut self, _: &Moment, _: reset::Reset, _: &mut impl Host) -> reset::Verdict {
    /// #         reset::Verdict::Continue
    /// #     }
    /// # }
    /// # oriel_sdk::export!(Calm: reset);
    /// # fn main() -> Result<(), Failure> {
    /// let hello = scenario::builtin("hello").ok_or("it is built in")?;
    /// Bench::<Calm>::new(Config::new())?.play(&hello)?.assert_as_expected();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    /// With a line for each that did not.
    #[track_caller]
    pub fn assert_as_expected(&self) {
        let wrong = self.checks.iter().filter(|check| !check.passed());
        let failed = self
            .failures
            .iter()
            .map(|why| format!("the policy failed: {why}"));
        let lines: Vec<_> = wrong.map(ToString::to_string).chain(failed).collect();
        assert!(lines.is_empty(), "{}", lines.join("\n"));
    }

    /// What a register of a vCPU holds at the end.
    ///
    /// ```
    /// # use oriel_sdk::testing::Played;
    /// use oriel_sdk::Register;
    ///
    /// fn stack(played: &mut Played) -> Option<u64> {
    ///     played.register(0, Register::Rsp).ok()
    /// }
    /// ```
    ///
    /// # Errors
    /// `not-found`: there is no such vCPU.
    pub fn register(&mut self, vcpu: u32, register: Register) -> Result<u64, Refusal> {
        self.stage.read_register(vcpu, register)
    }

    /// What an MSR of a vCPU holds at the end.
    ///
    /// ```
    /// # use oriel_sdk::testing::Played;
    /// fn entry(played: &mut Played) -> Option<u64> {
    ///     played.msr(0, 0xC000_0082).ok()
    /// }
    /// ```
    ///
    /// # Errors
    /// `not-found`: there is no such vCPU, or MSR.
    pub fn msr(&mut self, vcpu: u32, msr: u32) -> Result<u64, Refusal> {
        self.stage.read_msr(vcpu, msr)
    }

    /// What is in memory at the end.
    ///
    /// ```
    /// # use oriel_sdk::testing::Played;
    /// fn banner(played: &mut Played) -> Option<Vec<u8>> {
    ///     played.memory(0x5000, 16).ok()
    /// }
    /// ```
    ///
    /// # Errors
    /// `not-found`: part of it is not RAM.
    pub fn memory(&mut self, gpa: u64, length: usize) -> Result<Vec<u8>, Refusal> {
        self.stage.read_memory(gpa, length)
    }
}

#[cfg(test)]
mod tests;
