//! As much of JSON Schema as `docs/openapi.json` uses, for tests: a keyword that is not known here
//! is a failure, so that nothing in the document goes unchecked.

use serde_json::Value as Json;

/// What is wrong with a value, by its path; nothing if it is as the schema says.
pub(crate) fn violations(document: &Json, schema: &Json, value: &Json) -> Vec<String> {
    let mut found = Vec::new();
    Check {
        document,
        found: &mut found,
    }
    .value(schema, value, "$");
    found
}

struct Check<'a> {
    document: &'a Json,
    found: &'a mut Vec<String>,
}

impl Check<'_> {
    fn value(&mut self, schema: &Json, value: &Json, at: &str) {
        let Some(keywords) = schema.as_object() else {
            return self.wrong(at, "its schema is no object");
        };
        for (keyword, rule) in keywords {
            match keyword.as_str() {
                "$ref" => self.reference(rule, value, at),
                "type" => self.kind(rule, value, at),
                "enum" => {
                    let listed = rule.as_array().is_some_and(|all| all.contains(value));
                    if !listed {
                        self.wrong(at, &format!("{value} is not in {rule}"));
                    }
                }
                "required" => self.required(rule, value, at),
                "properties" => self.properties(schema, value, at),
                "items" => {
                    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.value(rule, item, &format!("{at}[{index}]"));
                    }
                }
                "anyOf" => self.any(rule, value, at),
                "minimum" => {
                    if value.as_f64() < rule.as_f64() && value.is_number() {
                        self.wrong(at, &format!("{value} is below {rule}"));
                    }
                }
                "additionalProperties"
                | "description"
                | "examples"
                | "default"
                | "contentEncoding" => {}
                other => self.wrong(at, &format!("the keyword {other:?} is not known here")),
            }
        }
    }

    fn wrong(&mut self, at: &str, what: &str) {
        self.found.push(format!("{at}: {what}"));
    }

    fn reference(&mut self, name: &Json, value: &Json, at: &str) {
        let pointer = name.as_str().and_then(|name| name.strip_prefix('#'));
        let document = self.document;
        match pointer.and_then(|pointer| document.pointer(pointer)) {
            Some(schema) => self.value(schema, value, at),
            None => self.wrong(at, &format!("{name} leads nowhere")),
        }
    }

    fn kind(&mut self, rule: &Json, value: &Json, at: &str) {
        let is = |kind: &Json| match kind.as_str() {
            Some("object") => value.is_object(),
            Some("array") => value.is_array(),
            Some("string") => value.is_string(),
            Some("integer") => value.is_u64() || value.is_i64(),
            Some("number") => value.is_number(),
            Some("boolean") => value.is_boolean(),
            Some("null") => value.is_null(),
            Some(_) | None => false,
        };
        let fits = rule
            .as_array()
            .map_or_else(|| is(rule), |kinds| kinds.iter().any(is));
        if !fits {
            self.wrong(at, &format!("{value} is no {rule}"));
        }
    }

    fn required(&mut self, rule: &Json, value: &Json, at: &str) {
        let keys = rule
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Json::as_str);
        for key in keys.filter(|key| value.is_object() && value.get(key).is_none()) {
            self.wrong(at, &format!("{key:?} is missing"));
        }
    }

    fn properties(&mut self, schema: &Json, value: &Json, at: &str) {
        let open = schema.get("additionalProperties") != Some(&Json::Bool(false));
        for (key, inner) in value.as_object().into_iter().flatten() {
            match schema["properties"].get(key) {
                Some(rule) => self.value(rule, inner, &format!("{at}.{key}")),
                None if open => {}
                None => self.wrong(at, &format!("{key:?} is not described")),
            }
        }
    }

    fn any(&mut self, rule: &Json, value: &Json, at: &str) {
        let all = rule.as_array().into_iter().flatten();
        let fits = |schema: &Json| violations(self.document, schema, value).is_empty();
        if !all.into_iter().any(fits) {
            self.wrong(at, &format!("{value} is none of {rule}"));
        }
    }
}
