//! The document and the table of routes say the same, and the document is true to itself.

use std::collections::BTreeSet;

use super::{super::routes::ROUTES, schema::violations, *};

fn read() -> Json {
    serde_json::from_str(TEXT).expect("docs/openapi.json is JSON")
}

#[test]
fn every_route_is_described_and_every_description_is_routed() {
    let document = read();
    let paths = document["paths"].as_object().unwrap();
    let described: BTreeSet<_> = paths
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().keys();
            let methods = methods.filter(|key| *key != "parameters");
            methods.map(move |method| (method.to_uppercase(), path.clone()))
        })
        .collect();
    let routed = ROUTES.iter();
    let routed = routed.map(|route| (route.method.to_owned(), route.path.to_owned()));
    assert_eq!(described, routed.collect());
}

#[test]
fn every_example_is_as_its_schema_says() {
    let document = read();
    let mut seen = 0;
    walk(&document, &mut |at| {
        let (Some(schema), Some(example)) = (at.get("schema"), at.get("example")) else {
            return;
        };
        seen += 1;
        let wrong = violations(&document, schema, example);
        assert_eq!(wrong, [] as [String; 0], "{example}");
    });
    assert!(seen > 20, "{seen} examples");
}

#[test]
fn what_is_referred_to_is_there() {
    let document = read();
    walk(&document, &mut |at| {
        if let Some(name) = at.get("$ref").and_then(Json::as_str) {
            let pointer = name.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{name}");
        }
    });
}

#[test]
fn a_wrong_value_is_seen_by_the_test_itself() {
    let document = read();
    let schema = &document["components"]["schemas"]["Policy"];
    let mut value = document["components"]["schemas"]["Policy"].clone();
    assert!(!violations(&document, schema, &value).is_empty());
    value = document["paths"]["/v1/policies/{name}"]["get"]["responses"]["200"]["content"]
        ["application/json"]["example"]
        .clone();
    assert_eq!(violations(&document, schema, &value), [] as [String; 0]);
    value["revision"] = "one".into();
    value["more"] = 1.into();
    assert_eq!(violations(&document, schema, &value).len(), 2);
}

fn walk(value: &Json, visit: &mut impl FnMut(&Json)) {
    visit(value);
    match value {
        Json::Object(map) => map.values().for_each(|inner| walk(inner, visit)),
        Json::Array(list) => list.iter().for_each(|inner| walk(inner, visit)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}
