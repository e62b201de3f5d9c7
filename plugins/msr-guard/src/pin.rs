//! Registers that hold one value from boot to reset: the first that is written.
//!
//! Owns the keys under `pin/`. Changes no register and answers no event.

use oriel_sdk::{Moment, Refusal, Store, msr};

use crate::answer::Violation;
use crate::settings::Settings;

/// How the keys begin.
pub(crate) const KEYS: &str = "pin/";

/// Whether the write breaks a pin. The first that would change the register makes the pin,
/// unless a judge before has refused it: what never came to be pins nothing.
pub(crate) fn check(
    settings: &Settings,
    at: &Moment,
    write: msr::Write,
    host: &mut impl Store,
) -> Result<Option<Violation>, Refusal> {
    if write.proposed == write.old {
        return Ok(None);
    }
    let key = key(settings, at, write.msr);
    let pinned = if at.is_refused() {
        host.get_number(&key)?
    } else {
        host.compare_and_swap_number(&key, None, write.proposed)?
    };
    let broken = pinned.filter(|value| *value != write.proposed);
    Ok(broken.map(|pinned| Violation {
        rule: "changes a value that was pinned at boot",
        pinned,
    }))
}

/// Whether there is a pin already.
pub(crate) fn exists(
    settings: &Settings,
    at: &Moment,
    msr: u32,
    host: &mut impl Store,
) -> Result<bool, Refusal> {
    let key = key(settings, at, msr);
    Ok(host.get_number(&key)?.is_some())
}

fn key(settings: &Settings, at: &Moment, msr: u32) -> String {
    if settings.per_vcpu.contains(&msr) {
        format!("{KEYS}{msr:x}/{}", at.vcpu)
    } else {
        format!("{KEYS}{msr:x}")
    }
}
