use super::*;

fn declared(json: &str) -> BTreeMap<String, Parameter> {
    serde_json::from_str(json).unwrap()
}

fn given(toml: &str) -> BTreeMap<String, Setting> {
    toml::from_str(toml).unwrap()
}

fn resolved(json: &str, toml: &str) -> Result<Vec<(String, Setting)>, String> {
    resolve(&declared(json), &given(toml)).map_err(|error| error.to_string())
}

#[test]
fn numbers_can_be_written_as_people_write_them() {
    let number = r#"{"n":{"type":"number"}}"#;
    for (written, value) in [
        ("n = 16", 16),
        ("n = \"0x10\"", 16),
        ("n = \"0xC000_0082\"", 0xc000_0082),
        ("n = \"7\"", 7),
    ] {
        let expected = vec![("n".to_owned(), Setting::Number(value))];
        assert_eq!(resolved(number, written), Ok(expected), "{written}");
    }
    let numbers = r#"{"n":{"type":"numbers"}}"#;
    for written in [
        "n = [174, 375]",
        "n = [\"0xae\", \"0x177\"]",
        "n = [174, \"0x177\"]",
    ] {
        let expected = vec![("n".to_owned(), Setting::Numbers(vec![174, 375]))];
        assert_eq!(resolved(numbers, written), Ok(expected), "{written}");
    }
}

#[test]
fn a_text_stays_a_text_where_a_text_is_declared() {
    let texts = r#"{"t":{"type":"text"},"l":{"type":"texts"}}"#;
    let expected = vec![
        ("l".to_owned(), Setting::Texts(vec!["0x10".into()])),
        ("t".to_owned(), Setting::Text("0x10".into())),
    ];
    assert_eq!(
        resolved(texts, "t = \"0x10\"\nl = [\"0x10\"]"),
        Ok(expected)
    );
}

#[test]
fn an_empty_list_is_a_list_of_anything() {
    let lists = r#"{"a":{"type":"numbers"},"b":{"type":"texts"}}"#;
    let expected = vec![
        ("a".to_owned(), Setting::Numbers(vec![])),
        ("b".to_owned(), Setting::Texts(vec![])),
    ];
    assert_eq!(resolved(lists, "a = []\nb = []"), Ok(expected));
}

#[test]
fn what_is_wrong_is_named() {
    let schema = r#"{"n":{"type":"number"},"f":{"type":"flag"},"must":{"type":"text","required":true,"doc":"the one"}}"#;
    let table = [
        (
            "must = \"x\"\nm = 1",
            "`config.m` is not declared by the policy; it declares f, must, n",
        ),
        (
            "must = \"x\"\nn = \"ten\"",
            "`config.n` must be a number (or a text like \"0x10\"), and is the text \"ten\"",
        ),
        (
            "must = \"x\"\nn = true",
            "`config.n` must be a number (or a text like \"0x10\"), and is the flag true",
        ),
        (
            "must = \"x\"\nf = 1",
            "`config.f` must be a flag (true or false), and is the number 1",
        ),
        ("n = 1", "`config.must` is missing: a text (the one)"),
    ];
    for (written, expected) in table {
        assert_eq!(resolved(schema, written), Err(expected.to_owned()));
    }
    let nothing = resolved("{}", "a = 1").unwrap_err();
    assert_eq!(
        nothing,
        "`config.a` is not declared by the policy; it declares no configuration"
    );
}

#[test]
fn defaults_are_filled_in_and_optional_keys_left_out() {
    let schema = r#"{"a":{"type":"number","default":"0xff"},"b":{"type":"number"}}"#;
    assert_eq!(
        resolved(schema, ""),
        Ok(vec![("a".to_owned(), Setting::Number(255))])
    );
    assert_eq!(
        resolved(schema, "a = 1"),
        Ok(vec![("a".to_owned(), Setting::Number(1))])
    );
}

#[test]
fn values_that_no_policy_can_have_are_refused_as_they_are_read() {
    for written in ["n = -1", "n = 1.5", "n = [1, -1]", "n = {}", "n = [[1]]"] {
        let error = toml::from_str::<BTreeMap<String, Setting>>(written).unwrap_err();
        assert!(
            error.to_string().contains("expected a"),
            "{written}: {error}"
        );
    }
}
