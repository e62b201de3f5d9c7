//! What it costs to set and to clear many breakpoints and page traps, by the commands that policies and
//! tools have for it, while the guest waits.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Result;
use oriel_engine::Desk;
use oriel_machine::kvm::{Protection, Shield as _};
use oriel_policy::Host;
use oriel_protocol::{
    Access, Case, EventKind,
    commands::{
        vcpu::{Place, SetBreakpoint},
        vm::{ClearBreakpoint, PageRule, SetPageAccess},
    },
};

use crate::{
    judge,
    long_mode::{self, Mode},
    vmm::Count,
};

const BREAKPOINTS: [u64; 3] = [1, 1_000, 10_000];
const PAGES: [u64; 2] = [1, 1_000];
/// Where they go: memory that the guest does not use.
const FIRST_BREAKPOINT: u64 = 0x20_0000;
const FIRST_PAGE: u64 = 0x40_0000;
const PAGE: u64 = 0x1000;
/// One of so few is measured this often, to be seen at all.
const ROUNDS: u32 = 8;

/// What was measured, how many it was of, and how long setting and clearing took.
type Cost = (&'static str, u64, Duration, Duration);

/// Prints the rows.
pub(crate) fn all(host: &Arc<Host>) -> Result<()> {
    by_commands(host)?.iter().for_each(print);
    for count in PAGES {
        print(&bare_pages(count)?);
    }
    Ok(())
}

/// Measured inside a judge, on the vCPU's own thread.
fn by_commands(host: &Arc<Host>) -> Result<Vec<Cost>> {
    let costs = Arc::new(Mutex::new(Vec::new()));
    let kept = costs.clone();
    let kinds = [EventKind::Pio, EventKind::Breakpoint, EventKind::Page];
    let measure = judge(&kinds, move |_: &Case<'_>, desk| {
        let of_breakpoints =
            BREAKPOINTS.map(|count| quickest("breakpoints", count, || breakpoints(desk, count)));
        let of_pages =
            PAGES.map(|count| quickest("page traps, one command", count, || pages(desk, count)));
        let mut costs = kept.lock().unwrap_or_else(PoisonError::into_inner);
        costs.extend(of_breakpoints.into_iter().chain(of_pages));
    });
    let mut vmm = long_mode::vmm(Mode::Kernel)?.under(host, Some(measure))?;
    vmm.judged(1, Count::Events)?;
    Ok(std::mem::take(
        &mut costs.lock().unwrap_or_else(PoisonError::into_inner),
    ))
}

/// What protecting the pages takes at the least.
fn bare_pages(count: u64) -> Result<Cost> {
    let vmm = long_mode::vmm(Mode::Kernel)?;
    let shield = vmm.shield();
    let protect = |how| {
        timed(|| {
            for page in 0..count {
                let done = shield.protect(FIRST_PAGE + page * PAGE, PAGE, how);
                assert!(done.is_ok(), "{done:?}");
            }
        })
    };
    let round = || (protect(Protection::NoWrite), protect(Protection::Open));
    Ok(quickest("pages, bare, one `mprotect` each", count, round))
}

fn print((what, count, set, clear): &Cost) {
    let us = |time: &Duration| time.as_secs_f64() * 1e6;
    let what = format!("{what}: {count}");
    println!(
        "{what:<48} {:10.2} µs to set {:10.2} µs to clear",
        us(set),
        us(clear)
    );
}

/// The quickest of some rounds; of many at once one round is enough.
fn quickest(
    what: &'static str,
    count: u64,
    mut round: impl FnMut() -> (Duration, Duration),
) -> Cost {
    let rounds = if count > 1_000 { 1 } else { ROUNDS };
    let times = (0..rounds).map(|_| round());
    let least = times.reduce(|one, other| (one.0.min(other.0), one.1.min(other.1)));
    let (set, clear) = least.unwrap_or_default();
    (what, count, set, clear)
}

fn timed(run: impl FnOnce()) -> Duration {
    let started = Instant::now();
    run();
    started.elapsed()
}

/// One command each, as there is none for many.
fn breakpoints(desk: &mut Desk, count: u64) -> (Duration, Duration) {
    let vcpu = desk.index();
    let set = timed(|| {
        for tag in 0..count {
            let place = Place::Gva(FIRST_BREAKPOINT + tag * 7);
            let placed = desk.on(vcpu, SetBreakpoint { tag, place });
            assert_eq!(placed, Ok(()));
        }
    });
    let clear = timed(|| {
        for tag in 0..count {
            assert_eq!(desk.vm(ClearBreakpoint { tag }), Ok(()));
        }
    });
    (set, clear)
}

fn pages(desk: &mut Desk, count: u64) -> (Duration, Duration) {
    let mut allow = |allowed| {
        let rule = |page| PageRule {
            gpa: FIRST_PAGE + page * PAGE,
            allowed,
            tag: 1,
        };
        let entries = (0..count).map(rule).collect();
        timed(|| {
            let done = desk.vm(SetPageAccess { view: 0, entries });
            assert_eq!(done, Ok(()));
        })
    };
    let set = allow(Access::READ | Access::EXECUTE);
    (set, allow(Access::READ | Access::WRITE | Access::EXECUTE))
}
