//! The MSR filter: which accesses KVM hands to us (`KVM_X86_SET_MSR_FILTER`; KVM API, 4.97).

use std::{io, ops::RangeInclusive};

use kvm_ioctls::{MsrFilterDefaultAction, MsrFilterRange, MsrFilterRangeFlags, VmFd};

use super::msr_rules;
use crate::{ArmError, Ranges, Wants};
use oriel_protocol::EventKind;

/// Where processors have MSRs. Of wide ranges, only what lies here is looked for.
const WINDOWS: [RangeInclusive<u32>; 3] = [
    0..=0x2fff,
    0xc000_0000..=0xc000_2fff,
    0xc001_0000..=0xc001_2fff,
];

/// The most ranges that KVM takes.
const MOST_RANGES: usize = 16;

/// A range of up to so many MSRs means each of them: numbers that were wanted one by one and
/// happen to touch are one range by the time they come here.
const BY_NUMBER: u64 = 16;

/// What KVM is to hand over, and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct MsrFilter(Vec<Window>);

/// A row of MSRs, each of which is let through where its bit is set.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Window {
    write: bool,
    base: u32,
    count: u32,
    bitmap: Vec<u8>,
}

impl MsrFilter {
    /// The filter for these wants. `may` says whether this KVM can filter writes to an MSR (true) or
    /// reads of it, or why not.
    ///
    /// # Errors
    /// [`ArmError::Unsupported`] names an MSR that is wanted by its number and cannot be filtered;
    /// within ranges of more than sixteen such MSRs are left out.
    pub(super) fn new(
        wants: &Wants,
        may: impl Fn(u32, bool) -> Result<(), &'static str>,
    ) -> Result<Self, ArmError> {
        let mut windows = Vec::new();
        for (kind, ranges, write) in [
            (EventKind::Msr, &wants.msr_writes, true),
            (EventKind::MsrRead, &wants.msr_reads, false),
        ] {
            if wants.kind(kind) {
                let may = |msr| may(msr, write);
                check_numbers(ranges, &may)?;
                windows.extend(rows(ranges, write, &may));
            }
        }
        if windows.len() > MOST_RANGES {
            return Err(unsupported(
                "so many MSRs far apart",
                format!(
                    "KVM's filter has {MOST_RANGES} ranges, and {} are needed",
                    windows.len()
                ),
            ));
        }
        Ok(Self(windows))
    }

    /// Tells KVM.
    pub(super) fn install(&self, vm: &VmFd) -> io::Result<()> {
        let ranges: Vec<_> = self.0.iter().map(Window::range).collect();
        Ok(vm.set_msr_filter(MsrFilterDefaultAction::ALLOW, &ranges)?)
    }

    #[cfg(test)]
    fn catches(&self, msr: u32, write: bool) -> bool {
        self.0
            .iter()
            .any(|window| window.write == write && window.catches(msr))
    }
}

fn unsupported(what: impl Into<String>, reason: impl Into<String>) -> ArmError {
    ArmError::Unsupported {
        what: what.into(),
        reason: reason.into(),
    }
}

/// The ranges that mean each of their numbers.
fn by_number(ranges: &Ranges<u64>) -> impl Iterator<Item = RangeInclusive<u64>> {
    ranges
        .iter()
        .filter(|range| range.end() - range.start() < BY_NUMBER)
        .cloned()
}

/// Each MSR that is wanted by its number has to be filterable.
fn check_numbers(
    ranges: &Ranges<u64>,
    may: &impl Fn(u32) -> Result<(), &'static str>,
) -> Result<(), ArmError> {
    for number in by_number(ranges).flatten() {
        let no = |reason| unsupported(format!("MSR {number:#x}"), reason);
        let msr = u32::try_from(number).map_err(|_| no("MSRs have 32-bit numbers"))?;
        may(msr).map_err(no)?;
    }
    Ok(())
}

/// The windows in which something is wanted, and a row for what is wanted by number elsewhere.
fn rows(
    ranges: &Ranges<u64>,
    write: bool,
    may: &impl Fn(u32) -> Result<(), &'static str>,
) -> Vec<Window> {
    let elsewhere = by_number(ranges).filter_map(|range| {
        let (first, last) = (
            u32::try_from(*range.start()).ok()?,
            u32::try_from(*range.end()).ok()?,
        );
        let inside = WINDOWS
            .iter()
            .any(|window| window.contains(&first) && window.contains(&last));
        (!inside).then_some(first..=last)
    });
    let windows = WINDOWS.into_iter().chain(elsewhere);
    windows
        .filter_map(|window| {
            let wanted = |msr: &u32| ranges.contains(u64::from(*msr)) && may(*msr).is_ok();
            Window::of(window.clone().filter(wanted).collect(), window, write)
        })
        .collect()
}

impl Window {
    /// A window that hands over these MSRs; none if there are none.
    fn of(msrs: Vec<u32>, window: RangeInclusive<u32>, write: bool) -> Option<Self> {
        if msrs.is_empty() {
            return None;
        }
        let (base, count) = (*window.start(), window.end() - window.start() + 1);
        // KVM copies whole 64-bit words.
        let mut bitmap = vec![0xff; count.div_ceil(64) as usize * 8];
        for msr in msrs {
            let bit = msr - base;
            bitmap[(bit / 8) as usize] &= !(1 << (bit % 8));
        }
        Some(Self {
            write,
            base,
            count,
            bitmap,
        })
    }

    fn range(&self) -> MsrFilterRange<'_> {
        let flags = if self.write {
            MsrFilterRangeFlags::WRITE
        } else {
            MsrFilterRangeFlags::READ
        };
        MsrFilterRange {
            flags,
            base: self.base,
            msr_count: self.count,
            bitmap: &self.bitmap,
        }
    }

    #[cfg(test)]
    fn catches(&self, msr: u32) -> bool {
        let bit = msr.wrapping_sub(self.base);
        bit < self.count && self.bitmap[(bit / 8) as usize] & (1 << (bit % 8)) == 0
    }
}

/// Whether writes to an MSR, or reads of it, may be filtered on a KVM that knows the MSRs in `known`,
/// lowest first. What is read is answered as what is written is carried out: by the same rules.
pub(super) fn may_filter(msr: u32, write: bool, known: &[u32]) -> Result<(), &'static str> {
    let class = msr_rules::class(msr).map_err(|foreign| match write {
        true => foreign.of_writes(),
        false => foreign.of_reads(),
    })?;
    match class {
        msr_rules::Class::Unknown if known.binary_search(&msr).is_ok() => Err(match write {
            true => "KVM may treat a host's write to it otherwise than a guest's",
            false => "KVM may answer a host's read of it otherwise than a guest's",
        }),
        msr_rules::Class::Unknown
        | msr_rules::Class::Exact
        | msr_rules::Class::Adjusted
        | msr_rules::Class::Address
        | msr_rules::Class::Efer
        | msr_rules::Class::MiscEnable
        | msr_rules::Class::TscAux => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use oriel_protocol::x86::msr;

    use super::*;

    fn wants(writes: Ranges<u64>, reads: Ranges<u64>) -> Wants {
        Wants {
            events: [EventKind::Msr, EventKind::MsrRead].into_iter().collect(),
            msr_writes: writes,
            msr_reads: reads,
            ..Wants::default()
        }
    }

    fn one(msr: u32) -> Ranges<u64> {
        [u64::from(msr)..=u64::from(msr)].into_iter().collect()
    }

    fn may(msr: u32, write: bool) -> Result<(), &'static str> {
        may_filter(msr, write, &[0x1fc])
    }

    #[test]
    fn nothing_is_caught_but_what_is_wanted() {
        let filter = MsrFilter::new(&wants(one(msr::LSTAR), one(msr::EFER)), may).unwrap();
        assert!(filter.catches(msr::LSTAR, true) && filter.catches(msr::EFER, false));
        assert!(!filter.catches(msr::LSTAR, false) && !filter.catches(msr::EFER, true));
        assert!(!filter.catches(msr::STAR, true));
    }

    #[test]
    fn everything_means_everything_that_may_be_filtered() {
        let filter = MsrFilter::new(&wants(Ranges::all(), Ranges::all()), may).unwrap();
        for msr in [msr::LSTAR, msr::SYSENTER_CS, msr::PAT, 0x1337, 0xc001_1337] {
            assert!(
                filter.catches(msr, true) && filter.catches(msr, false),
                "{msr:#x}"
            );
        }
        for msr in [0x10, 0x1b, 0x830, 0x10a, 0x1fc] {
            assert!(
                !filter.catches(msr, true) && !filter.catches(msr, false),
                "{msr:#x}"
            );
        }
        assert!(filter.0.len() <= MOST_RANGES);
    }

    #[test]
    fn an_msr_wanted_by_its_number_is_caught_or_named() {
        let outside = MsrFilter::new(&wants(one(0xdead_beef), Ranges::NONE), may).unwrap();
        assert!(outside.catches(0xdead_beef, true));
        let clock = MsrFilter::new(&wants(one(0x10), Ranges::NONE), may).unwrap_err();
        assert!(clock.to_string().contains("MSR 0x10"), "{clock}");
        let neighbours = [0xf..=0xf, 0x10..=0x10].into_iter().collect();
        let clock = MsrFilter::new(&wants(neighbours, Ranges::NONE), may).unwrap_err();
        assert!(clock.to_string().contains("MSR 0x10"), "{clock}");
        let too_far = [1 << 40..=1 << 40].into_iter().collect();
        assert!(MsrFilter::new(&wants(too_far, Ranges::NONE), may).is_err());
    }

    #[test]
    fn a_read_is_refused_with_a_reason_that_is_about_reads() {
        let refused = |wants: &Wants| MsrFilter::new(wants, may).unwrap_err().to_string();
        for (msr, words) in [
            (0x10, "goes on by itself"),
            (0x1b, "no reads"),
            (0x10a, "a guest's read faults"),
            (0x1fc, "a host's read"),
            (0xc1, "goes on by itself"),
            (0x830, "never filters x2APIC"),
            (0x4b56_4d01, "KVM's own clock"),
        ] {
            let read = refused(&wants(Ranges::NONE, one(msr)));
            assert!(read.contains(words) && !read.contains("write to"), "{read}");
            assert!(!refused(&wants(one(msr), Ranges::NONE)).contains("host's read"));
        }
    }

    #[test]
    fn what_may_be_filtered_is_the_same_for_reads_and_writes() {
        let mut all = WINDOWS.into_iter().flatten();
        let apart = all.find(|msr| may(*msr, true).is_ok() != may(*msr, false).is_ok());
        assert_eq!(apart, None, "a filtered read has to be answerable");
    }

    #[test]
    fn more_ranges_than_kvm_has_are_refused() {
        let scattered = (1..=20u64).map(|n| n << 24..=n << 24).collect();
        assert!(MsrFilter::new(&wants(scattered, Ranges::NONE), may).is_err());
    }

    #[test]
    fn a_kind_that_nobody_listens_to_filters_nothing() {
        let mut wants = wants(Ranges::all(), Ranges::all());
        wants.events.remove(EventKind::MsrRead);
        let filter = MsrFilter::new(&wants, may).unwrap();
        assert!(!filter.catches(msr::LSTAR, false) && filter.catches(msr::LSTAR, true));
        wants.events.remove(EventKind::Msr);
        assert_eq!(MsrFilter::new(&wants, may).unwrap(), MsrFilter::default());
    }
}
