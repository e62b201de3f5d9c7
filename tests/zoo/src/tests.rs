//! The zoo on the bench: those of its acts that a test process survives.

use oriel_sdk::msr::{Verdict, Write};
use oriel_sdk::testing::{Bench, Command};
use oriel_sdk::{Config, Failure, Refusal, pio, reset};

use crate::Zoo;

const WRITE: Write = Write::new(0xC000_0082, 1, 2);

fn bench(act: &str) -> Result<Bench<Zoo>, Failure> {
    Bench::new(Config::new().with("act", act).with("times", 10_u64))
}

#[test]
fn it_answers_as_it_is_told() -> Result<(), Failure> {
    for (act, verdict) in [
        ("continue", Verdict::Continue),
        ("deny", Verdict::Deny),
        ("replace", Verdict::Replace(0)),
        ("crash", Verdict::Crash),
        ("skip", Verdict::Skip),
        ("retry", Verdict::Retry),
    ] {
        assert_eq!(bench(act)?.raise(0, WRITE), Some(verdict), "{act}");
    }
    let crash = bench("crash")?.raise(0, reset::Reset);
    assert_eq!(crash, Some(reset::Verdict::Crash));
    Ok(())
}

#[test]
fn it_waits_for_the_value_it_is_told() -> Result<(), Failure> {
    let config = Config::new().with("act", "deny").with("when-new", 2_u64);
    let mut bench = Bench::<Zoo>::new(config)?;
    let other = Write::new(0xC000_0082, 1, 3);
    assert_eq!(bench.raise(0, other), Some(Verdict::Continue));
    assert_eq!(bench.raise(0, WRITE), Some(Verdict::Deny));
    let out = pio::Transfer {
        port: 0x80,
        write: true,
        size: 1,
        count: 1,
        value: 2,
        proposed: 2,
    };
    assert_eq!(bench.raise(0, out), Some(pio::Verdict::Continue));
    Ok(())
}

#[test]
fn it_hears_only_the_msrs_it_is_told() -> Result<(), Failure> {
    let config = Config::new().with("msrs", vec![0x10]);
    let mut bench = Bench::<Zoo>::new(config)?;
    assert_eq!(bench.raise(0, WRITE), None);
    Ok(())
}

#[test]
fn it_remembers_the_first_value_over_a_trap() -> Result<(), Failure> {
    let mut bench = bench("remember")?;
    assert_eq!(bench.raise(0, WRITE), Some(Verdict::Continue));
    bench.crash();
    let other = Write::new(0xC000_0082, 1, 3);
    assert_eq!(bench.raise(0, other), Some(Verdict::Deny));
    assert_eq!(bench.raise(0, WRITE), Some(Verdict::Continue));
    Ok(())
}

#[test]
fn it_asks_on_when_it_is_refused() -> Result<(), Failure> {
    let mut bench = bench("command-storm")?;
    bench.engine.refuse(Command::GetRegisters, Refusal::Limit);
    bench.raise(0, WRITE);
    assert_eq!(bench.engine.log[0].1, "10 commands were refused");
    Ok(())
}

#[test]
#[should_panic(expected = "the zoo was told to trap")]
fn it_traps() {
    if let Ok(mut bench) = bench("trap") {
        bench.raise(0, WRITE);
    }
}

#[test]
fn it_fails_where_it_is_told_to_refuse() -> Result<(), Failure> {
    let config = |at| Config::new().with("act", "deny").with("at", at);
    assert!(Bench::<Zoo>::new(config("init")).is_err());
    for at in ["save", "restore"] {
        let mut bench = Bench::<Zoo>::new(config(at))?;
        assert_eq!(bench.raise(0, WRITE), Some(Verdict::Continue), "{at}");
        assert!(bench.swap(0).is_err(), "{at}");
    }
    Ok(())
}

#[test]
fn it_floods_as_often_as_it_is_told() -> Result<(), Failure> {
    let mut log = bench("log-flood")?;
    log.raise(0, WRITE);
    assert_eq!(log.engine.log.len(), 10);
    let mut alerts = bench("alert-flood")?;
    alerts.raise(0, WRITE);
    assert_eq!(alerts.engine.alerts.len(), 10);
    let mut store = bench("store-flood")?;
    store.engine.refuse(Command::SetBytes, Refusal::Limit);
    store.raise(0, WRITE);
    assert_eq!(store.engine.log[0].1, "10 keys were refused");
    Ok(())
}

#[test]
fn it_says_what_it_could_read() -> Result<(), Failure> {
    let mut bench = bench("read-memory")?;
    bench.engine.memory.poke(0, &[0xab])?;
    bench.raise(0, WRITE);
    let read = &bench.engine.alerts[0].fields["value"];
    assert_eq!(read, "[ab, 00, 00, 00, 00, 00, 00, 00]");
    bench.engine.refuse(Command::ReadMemory, Refusal::Denied);
    bench.raise(0, WRITE);
    assert_eq!(bench.engine.alerts[1].fields["refusal"], "denied");
    Ok(())
}

#[test]
fn it_counts_in_the_store_and_by_the_clock() -> Result<(), Failure> {
    let config = Config::new().with("act", "count").with("at", "tick");
    let mut bench = Bench::<Zoo>::new(config)?;
    bench.raise(0, WRITE);
    bench.tick(0)?;
    bench.crash();
    bench.tick(0)?;
    assert_eq!(bench.engine.store["count"], 2_u64.to_le_bytes());
    Ok(())
}

#[test]
fn it_carries_what_it_has_seen_over_a_swap() -> Result<(), Failure> {
    let mut bench = bench("continue")?;
    bench.raise(0, WRITE);
    bench.swap(0)?;
    let said = "1 events were seen up to revision 1";
    assert_eq!(bench.engine.log[0].1, said);
    Ok(())
}
