//! What is heard on the bench besides events to judge.

use super::*;
use crate::state::Saved;
use crate::testing::Command;
use crate::{Config, EventKind, Host, Judge, Metrics, Moment, Refusal, Rings, Scope, Store, cpuid};

/// Counts the CPUIDs of one vCPU in its own memory.
struct Counter {
    place: Place,
    count: u8,
}

impl Policy for Counter {
    fn init(_: &mut Config, place: Place, _: &mut impl Host) -> Result<Self, Failure> {
        Ok(Self { place, count: 0 })
    }
}

impl Judge<cpuid::Query> for Counter {
    fn judge(&mut self, _: &Moment, _: cpuid::Query, host: &mut impl Metrics) -> cpuid::Verdict {
        self.count += 1;
        host.record("count", self.count.into());
        cpuid::Verdict::Continue
    }
}

impl State for Counter {
    fn save(&mut self, _: &mut impl Host) -> Result<Saved, Failure> {
        let data = vec![self.count];
        Ok(Saved { schema: 1, data })
    }

    fn restore(&mut self, saved: Saved, _: u64, host: &mut impl Store) -> Result<(), Failure> {
        host.add_number("restored", 1)?;
        self.count = saved.data[0];
        Ok(())
    }
}

impl Observe for Counter {
    fn filters(&self) -> Vec<observe::Filter> {
        let user = Scope::at(Rings::RING3);
        let all = observe::Filter::of(EventKind::Cpuid);
        vec![observe::Filter { scope: user, ..all }]
    }

    fn observe(&mut self, at: &Moment, _: observe::Seen, host: &mut impl Metrics) {
        host.record("seq", at.seq);
    }
}

impl Tick for Counter {
    fn tick(&mut self, _: u64, missed: u32, host: &mut impl Metrics) {
        self.count += 1;
        assert!(matches!(self.place, Place::Tick));
        host.record("tick", u64::from(self.count) + u64::from(missed));
    }
}

fn bench() -> Result<Bench<Counter>, Failure> {
    Bench::new(Config::new())
}

fn cpuid(bench: &mut Bench<Counter>) {
    let query = cpuid::Query {
        function: 1,
        index: 0,
        proposed: crate::CpuidLeaf {
            eax: 0,
            ebx: 0,
            ecx: 0,
            edx: 0,
        },
    };
    bench.raise(0, query);
}

#[test]
fn a_swap_carries_what_was_saved_and_a_crash_carries_nothing() -> Result<(), Failure> {
    let mut bench = bench()?;
    cpuid(&mut bench);
    bench.swap(0)?;
    cpuid(&mut bench);
    bench.crash();
    cpuid(&mut bench);
    assert_eq!(bench.engine.records["count"], [1, 2, 1]);
    Ok(())
}

#[test]
fn a_swap_that_fails_leaves_the_old_instance() -> Result<(), Failure> {
    let mut bench = bench()?;
    cpuid(&mut bench);
    bench.engine.refuse(Command::AddNumber, Refusal::Limit);
    assert!(bench.swap(0).is_err());
    cpuid(&mut bench);
    assert_eq!(bench.engine.records["count"], [1, 2]);
    Ok(())
}

#[test]
fn an_observer_sees_what_its_scope_covers_and_shares_the_numbers() -> Result<(), Failure> {
    let mut bench = bench()?;
    let seen = observe::Seen {
        kind: EventKind::Cpuid,
        values: [0; 4],
    };
    assert!(!bench.observe(0, seen));
    cpuid(&mut bench);
    bench.engine.vcpus[0].cpl = 3;
    assert!(bench.observe(0, seen));
    assert_eq!(bench.engine.records["seq"], [2]);
    Ok(())
}

#[test]
fn the_clock_has_an_instance_of_its_own() -> Result<(), Failure> {
    let mut bench = bench()?;
    cpuid(&mut bench);
    bench.tick(0)?;
    bench.tick(10)?;
    assert_eq!(bench.engine.records["tick"], [1, 12]);
    Ok(())
}
