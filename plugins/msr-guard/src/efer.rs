//! EFER, which a kernel fills bit by bit: no bit is taken back, and once it is locked none is new.
//!
//! Owns the keys under `efer/`: which bits the guest's vCPUs have had (`efer/bits`), and that
//! something was seen at user level (`efer/lock`). Answers no event.
//!
//! ```text
//!             an event at CPL 3, or with `lock-on-entry` the pin of LSTAR
//!    open ──────────────────────────────────────────────────────────────► locked
//!     ▲  bits may be added                                no bit that none had │
//!     └───────────────────────────────── reset ────────────────────────────────┘
//! ```
//! With `lock` it is locked from the start.

use oriel_sdk::{Level, Log, Moment, Refusal, Store, msr};

use crate::answer::Violation;
use crate::pin;
use crate::settings::{LSTAR, Settings};

/// The register's number.
pub(crate) const MSR: u32 = 0xC000_0080;

/// How the keys begin.
pub(crate) const KEYS: &str = "efer/";

const BITS: &str = "efer/bits";
const LOCK: &str = "efer/lock";

/// Long mode is active. The processor sets and clears it, whatever is written.
const LMA: u64 = 1 << 10;

/// How often a vCPU can lose the race for `efer/bits` to others: each winner adds a bit.
const RACES: usize = 64;

/// Whether the write takes back a bit, or adds one that is new after the lock.
pub(crate) fn check(
    settings: &Settings,
    at: &Moment,
    write: msr::Write,
    host: &mut impl Store,
) -> Result<Option<Violation>, Refusal> {
    let known = known(settings, at, write, host);
    if write.proposed == write.old {
        return Ok(None);
    }
    let known = known?;
    let taken_back = write.old & !write.proposed & !LMA;
    let new = write.proposed & !(write.old | known | LMA);
    let rule = if taken_back != 0 {
        "takes back bits of EFER"
    } else if new != 0 && is_locked(settings, at, host)? {
        "adds bits to EFER after the boot"
    } else {
        if new != 0 && !at.is_refused() {
            remember(known, write.proposed, host)?;
        }
        return Ok(None);
    };
    Ok(Some(Violation {
        rule,
        pinned: known,
    }))
}

/// Takes note that the boot is over.
pub(crate) fn lock(host: &mut (impl Log + Store)) {
    if let Err(refusal) = host.set_number(LOCK, 1) {
        let message = format!("EFER stays open, as the store refuses the lock: {refusal}");
        host.log(Level::Error, &message);
    }
}

fn is_locked(settings: &Settings, at: &Moment, host: &mut impl Store) -> Result<bool, Refusal> {
    let by_entry = settings.lock_on_entry && pin::exists(settings, at, LSTAR, host)?;
    Ok(settings.lock || by_entry || host.get_number(LOCK)?.is_some())
}

/// The bits that the guest's vCPUs have had. Where none are known yet, they are what this vCPU
/// has; and if it is only just being started, what it is started with.
fn known(
    settings: &Settings,
    at: &Moment,
    write: msr::Write,
    host: &mut impl Store,
) -> Result<u64, Refusal> {
    let is_started = write.old & LMA != 0;
    let first = if settings.lock || is_started || at.is_refused() {
        write.old
    } else {
        write.old | write.proposed
    };
    let known = host.compare_and_swap_number(BITS, None, first)?;
    Ok(known.unwrap_or(first))
}

fn remember(mut known: u64, bits: u64, host: &mut impl Store) -> Result<(), Refusal> {
    for _ in 0..RACES {
        match host.compare_and_swap_number(BITS, Some(known), known | bits)? {
            Some(found) if found == known => return Ok(()),
            Some(found) => known = found,
            // A reset was faster: what was known is no longer.
            None => return Ok(()),
        }
    }
    Err(Refusal::Busy)
}
