//! The configuration, checked. Says which registers are guarded and how; guards none.

use oriel_sdk::{Config, Failure};

use crate::answer::Answer;
use crate::efer;

/// STAR, where SYSCALL's segments are.
pub(crate) const STAR: u32 = 0xC000_0081;
/// LSTAR, where SYSCALL enters a 64-bit kernel.
pub(crate) const LSTAR: u32 = 0xC000_0082;
/// CSTAR, where SYSCALL enters it from 32-bit code.
pub(crate) const CSTAR: u32 = 0xC000_0083;
/// The code segment, the stack and the entry of SYSENTER.
pub(crate) const SYSENTER_CS: u32 = 0x174;
pub(crate) const SYSENTER_ESP: u32 = 0x175;
pub(crate) const SYSENTER_EIP: u32 = 0x176;

const PINNED: [u32; 6] = [SYSENTER_CS, SYSENTER_ESP, SYSENTER_EIP, STAR, LSTAR, CSTAR];

/// What the operator chose.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The registers that the first write pins.
    pub(crate) msrs: Vec<u32>,
    /// Those of them that each vCPU pins for itself.
    pub(crate) per_vcpu: Vec<u32>,
    /// Whether EFER is guarded.
    pub(crate) efer: bool,
    /// Whether EFER takes no new bits from the start on.
    pub(crate) lock: bool,
    /// Whether it takes none once LSTAR is pinned.
    pub(crate) lock_on_entry: bool,
    /// How a write that breaks a rule is answered.
    pub(crate) on_violation: Answer,
}

impl Settings {
    pub(crate) fn read(config: &mut Config) -> Result<Self, Failure> {
        let settings = Self {
            msrs: config.get_or("msrs", PINNED.to_vec())?,
            per_vcpu: config.get_or("per-vcpu", vec![SYSENTER_ESP])?,
            efer: config.get_or("efer", true)?,
            lock: config.get_or("lock", false)?,
            lock_on_entry: config.get_or("lock-on-entry", false)?,
            on_violation: config
                .choice("on-violation", &Answer::NAMES)?
                .unwrap_or(Answer::Deny),
        };
        match settings.contradiction() {
            Some(text) => Err(text.into()),
            None => Ok(settings),
        }
    }

    /// The registers whose writes are judged.
    pub(crate) fn guarded(&self) -> impl Iterator<Item = u32> {
        let efer = self.efer.then_some(efer::MSR);
        self.msrs.iter().copied().chain(efer)
    }

    fn contradiction(&self) -> Option<&'static str> {
        if self.msrs.contains(&efer::MSR) {
            return Some(
                "`msrs` names EFER, which cannot be pinned: it has a rule of its own, `efer`",
            );
        }
        // No filter would mean: every MSR there is.
        if self.guarded().next().is_none() {
            return Some("`msrs` is empty and `efer` is off: nothing is left to guard");
        }
        if self.lock_on_entry && !self.msrs.contains(&LSTAR) {
            return Some(
                "`lock-on-entry` waits for LSTAR (0xc0000082), which `msrs` does not name",
            );
        }
        None
    }
}
