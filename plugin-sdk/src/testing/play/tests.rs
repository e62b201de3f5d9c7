//! Scenarios played natively.

use std::time::Duration;

use super::scenario::{End, Scenario, Verdict};
use crate::export::{Exports, Told};
use crate::state::Saved;
use crate::testing::Bench;
use crate::{
    Access, BreakpointPlace, Config, CreateVcpu, EventKind, Failure, Host, Judge, Metrics, Moment,
    Observe, Place, Policy, Register, State, Tick, Unhook, breakpoint, msr, observe, page,
};

/// Does what the written value says.
struct Actor {
    seen: u64,
}

impl Policy for Actor {
    fn init(_: &mut Config, place: Place, host: &mut impl Host) -> Result<Self, Failure> {
        if let Place::Vcpu(_) = place {
            host.set_page_access(0x5000, Access::READ, 77)
                .map_err(words)?;
            host.set_breakpoint(0, BreakpointPlace::Gva(0x7000), 9)
                .map_err(words)?;
        }
        Ok(Self { seen: 0 })
    }
}

fn words(refusal: crate::Refusal) -> String {
    format!("{refusal:?}")
}

impl Judge<msr::Write> for Actor {
    fn judge(&mut self, at: &Moment, write: msr::Write, host: &mut impl Host) -> msr::Verdict {
        self.seen += 1;
        host.record("seen", self.seen);
        match write.new {
            1 => msr::Verdict::Deny,
            2 => msr::Verdict::Replace(20),
            3 => {
                let gpa = host.translate(at.vcpu, 0x6000).unwrap_or(0);
                let word = host.read_u64(gpa).unwrap_or(0);
                let _ = host.write_memory(gpa + 8, &(word + 1).to_le_bytes());
                let _ = host.set_register(at.vcpu, Register::Rbx, word);
                msr::Verdict::Continue
            }
            4 => panic!("told to"),
            5 => msr::Verdict::Crash,
            _ => msr::Verdict::Continue,
        }
    }
}

impl Judge<page::Touch> for Actor {
    fn judge(&mut self, _: &Moment, touch: page::Touch, _: &mut impl Host) -> page::Verdict {
        assert_eq!((touch.tag, touch.access), (77, Access::WRITE));
        page::Verdict::Replace(touch.proposed + 1)
    }
}

impl Judge<breakpoint::Hit> for Actor {
    fn judge(
        &mut self,
        _: &Moment,
        hit: breakpoint::Hit,
        _: &mut impl Host,
    ) -> breakpoint::Verdict {
        assert_eq!((hit.tag, hit.managed), (9, true));
        breakpoint::Verdict::Skip
    }
}

impl State for Actor {
    fn save(&mut self, _: &mut impl Host) -> Result<Saved, Failure> {
        Saved::encode(1, &self.seen)
    }

    fn restore(&mut self, saved: Saved, _: u64, _: &mut impl Host) -> Result<(), Failure> {
        self.seen = saved.decode(1)?;
        Ok(())
    }
}

impl Tick for Actor {
    fn tick(&mut self, time_ns: u64, _: u32, host: &mut impl Metrics) {
        host.record("ticks", time_ns / 1_000_000);
    }
}

impl CreateVcpu for Actor {
    fn created(&mut self, at: &Moment, host: &mut impl Metrics) {
        host.record("created", at.vcpu.into());
    }
}

impl Unhook for Actor {
    fn unhooking(&mut self, host: &mut impl Metrics) {
        host.count("unhooked", 1);
    }
}

impl Observe for Actor {
    fn filters(&self) -> Vec<observe::Filter> {
        let all = observe::Filter::of(EventKind::Cpuid);
        vec![observe::Filter { one_in: 2, ..all }]
    }

    fn observe(&mut self, _: &Moment, seen: observe::Seen, host: &mut impl Metrics) {
        host.record("cpuid", seen.values[0]);
    }
}

/// As `export!` says it, which works from outside this crate only.
impl Exports for Actor {
    fn tell(to: &mut impl Told<Self>) {
        to.judges::<msr::Write>();
        to.judges::<page::Touch>();
        to.judges::<breakpoint::Hit>();
        to.saves();
        to.ticks();
        to.hears_of_vcpus();
        to.hears_of_the_end();
        to.observes();
    }
}

fn scenario(text: &str) -> Scenario {
    Scenario::parse(text, "test").expect("a scenario of ours")
}

fn writes(values: &[u64]) -> Scenario {
    let step = |value: &u64| {
        format!(
            "[[step]]\nevent = 'msr'\nmsr = 0x8b\nvalue = {value}\nexpect = {{ verdict = 'continue' }}\n"
        )
    };
    let steps: String = values.iter().map(step).collect();
    scenario(&format!("{steps}[[step]]\nfinish = 3\n"))
}

fn bench() -> Result<Bench<Actor>, Failure> {
    Bench::new(Config::new())
}

#[test]
fn verdicts_and_commands_change_the_guest() -> Result<(), Failure> {
    let text = "
        [[memory]]
        gpa = 0x6000
        words = [41]

        [[step]]
        event = 'msr'
        msr = 0x8b
        value = 1
        expect = { verdict = 'deny', value = 0 }

        [[step]]
        event = 'msr'
        msr = 0x8b
        value = 2
        expect = { verdict = 'replace', value = 20 }

        [[step]]
        event = 'msr'
        msr = 0x8b
        value = 3

        [[step]]
        report = 'memory'
        gpa = 0x6008

        [[step]]
        event = 'page'
        access = 'write'
        gva = 0x5000
        value = 6
        expect = { verdict = 'replace', value = 7 }

        [[step]]
        event = 'singlestep'
        ip = 0x7000
        expect = { verdict = 'skip' }

        [[step]]
        finish = 0";
    let mut bench = bench()?;
    let mut played = bench.play(&scenario(text))?;
    played.assert_as_expected();
    assert_eq!(played.end, End::Finished(0));
    assert_eq!(played.reports, [(0, 42)]);
    assert_eq!(played.register(0, Register::Rbx), Ok(41));
    assert_eq!(played.memory(0x5000, 1), Ok(vec![7]));
    assert_eq!(played.faults[0].len(), 1, "of the write that was denied");
    let kinds: Vec<_> = played.judged.iter().map(|one| one.kind).collect();
    assert_eq!(kinds[..3], [EventKind::Msr; 3]);
    assert_eq!(kinds[3..], [EventKind::Page, EventKind::Breakpoint]);
    assert_eq!(bench.engine.counters["unhooked"], 1);
    Ok(())
}

#[test]
fn a_policy_that_is_lost_has_denied_and_begins_anew() -> Result<(), Failure> {
    let mut bench = bench()?;
    let played = bench.play(&writes(&[9, 4, 9]))?;
    assert_eq!(played.failures, ["Panicked(\"told to\")"]);
    assert_eq!(played.judged[1].verdict, Verdict::Deny);
    assert_eq!(bench.engine.records["seen"], [1, 2, 1]);
    Ok(())
}

#[test]
fn a_swap_in_the_middle_carries_the_state() -> Result<(), Failure> {
    let mut bench = bench()?;
    bench.play_with(&writes(&[9, 9, 9]), |bench, cue| {
        if cue.before == 2 {
            assert!(bench.swap(cue.vcpu).is_ok());
        }
    })?;
    assert_eq!(bench.engine.records["seen"], [1, 2, 3]);
    Ok(())
}

#[test]
fn a_verdict_that_stops_the_vm_is_an_outcome_like_any_other() -> Result<(), Failure> {
    let mut bench = bench()?;
    let played = bench.play(&writes(&[5]))?;
    assert_eq!(played.end, End::Stopped);
    let said = played.checks[0].to_string();
    assert!(said.ends_with("got crash"), "{said}");
    Ok(())
}

#[test]
fn vcpus_wait_for_each_other_and_time_is_counted() -> Result<(), Failure> {
    let text = "
        vcpus = 2

        [[step]]
        wait-for = 'go'

        [[step]]
        event = 'cpuid'
        function = 7
        repeat = 4

        [[step]]
        finish = 0

        [[step]]
        vcpu = 1
        idle = 250

        [[step]]
        vcpu = 1
        signal = 'go'";
    for _ in 0..2 {
        let mut bench = bench()?.ticking(Duration::from_millis(100));
        let played = bench.play(&scenario(text))?;
        assert_eq!(played.end, End::Finished(0));
        assert_eq!(bench.engine.records["created"], [0, 1]);
        assert_eq!(bench.engine.records["ticks"], [252, 252]);
        assert_eq!(bench.engine.records["cpuid"], [7, 7], "every second one");
    }
    Ok(())
}

#[test]
fn those_who_wait_for_ever_are_named() -> Result<(), Failure> {
    let text = "
        vcpus = 2
        [[step]]
        wait-for = 'a'
        [[step]]
        signal = 'b'
        [[step]]
        vcpu = 1
        wait-for = 'b'
        [[step]]
        vcpu = 1
        signal = 'a'";
    let played = bench()?.play(&scenario(text))?;
    let End::Crashed(why) = played.end else {
        panic!("{:?}", played.end)
    };
    assert!(why.contains("vCPU 0 for `a`, vCPU 1 for `b`"), "{why}");
    Ok(())
}

#[test]
fn a_scenario_that_never_ends_is_not_played() -> Result<(), Failure> {
    let endless = scenario("loop = true\n[[step]]\nevent = 'cpuid'\nfunction = 1");
    let refused = bench()?.play(&endless).err().map(String::from);
    assert!(refused.is_some_and(|words| words.contains("`loop`")));
    Ok(())
}

#[test]
fn a_page_that_is_lost_is_lost_while_a_scenario_is_played_too() -> Result<(), Failure> {
    let mut bench = bench()?;
    bench.engine.lose_page(0x6000);
    let mut played = bench.play(&writes(&[3]))?;
    assert_eq!(played.memory(0x6008, 1), Ok(vec![0]), "nothing was written");
    Ok(())
}
