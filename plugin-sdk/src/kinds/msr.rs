//! Writes to model-specific registers (WRMSR).
//!
//! ```
//! use oriel_sdk::msr::{self, Filter, Verdict, Write};
//!
//! /// Nobody moves the entry of system calls; what is written to TSC_AUX is cut to 32 bits.
//! fn judge(write: Write) -> Verdict {
//!     match write.msr {
//!         msr::LSTAR if write.new != write.old => Verdict::Deny,
//!         msr::TSC_AUX => Verdict::Replace(write.proposed & 0xffff_ffff),
//!         _ => Verdict::Continue,
//!     }
//! }
//!
//! let filters = [Filter::one(msr::TSC_AUX), Filter::range(msr::STAR..=msr::SFMASK)];
//! assert_eq!(filters[1].first, 0xC000_0081);
//! assert_eq!(judge(Write::new(msr::LSTAR, 1, 2)), Verdict::Deny);
//! ```

use std::ops::RangeInclusive;

use crate::bindings::hears_msr::exports::oriel::introspection::judge_msr as wit;
use crate::export::{self, Exported};
use crate::{Event, EventKind, Judge, Moment, Scope, verdict};

/// Which registers, as a range.
pub use wit::Filter;

/// The answer to such a write.
pub type Verdict = verdict::Value<u64>;

/// Where SYSENTER goes: the code segment.
pub const SYSENTER_CS: u32 = 0x174;
/// Where SYSENTER goes: the stack.
pub const SYSENTER_ESP: u32 = 0x175;
/// Where SYSENTER goes.
pub const SYSENTER_EIP: u32 = 0x176;
/// Memory types by page attributes.
pub const PAT: u32 = 0x277;
/// Features: system calls, long mode, no-execute.
pub const EFER: u32 = 0xC000_0080;
/// Segments of system calls.
pub const STAR: u32 = 0xC000_0081;
/// Where a 64-bit system call enters the kernel.
pub const LSTAR: u32 = 0xC000_0082;
/// Where a system call of 32-bit code enters the kernel.
pub const CSTAR: u32 = 0xC000_0083;
/// Flags that a system call clears.
pub const SFMASK: u32 = 0xC000_0084;
/// The base of FS.
pub const FS_BASE: u32 = 0xC000_0100;
/// The base of GS.
pub const GS_BASE: u32 = 0xC000_0101;
/// What SWAPGS puts into the base of GS.
pub const KERNEL_GS_BASE: u32 = 0xC000_0102;
/// What RDTSCP says of the processor.
pub const TSC_AUX: u32 = 0xC000_0103;

/// A write to a model-specific register, changing it or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    /// The register's number.
    pub msr: u32,
    /// What it holds.
    pub old: u64,
    /// What the guest writes.
    pub new: u64,
    /// That value as the judges before this one left it.
    pub proposed: u64,
}

impl Write {
    /// A write that no judge has seen yet.
    pub const fn new(msr: u32, old: u64, new: u64) -> Self {
        Self {
            msr,
            old,
            new,
            proposed: new,
        }
    }
}

impl Filter {
    /// One register.
    pub const fn one(msr: u32) -> Self {
        Self::range(msr..=msr)
    }

    /// A range of registers.
    pub const fn range(msrs: RangeInclusive<u32>) -> Self {
        Self {
            first: *msrs.start(),
            last: *msrs.end(),
            scope: Scope::ANYWHERE,
        }
    }
}

impl Event for Write {
    type Filter = Filter;
    type Verdict = Verdict;
    const KIND: EventKind = EventKind::Msr;

    fn meets(&self, filter: &Filter) -> bool {
        (filter.first..=filter.last).contains(&self.msr)
    }

    fn scope(filter: &Filter) -> &Scope {
        &filter.scope
    }
}

impl From<Verdict> for wit::Verdict {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Continue => Self::Continue,
            Verdict::Retry => Self::Retry,
            Verdict::Crash => Self::Crash,
            Verdict::Replace(value) => Self::Replace(value),
            Verdict::Deny => Self::Deny,
            Verdict::Skip => Self::Skip,
            Verdict::Inject(exception) => Self::Inject(exception),
        }
    }
}

impl<X: Exported> wit::Guest for X
where
    X::Policy: Judge<Write>,
{
    fn filters() -> Vec<Filter> {
        export::filters::<X, Write>()
    }

    fn judge(at: Moment, msr: u32, old: u64, new: u64, proposed: u64) -> wit::Verdict {
        let write = Write {
            msr,
            old,
            new,
            proposed,
        };
        export::judge::<X, _>(&at, write).into()
    }
}
