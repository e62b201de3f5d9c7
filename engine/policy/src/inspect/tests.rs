use super::*;

#[test]
fn an_inspection_is_json() {
    let bytes = crate::tests::guest::Guest::judging(["msr"])
        .importing("alert", "raise")
        .build();
    let json = serde_json::to_value(inspect(&bytes).unwrap()).unwrap();
    assert_eq!(json["hears"], serde_json::json!(["msr"]));
    assert_eq!(json["asks"], serde_json::json!(["alert"]));
    assert_eq!(json["functions"], serde_json::json!([["alert", ["raise"]]]));
    assert_eq!(json["signed"], false);
    assert_eq!(json["size"], bytes.len());
    assert_eq!(json["manifest"]["instances"], "vcpu");
    assert_eq!(json["digest"].as_str().map(str::len), Some(64));
}

#[test]
fn an_ordinary_policy_fits_the_pool() {
    let guest = crate::tests::guest::Guest::judging(["msr"]).importing("alert", "raise");
    let found = inspect(&guest.build()).unwrap().footprint;
    assert_eq!((found.memories, found.memory_bytes), (1, 65_536));
    assert!(found.modules <= 4 && found.tables <= 4, "{found:?}");
}
