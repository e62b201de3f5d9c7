//! Instances and events on the bench.

use super::*;
use crate::{Host, Metrics, Rings, Scope, msr};

/// Hears kernel writes of one MSR, and records where it is and which event it sees.
struct Recorder {
    place: Place,
}

impl Policy for Recorder {
    fn init(config: &mut Config, place: Place, host: &mut impl Host) -> Result<Self, Failure> {
        host.count("begun", 1);
        if config.get_or("refuse", false)? {
            return Err("told to refuse".into());
        }
        Ok(Self { place })
    }
}

impl Judge<msr::Write> for Recorder {
    fn filters(&self) -> Vec<msr::Filter> {
        assert!(matches!(self.place, Place::Probe));
        let scope = Scope::at(Rings::RING0);
        vec![msr::Filter {
            scope,
            ..msr::Filter::one(0x10)
        }]
    }

    fn judge(&mut self, at: &Moment, _: msr::Write, host: &mut impl Metrics) -> msr::Verdict {
        let place = match self.place {
            Place::Vcpu(vcpu) => i64::from(vcpu),
            Place::Vm => -1,
            Place::Probe | Place::Tick => -2,
        };
        host.gauge("place", place);
        host.record("seq", at.seq);
        host.record("time", at.time_ns);
        msr::Verdict::Continue
    }
}

const WRITE: msr::Write = msr::Write::new(0x10, 0, 1);

fn bench() -> Result<Bench<Recorder>, Failure> {
    Bench::new(Config::new())
}

#[test]
fn an_event_that_no_filter_wants_is_not_delivered_and_has_no_number() -> Result<(), Failure> {
    let mut bench = bench()?;
    assert_eq!(bench.raise(0, msr::Write::new(0x11, 0, 1)), None);
    bench.engine.vcpus[0].cpl = 3;
    assert_eq!(bench.raise(0, WRITE), None);
    bench.engine.vcpus[0].cpl = 0;
    assert_eq!(bench.raise(0, WRITE), Some(msr::Verdict::Continue));
    assert_eq!(bench.engine.records["seq"], [1]);
    Ok(())
}

#[test]
fn numbers_count_per_vcpu_and_time_goes_on() -> Result<(), Failure> {
    let mut bench = bench()?;
    for vcpu in [0, 1, 0] {
        bench.raise(vcpu, WRITE);
    }
    assert_eq!(bench.engine.records["seq"], [1, 1, 2]);
    assert_eq!(bench.engine.records["time"], [0, 1_000_000, 2_000_000]);
    Ok(())
}

#[test]
fn each_vcpu_has_its_instance_and_a_crash_makes_them_anew() -> Result<(), Failure> {
    let mut bench = bench()?;
    for vcpu in [0, 3, 3] {
        bench.raise(vcpu, WRITE);
    }
    assert_eq!(bench.engine.gauges["place"], 3);
    assert_eq!(bench.engine.counters["begun"], 2);
    bench.crash();
    bench.raise(3, WRITE);
    assert_eq!(bench.engine.counters["begun"], 3);
    Ok(())
}

#[test]
fn one_instance_can_judge_for_all_vcpus() -> Result<(), Failure> {
    let mut bench = bench()?.per_vm();
    for vcpu in [0, 3] {
        bench.raise(vcpu, WRITE);
    }
    assert_eq!(bench.engine.gauges["place"], -1);
    assert_eq!(bench.engine.counters["begun"], 1);
    Ok(())
}

#[test]
fn a_policy_that_refuses_its_configuration_is_not_loaded() {
    let config = Config::new().with("refuse", true);
    let failure = Bench::<Recorder>::new(config).err();
    assert_eq!(failure.map(String::from).as_deref(), Some("told to refuse"));
    let config = Config::new().with("lokc", true);
    let failure = Bench::<Recorder>::new(config).err();
    let said = "there is no setting `lokc`; there is: refuse";
    assert_eq!(failure.map(String::from).as_deref(), Some(said));
}
