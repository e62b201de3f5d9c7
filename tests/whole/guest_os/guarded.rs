//! `kernel-guard` on a machine that traps writes: a forged kernel whose constants somebody writes to by
//! another mapping.

use oriel_engine::{Engine, Record, Running, Settings, record::Alert};
use oriel_machine::outlet;
use oriel_protocol::commands::service::Severity;
use oriel_tests::{channel, ends_round, field, host, kernel_guard};

use super::*;

/// How often the clock calls.
const TICK: Duration = Duration::from_millis(10);

/// A guest that runs its first program, and writes eight bytes over the kernel's banner.
fn guest() -> (Scenario, Gpa) {
    let mut forged = Forged::new(0);
    let kernel = forged.init_task();
    forged.process(1, "init", kernel);
    let place = |(gpa, bytes): &(Gpa, Vec<u8>)| {
        let at = bytes
            .windows(LINUX.len())
            .position(|window| window == LINUX);
        at.map(|at| gpa + at as u64)
    };
    let banner = pages(&forged).iter().find_map(place).expect("its banner");
    let text = format!(
        "name = \"writer\"\n[[step]]\nevent = \"page\"\naccess = \"write\"\ngpa = {banner:#x}\nvalue = 0x4141414141414141\n[[step]]\nfinish = 0\n"
    );
    let steps = oriel_tests::scenario(&text);
    let guest = scenario(&forged, 0).without(|_| true);
    (guest.with_steps(steps.steps().iter().cloned()), banner)
}

/// Has it guarded, and lets it go once every page is trapped; what was told, and what stands at the banner.
fn written(on_write: &str) -> (Vec<Alert>, Vec<u8>) {
    let (scenario, banner) = guest();
    let said = Arc::new(outlet::Kept::default());
    let parts = scenario.build(said).expect("a scenario of ours");
    let machine = Arc::clone(&parts.machine);
    let policy = kernel_guard().text("on-write", on_write);
    let mut candidate = policy.candidate(&host());
    candidate.tick = Some(TICK);
    let (sink, told) = channel();
    let settings = Settings {
        held: true,
        ..Settings::default()
    };
    let engine = Engine::new(host(), parts).sink(sink).settings(settings);
    let running: Running = engine.judge(candidate).start().expect("a VM");
    // Every page was looked at, and is trapped.
    while !ends_round(&told.recv_timeout(FOREVER).expect("the clock goes on")) {}
    running.handle().resume(0).expect("a vCPU that waits");
    let outcome = running.wait();
    assert_eq!(outcome.end, End::Finished(0));
    let mut bytes = vec![0; LINUX.len()];
    machine.memory().read_at(banner, &mut bytes).expect("RAM");
    let alert = |record| {
        if let Record::Failure(failed) = &record {
            panic!("{failed:?}");
        }
        let Record::Alert(alert) = record else {
            return None;
        };
        (alert.severity == Severity::Critical).then_some(alert)
    };
    (told.try_iter().filter_map(alert).collect(), bytes)
}

fn one(alerts: &[Alert]) -> (&str, &str) {
    let [alert] = alerts else {
        panic!("not one alert: {alerts:?}");
    };
    (&alert.message, field(alert, "where").unwrap_or_default())
}

#[test]
fn a_write_to_a_kernels_constants_is_judged_before_it_is_made() {
    let (alerts, bytes) = written("deny");
    let expected = ("a write to guarded memory was stopped", "linux_banner");
    assert_eq!(one(&alerts), expected);
    assert_eq!(bytes, LINUX, "it was not made");
    let (alerts, bytes) = written("alert");
    assert_eq!(
        one(&alerts),
        ("guarded memory is written to", "linux_banner")
    );
    assert_eq!(&bytes[..8], b"AAAAAAAA", "it was made");
}
