//! Harm done in `save` and `restore`, and by the clock: no event waits for these.

use std::time::Duration;

use oriel_policy::{Desk, Failure, Instance, Place, Saved, Setting};
use oriel_protocol::{
    Refusal, ServiceCall, VcpuCall, VmCall,
    commands::{ServiceReply, VcpuReply, VmReply},
};
use oriel_tests::{FOREVER, host, zoo};

/// Refuses everything.
struct Nobody;

impl Desk for Nobody {
    fn vm(&mut self, _: VmCall) -> Result<VmReply, Refusal> {
        Err(Refusal::Denied)
    }

    fn vcpu(&mut self, _: u32, _: VcpuCall) -> Result<VcpuReply, Refusal> {
        Err(Refusal::Denied)
    }

    fn service(&mut self, _: ServiceCall) -> Result<ServiceReply, Refusal> {
        Err(Refusal::Denied)
    }
}

/// How many of whatever it is.
fn times(act: &str) -> u64 {
    if act == "huge-answer" {
        1_500_000
    } else {
        5_000
    }
}

/// What becomes of an instance that does harm there.
fn harmed(at: &str, act: &str) -> (Result<(), Failure>, Instance) {
    let mut load = zoo(act)
        .text("at", at)
        .set("times", Setting::Number(times(act)));
    // What ends by itself is not stopped before, however busy the host is.
    let short = Duration::from_millis(5);
    let time = if act == "loop" { short } else { FOREVER };
    (load.limits.state, load.limits.tick) = (time, time);
    load.limits.wall_factor = 10_000;
    load.limits.memory = 8 << 20;
    let (host, slot) = (host(), host().slot());
    let policy = load.prepare(&host).expect("it begins well");
    let begun = policy
        .instantiate(Place::Vcpu(0), &slot, Box::new(Nobody))
        .0;
    let mut instance = begun.expect("it begins well");
    let desk = Box::new(Nobody);
    let answer = match at {
        "save" => instance.save(&slot, desk).0.map(drop),
        "restore" => {
            let (schema, data) = (1, vec![0; 8]);
            instance.restore(Saved { schema, data }, 1, &slot, desk).0
        }
        _ => instance.tick(0, 0, &slot, desk).0,
    };
    (answer, instance)
}

#[test]
fn harm_beside_events_is_contained_too() {
    for (at, act, words) in [
        ("save", "loop", "CPU time"),
        ("save", "trap", "told to trap"),
        ("save", "recurse", "stack"),
        ("save", "memory-bomb", "it trapped"),
        ("restore", "loop", "CPU time"),
        ("restore", "trap", "told to trap"),
        ("restore", "huge-text", "it trapped"),
        ("tick", "loop", "CPU time"),
        ("tick", "recurse", "stack"),
        ("tick", "command-storm", "it asked for more"),
    ] {
        let (answer, instance) = harmed(at, act);
        let failure = answer.expect_err(act);
        let told = failure.to_string();
        assert!(told.contains(words), "{act} in {at}: {told}");
        assert!(failure.is_strike() && instance.is_dead(), "{act} in {at}");
    }
}

#[test]
fn state_that_is_declined_or_too_large_leaves_the_instance_alive() {
    for (at, act, words) in [
        ("save", "deny", "told to refuse"),
        ("save", "huge-answer", "1500000 bytes"),
        ("restore", "deny", "told to refuse"),
    ] {
        let (answer, instance) = harmed(at, act);
        let failure = answer.expect_err(act);
        assert!(failure.to_string().contains(words), "{failure}");
        assert!(!failure.is_strike() && !instance.is_dead(), "{act} in {at}");
    }
}
