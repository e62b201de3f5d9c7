//! An instance from its beginning to its end.

use std::thread;

use oriel_protocol::{EventKind, Only, Verdict, events::EventClass};

use super::{
    echo,
    guest::{ANSWER, TEXT, answer, answer_with},
    *,
};
use crate::{
    ConfigError, Failure, FailureMode, InstanceMode, Manifest, OnFailure, Saved, Setting,
    write_manifest,
};

/// A body that answers with an error of this text, which is at [`TEXT`].
fn error(text: &str) -> String {
    format!(
        "(i32.store offset=4 (i32.const {ANSWER}) (i32.const {TEXT}))
         (i32.store offset=8 (i32.const {ANSWER}) (i32.const {})) {}",
        text.len(),
        answer(1)
    )
}

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
fn no_filters_are_all_that_is_granted() {
    let all_kinds = EventKind::ALL
        .iter()
        .filter(|kind| kind.class() == EventClass::Vcpu);
    let guest = all_kinds.clone().fold(Guest::new(), |guest, kind| {
        guest.exporting(&format!("judge-{}", kind.name()))
    });
    let policy = policy(&guest);
    assert_eq!(policy.filters().len(), all_kinds.count());
    for (event, _) in echo::events() {
        let meant = policy
            .filters()
            .iter()
            .filter(|filter| filter.accepts(&event, Some(1)));
        assert_eq!(meant.count(), 1, "{}", event.kind().name());
    }
}

#[test]
fn filters_mean_what_they_say() {
    // One filter of MSRs, at 4096: 0x10 to 0x20, at ring 3, with this CR3.
    let filters = format!(
        "(i32.store (i32.const 4096) (i32.const 0x10)) (i32.store (i32.const 4100) (i32.const 0x20))
         (i32.store8 (i32.const 4104) (i32.const 1)) (i64.store (i32.const 4112) (i64.const 0x7000))
         (i32.store8 (i32.const 4120) (i32.const 8))
         (i32.store (i32.const {ANSWER}) (i32.const 4096)) (i32.store offset=4 (i32.const {ANSWER}) (i32.const 1))"
    );
    let policy = policy(&Guest::judging(["msr"]).with("judge-msr", "filters", &filters));
    let [filter] = policy.filters() else {
        panic!("{:?}", policy.filters());
    };
    assert_eq!(
        filter.only,
        Only::Numbers {
            first: 0x10,
            last: 0x20
        }
    );
    assert_eq!(filter.scope.cr3, Some(0x7000));
    assert_eq!(filter.scope.rings, oriel_protocol::Rings::RING3);
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
    let Err(Failure::Trap { message }) = &verdict else {
        panic!("{verdict:?}");
    };
    assert!(message.starts_with(&format!("{words}; ")), "{message}");
    assert!(
        message.contains("`unreachable` instruction executed"),
        "{message}"
    );
    assert!(message.contains("deep_down < "), "{message}");
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

#[test]
fn notices_ticks_and_observations_are_told() {
    let guest = [
        "notice-create-vcpu",
        "notice-pause",
        "notice-unhook",
        "tick",
        "observe",
    ]
    .into_iter()
    .fold(Guest::new().importing("metrics", "add"), Guest::exporting)
    .with("notice-create-vcpu", "created", &echo::repeat(&["i32"; 1]))
    .with("notice-pause", "paused", &echo::repeat(&["i32"; 1]))
    .with(
        "notice-unhook",
        "unhooking",
        "(call $metrics.add (i32.const 0) (i32.const 0) (i64.const 13))",
    )
    .with("tick", "tick", &echo::repeat(&["i64", "i32"]));
    let (mut policy, slot) = instance(&guest);
    let at = Moment {
        vcpu: 4,
        seq: 0,
        time_ns: 0,
    };
    for (kind, told) in [
        (EventKind::CreateVcpu, 4),
        (EventKind::Pause, 4),
        (EventKind::Unhook, 13),
    ] {
        let (answer, desk) = policy.notice(kind, at, &slot, FakeDesk::new());
        assert_eq!(answer, Ok(()));
        assert_eq!(echo::heard(&FakeDesk::back(desk)), [told]);
    }
    let (answer, _) = policy.notice(EventKind::Msr, at, &slot, FakeDesk::new());
    assert_eq!(answer, Err(Failure::Unheard("msr")));
    let (answer, desk) = policy.tick(100, 2, &slot, FakeDesk::new());
    assert_eq!(
        (answer, echo::heard(&FakeDesk::back(desk))),
        (Ok(()), vec![100, 2])
    );
}

#[test]
fn what_is_observed_are_the_first_numbers_of_what_is_judged() {
    let observe = Guest::new().params("observe", "observe");
    let guest = Guest::new()
        .importing("metrics", "add")
        .exporting("observe")
        .with("observe", "observe", &echo::repeat(&observe));
    let policy = policy(&guest);
    assert!(policy.hears().is_empty());
    let slot = HOST.slot();
    let mut instance = policy
        .instantiate(Place::Vm, &slot, FakeDesk::new())
        .0
        .unwrap();
    for (event, judged) in echo::events() {
        let seen = policy
            .observations()
            .iter()
            .find(|seen| seen.kind == event.kind())
            .unwrap();
        let (answer, desk) = instance.observe(seen, &case(&event), &slot, FakeDesk::new());
        assert_eq!(answer, Ok(()));
        let heard = echo::heard(&FakeDesk::back(desk));
        let mut expected = match event.kind() {
            // An error code that may be missing takes two numbers there, and one here.
            EventKind::Trap => vec![14, 6, 0xbeef],
            _ => judged,
        };
        expected.resize(4, 0);
        assert_eq!(
            heard[echo::MOMENT + 1..],
            expected,
            "{}",
            event.kind().name()
        );
        let kinds = EventKind::ALL
            .iter()
            .filter(|kind| kind.class() != EventClass::Wire);
        let number = kinds
            .clone()
            .position(|kind| *kind == event.kind())
            .unwrap();
        assert_eq!(
            heard[echo::MOMENT],
            number as u64,
            "{}",
            event.kind().name()
        );
    }
}

#[test]
fn observations_are_of_what_is_granted() {
    // Two filters, at 4096: one in ten of `cr`; all of `msr`.
    let filters = format!(
        "(i32.store (i32.const 4100) (i32.const 10)) (i32.store8 (i32.const 4136) (i32.const 1))
         (i32.store (i32.const {ANSWER}) (i32.const 4096)) (i32.store offset=4 (i32.const {ANSWER}) (i32.const 2))"
    );
    let guest = Guest::new()
        .exporting("observe")
        .with("observe", "filters", &filters);
    let terms = Terms {
        events: [EventKind::Cr, EventKind::Page].into_iter().collect(),
        ..all()
    };
    let policy = prepare(&guest, terms).unwrap();
    let seen: Vec<_> = policy
        .observations()
        .iter()
        .map(|seen| (seen.kind, seen.one_in))
        .collect();
    assert_eq!(seen, [(EventKind::Cr, 10)]);
}

#[test]
fn state_is_carried_over() {
    // Saves schema 2 and the three bytes at TEXT.
    let save = format!(
        "(i32.store offset=4 (i32.const {ANSWER}) (i32.const 2))
         (i32.store offset=8 (i32.const {ANSWER}) (i32.const {TEXT}))
         (i32.store offset=12 (i32.const {ANSWER}) (i32.const 3))"
    );
    // Repeats the schema, the length and the revision.
    let restore = format!(
        "{}(call $metrics.add (i32.const 0) (i32.const 0) (local.get $p3))",
        echo::repeat(&["i32", "i32", "i32"])
    );
    let guest = Guest::new()
        .importing("metrics", "add")
        .exporting("state")
        .with("state", "save", &save)
        .with("state", "restore", &restore)
        .text(TEXT, "abc");
    let (mut old, slot) = instance(&guest);
    let (saved, _) = old.save(&slot, FakeDesk::new());
    let data = b"abc".to_vec();
    assert_eq!(saved, Ok(Saved { schema: 2, data }));
    let (mut new, _) = instance(&guest);
    let (answer, desk) = new.restore(saved.unwrap(), 41, &slot, FakeDesk::new());
    assert_eq!(answer, Ok(()));
    let heard = echo::heard(&FakeDesk::back(desk));
    assert_eq!((heard[0], heard[2], heard[3]), (2, 3, 41));
}

#[test]
fn state_that_is_declined_or_too_large_is_no_trap() {
    let guest = Guest::new()
        .exporting("state")
        .with("state", "save", &error("later"))
        .text(TEXT, "later");
    let (mut policy, slot) = instance(&guest);
    let (saved, _) = policy.save(&slot, FakeDesk::new());
    assert_eq!(saved, Err(Failure::Declined("later".into())));
    assert!(!policy.is_dead());

    let large = format!(
        "(i32.store offset=12 (i32.const {ANSWER}) (i32.const {}))",
        (1 << 20) + 1
    );
    let guest = Guest::new()
        .exporting("state")
        .with("state", "save", &large)
        .pages(32);
    let (mut policy, slot) = instance(&guest);
    let (saved, _) = policy.save(&slot, FakeDesk::new());
    assert!(saved.unwrap_err().to_string().contains("1048577 bytes"));
    let _ = answer_with(0, "");
}

#[test]
fn the_store_is_reached_through_the_desk() {
    let guest = Guest::judging(["msr"])
        .importing("store", "add")
        .importing("store", "get-number")
        .importing("metrics", "add")
        .text(TEXT, "n")
        .with(
            "judge-msr",
            "judge",
            &format!(
                "(call $store.add (i32.const {TEXT}) (i32.const 1) (i64.const 5) (i32.const 1280))
             (call $store.get-number (i32.const {TEXT}) (i32.const 1) (i32.const 1280))
             (call $metrics.add (i32.const 0) (i32.const 0) (i64.load8_u (i32.const 1280)))
             (call $metrics.add (i32.const 0) (i32.const 0) (i64.load8_u (i32.const 1288)))
             (call $metrics.add (i32.const 0) (i32.const 0) (i64.load (i32.const 1296)))"
            ),
        );
    let (mut policy, slot) = instance(&guest);
    let event = msr();
    let (_, desk) = policy.judge(&case(&event), &slot, FakeDesk::new());
    let (_, desk) = policy.judge(&case(&event), &slot, desk);
    let heard = echo::heard(&FakeDesk::back(desk));
    assert_eq!(heard, [0, 1, 5, 0, 1, 10]);
}

#[test]
fn a_value_that_is_no_number_is_invalid() {
    let guest = Guest::judging(["msr"]).importing("store", "set").importing("store", "get-number").importing("metrics", "add").text(TEXT, "n").with(
        "judge-msr",
        "judge",
        &format!(
            "(call $store.set (i32.const {TEXT}) (i32.const 1) (i32.const 0) (i32.const 3) (i32.const 1280))
             (call $store.get-number (i32.const {TEXT}) (i32.const 1) (i32.const 1280))
             (call $metrics.add (i32.const 0) (i32.const 0) (i64.load8_u (i32.const 1280)))
             (call $metrics.add (i32.const 0) (i32.const 0) (i64.load8_u (i32.const 1288)))"
        ),
    );
    let (mut policy, slot) = instance(&guest);
    let event = msr();
    let (_, desk) = policy.judge(&case(&event), &slot, FakeDesk::new());
    assert_eq!(echo::heard(&FakeDesk::back(desk)), [1, 4]);
}
