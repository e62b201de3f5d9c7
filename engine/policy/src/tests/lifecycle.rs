//! An instance from its beginning to its end.

use std::thread;

use oriel_protocol::{EventKind, Verdict};

use super::{
    echo,
    guest::{ANSWER, TEXT, answer, error},
    *,
};
use crate::{
    ConfigError, Failure, FailureMode, InstanceMode, Manifest, OnFailure, Setting, write_manifest,
};

fn begin(guest: &Guest, place: Place) -> (Result<Instance, Failure>, Arc<Slot>, Box<FakeDesk>) {
    let slot = HOST.slot();
    let (instance, desk) = policy(guest).instantiate(place, &slot, FakeDesk::new());
    (instance, slot, FakeDesk::back(desk))
}

#[test]
fn an_error_of_init_refuses_the_policy_in_its_own_words() {
    let guest = Guest::judging(["msr"])
        .with("lifecycle", "init", &error("no MSRs"))
        .text(TEXT, "no MSRs");
    let error = prepare(&guest, all()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "it cannot be asked for its filters: it did not start: no MSRs"
    );
}

#[test]
fn an_instance_is_told_where_it_stands() {
    let init = echo::repeat(&["i32"; 4]);
    let guest =
        Guest::judging(["msr"])
            .importing("metrics", "add")
            .with("lifecycle", "init", &init);
    for (place, told) in [
        (Place::Vcpu(3), [1, 3]),
        (Place::Vm, [2, 0]),
        (Place::Tick, [3, 0]),
    ] {
        let (instance, _, desk) = begin(&guest, place);
        assert_eq!(instance.unwrap().place(), place);
        assert_eq!(echo::heard(&desk)[2..], told);
    }
}

/// A component with a manifest.
fn declared(guest: &Guest, json: &str) -> Arc<Plugin> {
    let manifest = Manifest::read(json.as_bytes()).unwrap();
    let bytes = write_manifest(&guest.build(), &manifest).unwrap();
    HOST.load("guest", &bytes).unwrap()
}

#[test]
fn the_configuration_is_checked_and_handed_over() {
    let init = echo::repeat(&["i32"; 2]);
    let guest =
        Guest::judging(["msr"])
            .importing("metrics", "add")
            .with("lifecycle", "init", &init);
    let plugin = declared(
        &guest,
        r#"{"config":{"msrs":{"type":"numbers","default":["0x10"]},"strict":{"type":"flag","required":true}}}"#,
    );

    let refused = HOST.prepare(&plugin, all()).unwrap_err();
    assert!(
        matches!(refused, PrepareError::Config(ConfigError::Missing { .. })),
        "{refused}"
    );

    let mut terms = all();
    terms.config.insert("strict".into(), Setting::Flag(true));
    let policy = HOST.prepare(&plugin, terms).unwrap();
    let (instance, desk) = policy.instantiate(Place::Vm, &HOST.slot(), FakeDesk::new());
    instance.unwrap();
    assert_eq!(echo::heard(&FakeDesk::back(desk))[1], 2, "two settings");
}

#[test]
fn what_the_manifest_declares_is_what_the_engine_asks_for() {
    let plugin = declared(
        &Guest::judging(["msr"]).exporting("tick"),
        r#"{"on-failure":{"default":"open","msr":"closed"},"instances":"vm","tick-ms":250,"deadlines":{"event-ms":5,"init-ms":9999}}"#,
    );
    let policy = HOST.prepare(&plugin, all()).unwrap();
    assert_eq!(policy.failure_mode(EventKind::Msr), FailureMode::Closed);
    assert_eq!(policy.failure_mode(EventKind::Cr), FailureMode::Open);
    assert_eq!(policy.instances(), InstanceMode::Vm);
    assert_eq!(policy.tick().unwrap().as_millis(), 250);
    assert_eq!(
        policy.limits().event.as_millis(),
        5,
        "less than the operator's"
    );
    assert_eq!(policy.limits().init.as_millis(), 500, "never more");
}

#[test]
fn without_a_manifest_the_defaults_are_strict() {
    let policy = policy(&Guest::judging(["msr"]));
    assert_eq!(policy.failure_mode(EventKind::Msr), FailureMode::Closed);
    assert_eq!(
        policy.manifest().on_failure,
        OnFailure::always(FailureMode::Closed)
    );
    assert_eq!(policy.instances(), InstanceMode::Vcpu);
    assert_eq!((policy.tick(), policy.has_state()), (None, false));
}

#[test]
fn a_trap_ends_the_instance_and_gives_the_desk_back() {
    let words = "panicked at src/lib.rs:7: no";
    let body = format!(
        "(call $log.write (i32.const 4) (i32.const {TEXT}) (i32.const {})) (call $deep_down)",
        words.len()
    );
    let guest = Guest::judging(["msr"])
        .importing("log", "write")
        .raw("(func $deep_down (unreachable))")
        .text(TEXT, words)
        .with("judge-msr", "judge", &body);
    let (mut guard, slot) = instance(&guest);
    let event = msr();
    let (verdict, desk) = guard.judge(&case(&event), &slot, FakeDesk::new());
    let Err(Failure::Trap { message, trace }) = &verdict else {
        panic!("{verdict:?}");
    };
    assert!(message.starts_with(&format!("{words}; ")), "{message}");
    assert!(
        message.contains("`unreachable` instruction executed"),
        "{message}"
    );
    assert!(message.contains("deep_down < "), "{message}");
    let deepest = &trace.frames()[0];
    assert!(deepest.contains("deep_down"), "{trace:?}");
    assert_eq!(FakeDesk::back(desk).asked.len(), 1);
    assert!(guard.is_dead() && verdict.unwrap_err().is_strike());
    let (verdict, _) = guard.judge(&case(&event), &slot, FakeDesk::new());
    assert_eq!(verdict, Err(Failure::Dead));
    HOST.retire(guard);
}

#[test]
fn a_panic_of_the_desk_leaves_a_dead_instance() {
    struct Broken;
    impl Desk for Broken {
        fn vm(
            &mut self,
            _: oriel_protocol::VmCall,
        ) -> Result<oriel_protocol::commands::VmReply, oriel_protocol::Refusal> {
            panic!("a fault of the engine")
        }
        fn vcpu(
            &mut self,
            _: u32,
            _: oriel_protocol::VcpuCall,
        ) -> Result<oriel_protocol::commands::VcpuReply, oriel_protocol::Refusal> {
            panic!("a fault of the engine")
        }
        fn service(
            &mut self,
            _: oriel_protocol::ServiceCall,
        ) -> Result<oriel_protocol::commands::ServiceReply, oriel_protocol::Refusal> {
            panic!("a fault of the engine")
        }
    }
    let body = format!("(call $control.resume (i32.const {ANSWER}))");
    let guest =
        Guest::judging(["msr"])
            .importing("control", "resume")
            .with("judge-msr", "judge", &body);
    let (mut guard, slot) = instance(&guest);
    let event = msr();
    let fell = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = guard.judge(&case(&event), &slot, Box::new(Broken));
    }));
    assert!(fell.is_err() && guard.is_dead());
    let (verdict, _) = guard.judge(&case(&event), &slot, FakeDesk::new());
    assert_eq!(verdict, Err(Failure::Dead), "and the slot is free again");
}

#[test]
fn one_instance_can_be_called_by_one_thread_after_another() {
    let (mut guard, slot) = instance(&Guest::judging(["msr"]));
    let other = HOST.slot();
    let mut guard = thread::spawn(move || {
        let event = msr();
        let (verdict, _) = guard.judge(&case(&event), &other, FakeDesk::new());
        assert_eq!(verdict, Ok(Verdict::Continue));
        guard
    })
    .join()
    .unwrap();
    let event = msr();
    let (verdict, _) = guard.judge(&case(&event), &slot, FakeDesk::new());
    assert_eq!(verdict, Ok(Verdict::Continue));
}

#[test]
fn a_slot_is_in_one_call_at_a_time() {
    struct Inner(Option<(Instance, Arc<Slot>)>, Option<Failure>);
    impl Desk for Inner {
        fn vm(
            &mut self,
            _: oriel_protocol::VmCall,
        ) -> Result<oriel_protocol::commands::VmReply, oriel_protocol::Refusal> {
            let (mut other, slot) = self.0.take().unwrap();
            let event = msr();
            self.1 = other.judge(&case(&event), &slot, FakeDesk::new()).0.err();
            Err(oriel_protocol::Refusal::Denied)
        }
        fn vcpu(
            &mut self,
            _: u32,
            _: oriel_protocol::VcpuCall,
        ) -> Result<oriel_protocol::commands::VcpuReply, oriel_protocol::Refusal> {
            Err(oriel_protocol::Refusal::Denied)
        }
        fn service(
            &mut self,
            _: oriel_protocol::ServiceCall,
        ) -> Result<oriel_protocol::commands::ServiceReply, oriel_protocol::Refusal> {
            Err(oriel_protocol::Refusal::Denied)
        }
    }
    let body = format!("(call $control.resume (i32.const {ANSWER})) {}", answer(0));
    let outer =
        Guest::judging(["msr"])
            .importing("control", "resume")
            .with("judge-msr", "judge", &body);
    let (mut outer, slot) = instance(&outer);
    let (inner, _) =
        policy(&Guest::judging(["msr"])).instantiate(Place::Vm, &slot, FakeDesk::new());
    let desk = Box::new(Inner(Some((inner.unwrap(), Arc::clone(&slot))), None));
    let event = msr();
    let (verdict, desk) = outer.judge(&case(&event), &slot, desk);
    assert_eq!(verdict, Ok(Verdict::Continue));
    let desk: Box<dyn std::any::Any> = desk;
    assert_eq!(desk.downcast::<Inner>().unwrap().1, Some(Failure::Nested));
}
