//! What goes wrong because the test wants it to, beside refused commands. Owns what is to go wrong,
//! and forgets it once it has; decides nothing for the policy.

use std::collections::BTreeSet;
use std::panic::resume_unwind;

use super::{Command, MockEngine};
use crate::Refusal;

const PAGE: u64 = 4096;

/// What is to go wrong.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    lost: BTreeSet<u64>,
    gone: BTreeSet<u32>,
    torn: Vec<(u64, Vec<u8>)>,
    /// How many commands are left before the deadline.
    left: Option<u32>,
}

/// With what an instance is stopped whose deadline has passed.
pub(in crate::testing) struct Overdue;

impl MockEngine {
    /// From now on the page of this guest-physical address is not there: reading and writing it is
    /// `not-found`, its words are 0.
    ///
    /// ```
    /// use oriel_sdk::{MemoryRead, Refusal, testing::MockEngine};
    ///
    /// let mut engine = MockEngine::default();
    /// engine.lose_page(0x5000);
    /// assert_eq!(engine.read_u64(0x5ff8), Err(Refusal::NotFound));
    /// assert_eq!(engine.read_u64(0x5ffc), Err(Refusal::NotFound), "half of it is lost");
    /// assert_eq!(engine.read_u64(0x6000), Ok(0));
    /// ```
    pub fn lose_page(&mut self, gpa: u64) {
        self.faults.lost.insert(gpa / PAGE);
    }

    /// Lets the guest write these bytes in the middle of the next read that meets them: of what is
    /// read, the first half is as it was, the rest as it is then.
    ///
    /// ```
    /// use oriel_sdk::{MemoryRead, testing::MockEngine};
    ///
    /// let mut engine = MockEngine::default();
    /// engine.tear(0x5000, &[0xff; 8]);
    /// assert_eq!(engine.read_u64(0x5000), Ok(0xffff_ffff_0000_0000));
    /// assert_eq!(engine.read_u64(0x5000), Ok(u64::MAX));
    /// ```
    pub fn tear(&mut self, gpa: u64, bytes: &[u8]) {
        self.faults.torn.push((gpa, bytes.to_vec()));
    }

    /// From now on this vCPU has ended: commands on it are `gone`.
    ///
    /// ```
    /// use oriel_sdk::{Refusal, Register, RegistersRead, testing::MockEngine};
    ///
    /// let mut engine = MockEngine::default();
    /// engine.lose_vcpu(3);
    /// assert_eq!(engine.get_register(3, Register::Rax), Err(Refusal::Gone));
    /// ```
    pub fn lose_vcpu(&mut self, vcpu: u32) {
        self.faults.gone.insert(vcpu);
    }

    /// Has the deadline pass when so many more commands have been answered: the one behind them
    /// stops the instance, as the watchdog does, and it is lost
    /// ([`Bench::attempt`](crate::testing::Bench::attempt) says so). What it has stored stays.
    ///
    /// ```
    /// use oriel_sdk::testing::{Bench, Lost};
    /// use oriel_sdk::{Config, Failure, Host, Judge, Moment, Place, Policy, Store, msr};
    /// # struct Twice;
    /// # impl Policy for Twice {
    /// #     fn init(_: &mut Config, _: Place, _: &mut impl Host) -> Result<Self, Failure> { Ok(Self) }
    /// # }
    ///
    /// impl Judge<msr::Write> for Twice {
    ///     fn judge(&mut self, _: &Moment, _: msr::Write, host: &mut impl Store) -> msr::Verdict {
    ///         let begun = host.add_number("begun", 1);
    ///         let ended = host.add_number("ended", 1);
    ///         if begun == ended { msr::Verdict::Continue } else { msr::Verdict::Deny }
    ///     }
    /// }
    ///
    /// # fn main() -> Result<(), Failure> {
    /// let mut bench = Bench::<Twice>::new(Config::new())?;
    /// let write = msr::Write::new(0x10, 0, 1);
    /// bench.engine.stop_after(1);
    /// assert_eq!(bench.attempt(0, write), Err(Lost::Overdue));
    /// // Whoever forces a missed deadline must not be better off for it.
    /// assert_eq!(bench.raise(0, write), Some(msr::Verdict::Deny));
    /// # Ok(())
    /// # }
    /// ```
    pub fn stop_after(&mut self, commands: u32) {
        self.faults.left = Some(commands);
    }

    /// From now on nothing goes wrong that has not yet.
    ///
    /// ```
    /// use oriel_sdk::{MemoryRead, testing::MockEngine};
    ///
    /// let mut engine = MockEngine::default();
    /// engine.lose_page(0x5000);
    /// engine.mend();
    /// assert_eq!(engine.read_u64(0x5000), Ok(0));
    /// ```
    pub fn mend(&mut self) {
        self.faults = Faults::default();
    }

    /// As [`admit`](Self::admit), for a command on this vCPU.
    pub(super) fn admit_on(&mut self, command: Command, vcpu: u32) -> Result<(), Refusal> {
        self.admit(command)?;
        if self.faults.gone.contains(&vcpu) {
            return Err(Refusal::Gone);
        }
        Ok(())
    }
}

impl Faults {
    /// Counts a command, and stops the instance at one too many.
    pub(super) fn spend(&mut self) {
        match self.left {
            Some(0) => {
                self.left = None;
                // No panic of the policy's: nothing is printed.
                resume_unwind(Box::new(Overdue));
            }
            Some(left) => self.left = Some(left - 1),
            None => {}
        }
    }

    /// Whether a page of the range is not there.
    pub(super) fn has_lost(&self, gpa: u64, length: u64) -> bool {
        let last = gpa.saturating_add(length.saturating_sub(1));
        self.lost.range(gpa / PAGE..=last / PAGE).next().is_some()
    }

    /// Puts what the guest writes meanwhile into the rest of what was read; answers with what is to
    /// be in memory afterwards.
    pub(super) fn tear(&mut self, gpa: u64, read: &mut [u8]) -> Option<(u64, Vec<u8>)> {
        let end = gpa.saturating_add(read.len() as u64);
        let meets =
            |(at, bytes): &(u64, Vec<u8>)| *at < end && gpa < at.saturating_add(bytes.len() as u64);
        let found = self.torn.iter().position(meets)?;
        let (at, written) = self.torn.remove(found);
        let middle = gpa + read.len() as u64 / 2;
        for (place, byte) in (gpa..).zip(read) {
            let new = place
                .checked_sub(at)
                .and_then(|offset| written.get(usize::try_from(offset).ok()?));
            if let Some(new) = new.filter(|_| place >= middle) {
                *byte = *new;
            }
        }
        Some((at, written))
    }
}
