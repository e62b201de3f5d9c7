use oriel_protocol::{EventKind, Right};

use super::*;
use crate::args::{ExplainArgs, WatchArgs};

fn typed(policies: &[&str], grants: &[&str]) -> anyhow::Result<Plan> {
    let own = |list: &[&str]| list.iter().map(|&one| one.to_owned()).collect();
    Plan::resolve(RunArgs {
        machine: Some(MachineKind::Mock),
        guest: Some("builtin:hello".to_owned()),
        watch: WatchArgs {
            policies: own(policies),
            grants: own(grants),
            ..WatchArgs::default()
        },
        ..RunArgs::default()
    })
}

#[test]
fn a_policy_is_named_after_its_file_unless_named() {
    let plan = typed(&["a/guard.wasm", "second=b.wasm"], &[]).unwrap();
    let names: Vec<_> = plan
        .judges
        .policies
        .iter()
        .map(|policy| &*policy.name)
        .collect();
    assert_eq!(names, ["guard", "second"]);
}

#[test]
fn a_grant_names_rights_and_events() {
    let plan = typed(&["guard.wasm"], &["guard=msr, alert"]).unwrap();
    let grant = plan.judges.policies[0].grant.as_ref().unwrap();
    assert_eq!(grant.rights, [Right::Log, Right::Alert]);
    assert_eq!(grant.events, Some([EventKind::Msr].into_iter().collect()));
    let rights_only = typed(&["guard.wasm"], &["guard=alert"]).unwrap();
    assert_eq!(
        rights_only.judges.policies[0]
            .grant
            .as_ref()
            .unwrap()
            .events,
        None
    );
}

#[test]
fn of_several_policies_the_named_one_is_explained() {
    let args = |name: &str| ExplainArgs {
        name: name.to_owned(),
        config: None,
        policies: vec!["a/guard.wasm".to_owned(), "second=b.wasm".to_owned()],
        grants: vec!["second=msr".to_owned()],
    };
    let plan = to_explain(&args("second")).unwrap();
    assert_eq!((plan.file, plan.grant.is_some()), ("b.wasm".into(), true));
    let error = to_explain(&args("third")).unwrap_err();
    assert!(
        error.is::<Usage>() && error.to_string().contains("guard"),
        "{error}"
    );
}

#[test]
fn what_is_wrong_is_named() {
    for (grant, named) in [
        ("guard=fly", "fly"),
        ("other=msr", "other"),
        ("guard", "NAME=LIST"),
    ] {
        let error = format!("{:#}", typed(&["guard.wasm"], &[grant]).unwrap_err());
        assert!(error.contains(named), "{error}");
    }
}

#[test]
fn a_script_takes_no_kernels_flags() {
    let args = RunArgs {
        machine: Some(MachineKind::Mock),
        guest: Some("builtin:hello".to_owned()),
        cmdline: Some("quiet".to_owned()),
        ..RunArgs::default()
    };
    let error = Plan::resolve(args).unwrap_err();
    assert!(
        error.is::<Usage>() && error.to_string().contains("--cmdline"),
        "{error}"
    );
}

#[test]
fn serial_moves_aside_for_event_lines() {
    let plan = |events: Option<&str>| {
        let args = RunArgs {
            machine: Some(MachineKind::Mock),
            guest: Some("builtin:hello".to_owned()),
            watch: WatchArgs {
                events: events.map(str::to_owned),
                ..WatchArgs::default()
            },
            ..RunArgs::default()
        };
        Plan::resolve(args).unwrap().serial
    };
    assert_eq!(
        (plan(None), plan(Some("-")), plan(Some("file"))),
        ("stdout".into(), "stderr".into(), "stdout".into())
    );
}
