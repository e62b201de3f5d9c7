//! When and where an event happened, and the words that all kinds of event share.
//!
//! The types are the WIT's own; what is here makes them pleasant to use. Holds no state and
//! asks the engine nothing.

use crate::bindings::rights::oriel::introspection::types;
use crate::verdict::Answer;

/// Words that all kinds of event share.
///
/// ```
/// use oriel_sdk::{
///     Access, CpuidLeaf, Decision, EventKind, Exception, Moment, Refusal, Rings, Scope, Verdicts, msr,
/// };
///
/// let at = Moment {
///     vcpu: 0,
///     cpl: 3,
///     retired: true,
///     decided: Decision::Deny,
///     allowed: Verdicts::CONTINUE | Verdicts::REPLACE,
///     seq: 1,
///     ip: 0x40_1000,
///     cr3: 0x8000,
///     time_ns: 0,
/// };
/// // It has run already, so it cannot be made to fault.
/// assert!(!at.allows(&msr::Verdict::Deny));
/// assert!(at.is_refused(), "another judge has said no");
/// assert!(Scope::within(0x8000).covers(&at));
/// assert!(!Scope::at(Rings::RING0).covers(&at));
///
/// let page_fault = Exception { vector: 14, error_code: Some(2), address: 0xdead_000 };
/// assert_ne!(page_fault, Exception { vector: 13, ..page_fault });
/// let leaf = CpuidLeaf { eax: 0, ebx: 0, ecx: 0, edx: 0 };
/// assert_eq!(leaf, leaf);
/// assert!((Access::READ | Access::WRITE).contains(Access::READ));
/// assert_ne!(EventKind::Msr, EventKind::MsrRead);
/// assert_ne!(Refusal::Denied, Refusal::NotFound);
/// ```
pub use types::{
    Access, CpuidLeaf, Decision, EventKind, Exception, Moment, Refusal, Rings, Scope, Verdicts,
};

impl Moment {
    /// Whether this event can take that verdict.
    pub fn allows(&self, verdict: &impl Answer) -> bool {
        self.allowed.contains(verdict.kind())
    }

    /// The first of these verdicts that this event can take.
    ///
    /// ```
    /// # use oriel_sdk::{Moment, msr::Verdict};
    /// fn no(at: &Moment, old: u64) -> Verdict {
    ///     at.first_allowed([Verdict::Deny, Verdict::Replace(old)])
    ///         .unwrap_or(Verdict::Crash)
    /// }
    /// ```
    pub fn first_allowed<A: Answer>(&self, verdicts: impl IntoIterator<Item = A>) -> Option<A> {
        verdicts.into_iter().find(|verdict| self.allows(verdict))
    }

    /// Whether a judge before this one has already said that it must not happen as it would.
    /// Where it has, what the guest attempted is not what comes to be.
    pub fn is_refused(&self) -> bool {
        match self.decided {
            Decision::Continue
            | Decision::Retry
            | Decision::Replace
            | Decision::Emulate
            | Decision::Step => false,
            Decision::Crash
            | Decision::Deny
            | Decision::Skip
            | Decision::Inject
            | Decision::Keep => true,
        }
    }
}

/// Bits of CR3 that do not say which address space it is: flags and the PCID, and bit 63.
const NOT_THE_SPACE: u64 = 0x8000_0000_0000_0fff;

impl Scope {
    /// Everywhere: any address space, any privilege level.
    pub const ANYWHERE: Self = Self {
        cr3: None,
        rings: Rings::empty(),
    };

    /// At these privilege levels only.
    pub const fn at(rings: Rings) -> Self {
        Self { cr3: None, rings }
    }

    /// In this address space only.
    pub const fn within(cr3: u64) -> Self {
        Self {
            cr3: Some(cr3),
            rings: Rings::empty(),
        }
    }

    /// Whether a moment lies in it.
    pub fn covers(&self, at: &Moment) -> bool {
        let ring = Rings::from_bits_truncate(1 << at.cpl.min(3));
        let space = |cr3: u64| (cr3 ^ at.cr3) & !NOT_THE_SPACE == 0;
        self.cr3.is_none_or(space) && (self.rings.is_empty() || self.rings.contains(ring))
    }
}

impl Default for Scope {
    fn default() -> Self {
        Self::ANYWHERE
    }
}

impl PartialEq for Exception {
    fn eq(&self, other: &Self) -> bool {
        (self.vector, self.error_code, self.address)
            == (other.vector, other.error_code, other.address)
    }
}

impl Eq for Exception {}

impl PartialEq for CpuidLeaf {
    fn eq(&self, other: &Self) -> bool {
        (self.eax, self.ebx, self.ecx, self.edx) == (other.eax, other.ebx, other.ecx, other.edx)
    }
}

impl Eq for CpuidLeaf {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::msr::Verdict;

    fn moment(cpl: u8, cr3: u64) -> Moment {
        Moment {
            vcpu: 0,
            cpl,
            retired: false,
            decided: Decision::Continue,
            allowed: Verdicts::CONTINUE | Verdicts::REPLACE | Verdicts::CRASH,
            seq: 1,
            ip: 0,
            cr3,
            time_ns: 0,
        }
    }

    #[test]
    fn the_first_verdict_that_the_event_can_take_is_found() {
        let at = moment(0, 0);
        let wishes = [Verdict::Deny, Verdict::Replace(1), Verdict::Crash];
        assert_eq!(at.first_allowed(wishes), Some(Verdict::Replace(1)));
        assert_eq!(at.first_allowed([Verdict::Deny, Verdict::Skip]), None);
    }

    #[test]
    fn a_scope_knows_an_address_space_by_its_page_table_alone() {
        let scope = Scope::within(0x1234_5001);
        assert!(scope.covers(&moment(3, 0x8000_0000_1234_5fff)));
        assert!(!scope.covers(&moment(3, 0x1234_6001)));
    }

    #[test]
    fn a_scope_without_rings_is_all_of_them() {
        assert!(Scope::ANYWHERE.covers(&moment(2, 0)));
        assert!(Scope::at(Rings::RING0 | Rings::RING3).covers(&moment(3, 0)));
        assert!(!Scope::at(Rings::RING0).covers(&moment(3, 0)));
    }
}
