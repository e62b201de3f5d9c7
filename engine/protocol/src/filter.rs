//! Which events a judge wants to see: declared by the judge, evaluated by the engine before any
//! of the judge's code runs.

use crate::{
    Access, Event, EventData, EventKind, Gpa,
    events::{
        Breakpoint, Cpuid, Cr, Descriptor, Hypercall, Mmio, Msr, MsrRead, Page, Pio, Table, Trap,
        Xsetbv,
    },
    set::flags,
};

flags! {
    /// Privilege levels.
    pub struct Rings: u8 {
        /// The kernel's.
        RING0 = 1, "ring0";
        /// Unused by today's systems.
        RING1 = 1 << 1, "ring1";
        /// Unused by today's systems.
        RING2 = 1 << 2, "ring2";
        /// The user's.
        RING3 = 1 << 3, "ring3";
    }
}

/// Narrows a filter to one address space or to privilege levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Only while CR3 names these tables: bits 12 to 51 are compared.
    pub cr3: Option<u64>,
    /// Only at these levels; none: at all of them.
    pub rings: Rings,
}

impl Scope {
    const TABLES: u64 = 0x000f_ffff_ffff_f000;

    /// Whether an event in this address space and at this level is meant.
    pub const fn covers(&self, cr3: u64, cpl: u8) -> bool {
        let space = match self.cr3 {
            Some(wanted) => (wanted ^ cr3) & Self::TABLES == 0,
            None => true,
        };
        space && (self.rings.is_empty() || self.rings.bits() & (1 << (cpl & 3)) != 0)
    }
}

/// One alternative of a judge's filters for a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The kind that is meant.
    pub kind: EventKind,
    /// What of the kind.
    pub only: Only,
    /// Where.
    pub scope: Scope,
}

/// What of a kind is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Only {
    /// All of it.
    Any,
    /// Writes to this control register that change one of these bits (0: any).
    Cr {
        /// 0, 3 or 4.
        cr: u8,
        /// The bits.
        changed: u64,
    },
    /// Numbers in this range: MSRs, XCRs, hypercalls, CPUID functions, vectors.
    Numbers {
        /// The lowest.
        first: u64,
        /// The highest.
        last: u64,
    },
    /// Ports or addresses in this range.
    Io {
        /// The lowest.
        first: u64,
        /// The highest.
        last: u64,
        /// Input, loads.
        reads: bool,
        /// Output, stores.
        writes: bool,
    },
    /// Accesses to pages in this range.
    Page {
        /// The lowest address.
        first: Gpa,
        /// The highest address.
        last: Gpa,
        /// Any of these.
        access: Access,
    },
    /// Breakpoints.
    Breakpoint {
        /// The judge's own with a tag from here.
        first_tag: u64,
        /// To here.
        last_tag: u64,
        /// And those nobody placed through Oriel.
        unmanaged: bool,
    },
    /// A descriptor-table register.
    Table {
        /// Which.
        table: Table,
        /// When it is stored.
        reads: bool,
        /// When it is loaded.
        writes: bool,
    },
}

impl Filter {
    /// Everything of a kind.
    pub const fn any(kind: EventKind) -> Self {
        Self {
            kind,
            only: Only::Any,
            scope: Scope {
                cr3: None,
                rings: Rings::NONE,
            },
        }
    }

    /// Whether the event is meant. `tag` is the judge's own name for what was hit, if any.
    pub fn accepts(&self, event: &Event, tag: Option<u64>) -> bool {
        self.kind == event.kind()
            && self.scope.covers(event.cr3, event.cpl)
            && self.only.accepts(&event.data, tag)
    }
}

impl Only {
    fn accepts(&self, data: &EventData, tag: Option<u64>) -> bool {
        match (*self, data) {
            (Self::Any, _) => true,
            (Self::Cr { cr, changed }, EventData::Cr(Cr { cr: hit, old, new })) => {
                cr == *hit && (changed == 0 || (old ^ new) & changed != 0)
            }
            (Self::Numbers { first, last }, _) => {
                number(data).is_some_and(|number| (first..=last).contains(&number))
            }
            (
                Self::Io {
                    first,
                    last,
                    reads,
                    writes,
                },
                _,
            ) => io(data).is_some_and(|(at, write)| {
                (first..=last).contains(&at) && if write { writes } else { reads }
            }),
            (
                Self::Page {
                    first,
                    last,
                    access,
                },
                EventData::Page(Page {
                    gpa, access: hit, ..
                }),
            ) => (first..=last).contains(gpa) && access.intersects(*hit),
            (
                Self::Breakpoint {
                    first_tag,
                    last_tag,
                    unmanaged,
                },
                EventData::Breakpoint(hit),
            ) => breakpoint(hit, tag, first_tag, last_tag, unmanaged),
            (
                Self::Table {
                    table,
                    reads,
                    writes,
                },
                EventData::Descriptor(Descriptor { table: hit, write }),
            ) => table == *hit && if *write { writes } else { reads },
            (
                Self::Cr { .. } | Self::Page { .. } | Self::Breakpoint { .. } | Self::Table { .. },
                _,
            ) => false,
        }
    }
}

fn breakpoint(hit: &Breakpoint, tag: Option<u64>, first: u64, last: u64, unmanaged: bool) -> bool {
    match tag {
        Some(tag) => (first..=last).contains(&tag),
        None => unmanaged && !hit.managed,
    }
}

/// The number that [`Only::Numbers`] compares.
const fn number(data: &EventData) -> Option<u64> {
    Some(match data {
        EventData::Msr(Msr { msr, .. }) | EventData::MsrRead(MsrRead { msr, .. }) => *msr as u64,
        EventData::Xsetbv(Xsetbv { xcr, .. }) => *xcr as u64,
        EventData::Hypercall(Hypercall { number, .. }) => *number,
        EventData::Cpuid(Cpuid { function, .. }) => *function as u64,
        EventData::Trap(Trap { vector, .. }) => *vector as u64,
        EventData::Cr(_)
        | EventData::Breakpoint(_)
        | EventData::Page(_)
        | EventData::Descriptor(_) => return None,
        EventData::CreateVcpu(_)
        | EventData::Pause(_)
        | EventData::Singlestep(_)
        | EventData::Unhook(_) => {
            return None;
        }
        EventData::CommandError(_) | EventData::Pio(_) | EventData::Mmio(_) => return None,
        EventData::Reset(_) | EventData::Shutdown(_) => return None,
    })
}

/// The address and direction that [`Only::Io`] compares.
const fn io(data: &EventData) -> Option<(u64, bool)> {
    if let EventData::Pio(Pio { port, write, .. }) = data {
        return Some((*port as u64, *write));
    }
    if let EventData::Mmio(Mmio { gpa, write, .. }) = data {
        return Some((*gpa, *write));
    }
    None
}

/// What a judge sees of a kind without answering: may be sampled and limited in rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    /// The kind.
    pub kind: EventKind,
    /// One event in this many; 0 and 1: every one.
    pub one_in: u32,
    /// At most so many a second and vCPU; 0: no limit.
    pub per_second: u32,
    /// Where.
    pub scope: Scope,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{VerdictSet, x86::CpuidLeaf};

    fn event(data: impl Into<EventData>) -> Event {
        Event {
            data: data.into(),
            ip: 0,
            cr3: 0x1000,
            cpl: 3,
            allowed: VerdictSet::CONTINUE,
            retired: false,
        }
    }

    fn filter(kind: EventKind, only: Only) -> Filter {
        Filter {
            only,
            ..Filter::any(kind)
        }
    }

    #[test]
    fn a_number_range_has_both_its_ends() {
        let lstar = filter(
            EventKind::Msr,
            Only::Numbers {
                first: 0x80,
                last: 0x82,
            },
        );
        for (msr, meant) in [(0x7f, false), (0x80, true), (0x82, true), (0x83, false)] {
            assert_eq!(
                lstar.accepts(
                    &event(Msr {
                        msr,
                        old: 0,
                        new: 1
                    }),
                    None
                ),
                meant,
                "{msr:#x}"
            );
        }
    }

    #[test]
    fn a_filter_is_for_its_own_kind() {
        let all = filter(
            EventKind::Msr,
            Only::Numbers {
                first: 0,
                last: u64::MAX,
            },
        );
        let cpuid = event(Cpuid {
            function: 1,
            index: 0,
            leaf: CpuidLeaf::default(),
        });
        assert!(!all.accepts(&cpuid, None));
    }

    #[test]
    fn scope_compares_tables_not_flags_of_cr3() {
        let scope = Scope {
            cr3: Some(0x1000),
            rings: Rings::RING3,
        };
        assert!(scope.covers(0x8000_0000_0000_1018, 3));
        assert!(!scope.covers(0x2000, 3));
        assert!(!scope.covers(0x1000, 0));
    }

    #[test]
    fn anothers_breakpoint_is_not_delivered() {
        let mine = filter(
            EventKind::Breakpoint,
            Only::Breakpoint {
                first_tag: 0,
                last_tag: 9,
                unmanaged: true,
            },
        );
        let managed = event(Breakpoint {
            gva: 0,
            gpa: 0,
            length: 1,
            managed: true,
            access: Access::EXECUTE,
        });
        let guests_own = event(Breakpoint {
            gva: 0,
            gpa: 0,
            length: 1,
            managed: false,
            access: Access::EXECUTE,
        });
        assert!(mine.accepts(&managed, Some(9)));
        assert!(!mine.accepts(&managed, Some(10)));
        assert!(!mine.accepts(&managed, None), "somebody else's");
        assert!(mine.accepts(&guests_own, None));
    }

    #[test]
    fn a_cr_filter_looks_at_the_bits_that_change() {
        let smep = filter(
            EventKind::Cr,
            Only::Cr {
                cr: 4,
                changed: 1 << 20,
            },
        );
        assert!(smep.accepts(
            &event(Cr {
                cr: 4,
                old: 1 << 20,
                new: 0
            }),
            None
        ));
        assert!(!smep.accepts(
            &event(Cr {
                cr: 4,
                old: 0,
                new: 1
            }),
            None
        ));
        assert!(!smep.accepts(
            &event(Cr {
                cr: 0,
                old: 1 << 20,
                new: 0
            }),
            None
        ));
    }
}
