//! What becomes of a write that breaks a rule, and what the operator hears of it.
//!
//! Finds no violations. Never lets a write through that it could not check.

use std::fmt::Display;

use oriel_sdk::msr::{Verdict, Write};
use oriel_sdk::{Alert, Level, Log, Moment, Refusal, Severity, hex};

use crate::efer;
use crate::settings::{CSTAR, LSTAR, STAR, SYSENTER_CS, SYSENTER_EIP, SYSENTER_ESP};

/// How a write that breaks a rule is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The instruction faults.
    Deny,
    /// The register keeps its value, and the guest is not told.
    Keep,
    /// The VM stops.
    Crash,
    /// The write happens.
    AlertOnly,
}

/// A write that breaks a rule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Violation {
    /// What it does, as the end of “the guest …”.
    pub(crate) rule: &'static str,
    /// The value, or for EFER the bits, that the register may have.
    pub(crate) pinned: u64,
}

impl Answer {
    /// Their names in the configuration.
    pub(crate) const NAMES: [(&'static str, Self); 4] = [
        ("deny", Self::Deny),
        ("keep", Self::Keep),
        ("crash", Self::Crash),
        ("alert-only", Self::AlertOnly),
    ];

    /// The verdict, or where this event cannot take it, the nearest that is as strict.
    fn verdict(self, at: &Moment, old: u64) -> Verdict {
        let wishes = match self {
            Self::Deny => [Verdict::Deny, Verdict::Replace(old)],
            Self::Keep => [Verdict::Replace(old), Verdict::Deny],
            Self::Crash => [Verdict::Crash; 2],
            Self::AlertOnly => return Verdict::Continue,
        };
        at.first_allowed(wishes).unwrap_or(Verdict::Crash)
    }

    /// The answer to a write that could not be checked: never `AlertOnly`.
    fn when_blind(self) -> Self {
        match self {
            Self::AlertOnly => Self::Deny,
            Self::Deny | Self::Keep | Self::Crash => self,
        }
    }
}

/// Answers a write that breaks a rule.
pub(crate) fn to_violation(
    answer: Answer,
    at: &Moment,
    write: Write,
    violation: Violation,
    host: &mut (impl Alert + Log),
) -> Verdict {
    let message = format!("{}: the guest {}", name(write.msr), violation.rule);
    let what: [Field<'_>; 4] = [
        ("msr", &hex(write.msr)),
        ("old", &hex(write.old)),
        ("attempted", &hex(write.new)),
        ("pinned", &hex(violation.pinned)),
    ];
    report(at, &message, &what, host);
    answer.verdict(at, write.old)
}

/// Answers a write that could not be checked, as the store refused.
pub(crate) fn to_blindness(
    answer: Answer,
    at: &Moment,
    write: Write,
    refusal: Refusal,
    host: &mut (impl Alert + Log),
) -> Verdict {
    let message = format!("{}: a write could not be checked", name(write.msr));
    let what: [Field<'_>; 4] = [
        ("msr", &hex(write.msr)),
        ("old", &hex(write.old)),
        ("attempted", &hex(write.new)),
        ("refusal", &refusal.name()),
    ];
    report(at, &message, &what, host);
    answer.when_blind().verdict(at, write.old)
}

/// Says that a reset left pins behind: the next boot will be held to them.
pub(crate) fn to_stale_pins(at: &Moment, refusal: Refusal, host: &mut (impl Alert + Log)) {
    let message = "the pins could not be cleared at a reset";
    report(at, message, &[("refusal", &refusal.name())], host);
}

type Field<'a> = (&'a str, &'a dyn Display);

/// Raises an alert that says where it happened; one that is refused is at least in the log.
fn report(at: &Moment, message: &str, what: &[Field<'_>], host: &mut (impl Alert + Log)) {
    let (ip, cr3) = (hex(at.ip), hex(at.cr3));
    let place: [Field<'_>; 4] = [
        ("vcpu", &at.vcpu),
        ("seq", &at.seq),
        ("ip", &ip),
        ("cr3", &cr3),
    ];
    if let Err(refusal) = host.alert(Severity::High, message, &[&place, what].concat()) {
        let line = format!("{message} (no alert: {refusal})");
        host.log(Level::Error, &line);
    }
}

fn name(msr: u32) -> String {
    let known = match msr {
        efer::MSR => "EFER",
        STAR => "STAR",
        LSTAR => "LSTAR",
        CSTAR => "CSTAR",
        SYSENTER_CS => "SYSENTER_CS",
        SYSENTER_ESP => "SYSENTER_ESP",
        SYSENTER_EIP => "SYSENTER_EIP",
        _ => return format!("MSR {}", hex(msr)),
    };
    known.to_owned()
}
