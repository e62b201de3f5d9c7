//! Every route, asked as a client asks, with its answers held to the OpenAPI document.

use std::time::Duration;

use oriel_engine::roster::RosterError;

use super::{super::openapi::schema::violations, *};
use crate::steward::{
    fake::{BROKEN, Fake},
    for_tests,
};

/// In base64.
fn base64(bytes: &[u8]) -> String {
    use base64::{Engine, prelude::BASE64_STANDARD};
    BASE64_STANDARD.encode(bytes)
}

fn guarded() -> Steward {
    for_tests(Fake::with(&[("guard", b"one")]), None)
}

/// A request of somebody's.
fn asked<'a>(method: &'a str, path: &'a str, body: &'a [u8]) -> Asked<'a> {
    Asked {
        method,
        path,
        body,
        by: Orderer::Socket {
            uid: 1000,
            pid: Some(7),
        },
    }
}

/// Asks, and holds the answer to the document.
#[track_caller]
fn ask(steward: &Steward, method: &str, path: &str, body: &Json) -> Answer {
    let bytes = if body.is_null() {
        Vec::new()
    } else {
        body.to_string().into_bytes()
    };
    let answer = answer(steward, asked(method, path, &bytes));
    let (route, _) = find(method, path).unwrap();
    let document = openapi::document();
    let operation = &document["paths"][route.path][&method.to_lowercase()];
    let mut described = &operation["responses"][answer.status.to_string()];
    if let Some(name) = described["$ref"].as_str() {
        described = document.pointer(name.trim_start_matches('#')).unwrap();
    }
    let schema = &described["content"]["application/json"]["schema"];
    assert!(
        schema.is_object(),
        "{} is not described for {method} {path}",
        answer.status
    );
    let wrong = violations(&document, schema, &answer.body);
    assert_eq!(wrong, [] as [String; 0], "{}", answer.body);
    answer
}

#[test]
fn a_policy_is_loaded_swapped_rolled_back_and_unloaded() {
    let steward = guarded();
    let load = json!({"name": "spy", "component": base64(b"spy"), "grant": ["log"], "config": {"x": [1, 2]}});
    let loaded = ask(&steward, "POST", "/v1/policies", &load);
    assert_eq!((loaded.status, &loaded.body["revision"]), (201, &json!(1)));
    let shown = ask(&steward, "GET", "/v1/policies/spy", &Json::Null).body;
    assert_eq!(shown["said"]["config"], json!({"x": [1, 2]}));
    assert_eq!(
        ask(&steward, "GET", "/v1/vm", &Json::Null).body["policies"],
        2
    );
    let all = ask(&steward, "GET", "/v1/policies", &Json::Null).body;
    assert_eq!(all["policies"][1]["name"], "spy", "asked after the others");
    let swap = json!({"component": base64(b"spy 2"), "together": true});
    let swapped = ask(&steward, "POST", "/v1/policies/spy/swap", &swap).body;
    assert_eq!((&swapped["from"], &swapped["to"]), (&json!(1), &json!(2)));
    let back = ask(
        &steward,
        "POST",
        "/v1/policies/spy/rollback",
        &json!({"to": 1}),
    )
    .body;
    assert_eq!((&back["from"], &back["to"]), (&json!(2), &json!(1)));
    let failures = ask(&steward, "GET", "/v1/policies/spy/failures", &Json::Null).body;
    assert_eq!(failures["failures"], serde_json::json!([]));
    let history = ask(&steward, "GET", "/v1/policies/spy/history", &Json::Null).body;
    assert_eq!(history["revisions"][1]["standing"], "rolled-back");
    ask(&steward, "POST", "/v1/policies/spy/release", &Json::Null);
    assert_eq!(
        ask(&steward, "DELETE", "/v1/policies/spy", &Json::Null).status,
        200
    );
    assert_eq!(
        ask(&steward, "GET", "/v1/policies/spy", &Json::Null).status,
        404
    );
}

#[test]
fn what_the_engine_refuses_has_its_status() {
    let wait = Duration::from_millis(1200);
    let name = || "guard".to_owned();
    let refusals = [
        (RosterError::Busy, 409, Some("1")),
        (RosterError::TooSoon { name: name(), wait }, 429, Some("2")),
        (RosterError::Failed("it trapped".to_owned()), 422, None),
        (RosterError::NoEarlier(name()), 409, None),
        (RosterError::Stuck(0), 503, None),
        (RosterError::Ended, 503, None),
    ];
    for (refusal, status, retry) in refusals {
        let fake = Fake::with(&[("guard", b"one")]);
        *fake.refuse.lock().unwrap() = Some(refusal);
        let steward = for_tests(fake, None);
        let swap = json!({"component": base64(b"two")});
        let answer = ask(&steward, "POST", "/v1/policies/guard/swap", &swap);
        assert_eq!(answer.status, status, "{}", answer.body);
        let told = answer
            .fields
            .iter()
            .find(|(name, _)| *name == "Retry-After");
        assert_eq!(told.map(|(_, seconds)| seconds.as_str()), retry);
    }
}

#[test]
fn what_is_no_policy_is_refused_and_changes_nothing() {
    let steward = guarded();
    let broken = json!({"component": base64(BROKEN)});
    let answer = ask(&steward, "POST", "/v1/policies/guard/swap", &broken);
    assert_eq!(
        (answer.status, &answer.body["error"]),
        (422, &json!("not-accepted"))
    );
    assert!(
        answer.body["message"]
            .as_str()
            .unwrap()
            .contains("this is broken")
    );
    let taken = json!({"name": "guard", "component": base64(b"two")});
    let answer = ask(&steward, "POST", "/v1/policies", &taken);
    assert_eq!(
        (answer.status, &answer.body["error"]),
        (409, &json!("taken"))
    );
    let unknown = ask(&steward, "POST", "/v1/policies/nobody/swap", &taken);
    assert_eq!(unknown.status, 404);
    assert_eq!(steward.list()[0].revision, 1);
}

#[test]
fn a_path_or_method_that_is_not_there_says_what_is() {
    let steward = guarded();
    for path in [
        "/",
        "/v1",
        "/v1/policies/",
        "/v1/policies/a/b",
        "/v1/policies/%zz",
        "*",
        "",
    ] {
        let answer = answer(&steward, asked("GET", path, b""));
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.body["next"].as_str().unwrap().contains("openapi"));
    }
    let answer = answer(&steward, asked("PATCH", "/v1/policies/guard", b""));
    assert_eq!(answer.status, 405);
    assert_eq!(answer.fields, [("Allow", "GET, DELETE".to_owned())]);
}

#[test]
fn a_name_in_a_path_may_hold_anything() {
    assert_eq!(
        fit("/v1/policies/{name}", "/v1/policies/a%2Fb%20c"),
        Some("a/b c".to_owned())
    );
    assert_eq!(fit("/v1/policies/{name}", "/v1/policies"), None);
    assert_eq!(
        fit("/v1/policies/{name}/swap", "/v1/policies/a/swap"),
        Some("a".to_owned())
    );
}

#[test]
fn the_document_is_served_whole() {
    let served = ask(&guarded(), "GET", "/v1/openapi.json", &Json::Null).body;
    assert_eq!(served["openapi"], "3.1.0");
    assert!(
        served["paths"]
            .as_object()
            .is_some_and(|paths| paths.len() > 5)
    );
}

#[test]
fn the_guest_is_asked_what_it_is_and_does() {
    let steward = guarded();
    let ask = |body: &Json| ask(&steward, "POST", "/v1/guest", body);
    let info = ask(&json!({ "ask": "info" }));
    assert_eq!(
        (info.status, &info.body["release"]),
        (200, &json!("9.9.9-forged"))
    );
    let tasks = ask(&json!({ "ask": "tasks" })).body;
    assert_eq!(tasks["tasks"][2]["name"], "sh");
    let missing = json!({ "ask": "symbols", "which": { "named": "nix" } });
    let missing = ask(&missing);
    assert_eq!(
        (missing.status, &missing.body["error"]),
        (404, &json!("unknown"))
    );
    let said = missing.body["message"].as_str().unwrap();
    assert!(said.contains("no symbol nix"), "{said}");
    for wrong in [
        json!({ "ask": "nix" }),
        json!({ "ask": "at", "address": 7 }),
        json!({}),
    ] {
        assert_eq!(ask(&wrong).status, 422, "{wrong}");
    }
}
