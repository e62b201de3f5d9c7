use oriel_protocol::EventKind;

use super::*;
use crate::{Setting, SettingKind};

const WHOLE: &str = r#"{
    "name": "msr-guard", "version": "1.2.3", "vendor": "Oriel", "description": "Guards MSRs.",
    "rights": ["alert", "memory-read"],
    "deadlines": {"event-ms": 5, "init-ms": 50, "tick-ms": 20, "state-ms": 30},
    "limits": {"memory-bytes": 1048576, "alerts": 2},
    "on-failure": {"default": "open", "msr": "closed"},
    "instances": "vm",
    "config": {"msrs": {"type": "numbers", "doc": "Which.", "default": [1]}},
    "store-schema": 2,
    "tick-ms": 100,
    "swap": "together"
}"#;

#[test]
fn every_key_is_read_and_written() {
    let manifest = Manifest::read(WHOLE.as_bytes()).unwrap();
    assert_eq!(
        manifest.rights,
        Some([Right::MemoryRead, Right::Alert].into())
    );
    assert_eq!(manifest.deadlines.init_ms, Some(50));
    assert_eq!(manifest.deadlines.state_ms, Some(30));
    assert_eq!(manifest.limits["alerts"], 2);
    assert_eq!(manifest.on_failure.of(EventKind::Msr), FailureMode::Closed);
    assert_eq!(manifest.on_failure.of(EventKind::Page), FailureMode::Open);
    assert_eq!(manifest.instances, InstanceMode::Vm);
    assert_eq!(manifest.config["msrs"].kind, SettingKind::Numbers);
    assert_eq!(
        manifest.config["msrs"].default,
        Some(Setting::Numbers(vec![1]))
    );
    assert_eq!(
        (manifest.store_schema, manifest.swap),
        (StoreSchema(2), SwapMode::Together)
    );
    let written = serde_json::to_vec(&manifest).unwrap();
    assert_eq!(Manifest::read(&written).unwrap(), manifest);
}

#[test]
fn every_key_can_be_left_out() {
    let empty = Manifest::read(b"{}").unwrap();
    assert_eq!(empty, Manifest::default());
    assert_eq!(empty.store_schema, StoreSchema(1));
    assert_eq!(empty.swap, SwapMode::Rolling);
    assert_eq!(empty.on_failure.of(EventKind::Cr), FailureMode::Closed);
}

#[test]
fn modes_read_as_they_are_written() {
    let modes = OnFailure::always(FailureMode::Open).with(EventKind::MsrRead, FailureMode::Pause);
    let json = serde_json::to_string(&modes).unwrap();
    assert_eq!(json, r#"{"default":"open","msr-read":"pause"}"#);
    assert_eq!(serde_json::from_str::<OnFailure>(&json).unwrap(), modes);
}

#[test]
fn limits_that_there_are_not_are_refused_by_name() {
    for (limits, named) in [
        (r#"{"memroy-bytes": 1}"#, "memroy-bytes"),
        (r#"{"event-ms": 1}"#, "deadlines"),
        (r#"{"alerts": -1}"#, "-1"),
    ] {
        let json = format!(r#"{{"limits": {limits}}}"#);
        let error = Manifest::read(json.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
}
