//! A project in JavaScript: the policy with its native tests, what they have of Oriel, and its world.

use oriel_build::javascript::RELEASE;

use super::{Begun, Files, Kind, bundled, kinds::GUARDED, world};
use crate::bundle::WIT_VERSION;

/// The rights of a policy that begins here: what is imported of each, and what native tests have in its place.
const RIGHTS: [(&str, &str, &str); 4] = [
    (
        "alert",
        "raise",
        include_str!("../../../../templates/js/host/alert.mjs"),
    ),
    (
        "log",
        "write",
        include_str!("../../../../templates/js/host/log.mjs"),
    ),
    (
        "metrics",
        "add",
        include_str!("../../../../templates/js/host/metrics.mjs"),
    ),
    (
        "store",
        "compareAndSwapNumber",
        include_str!("../../../../templates/js/host/store.mjs"),
    ),
];

/// Its engine gives up at 32 MiB of objects, before it has collected those that nobody needs. Ten before that a new
/// instance takes over.
pub(super) const LIMITS: &str = "  \"limits\": { \"renew-bytes\": 33554432 },\n";

/// What leads native tests to it.
const LEADING: [(&str, &str); 2] = [
    (
        "register.mjs",
        include_str!("../../../../templates/js/vendor/register.mjs"),
    ),
    (
        "resolve.mjs",
        include_str!("../../../../templates/js/vendor/resolve.mjs"),
    ),
];

/// Its files.
pub(super) fn files(begun: &Begun<'_>) -> Files {
    let mut files = vec![
        (
            "README.md".into(),
            begun
                .fill(include_str!("../../../../templates/js/README.md.txt"))
                .replace("{RELEASE}", RELEASE),
        ),
        (
            "package.json".into(),
            include_str!("../../../../templates/js/package.json.txt").into(),
        ),
        ("src/policy.js".into(), source(begun)),
        ("tests/policy.test.mjs".into(), tests(begun)),
    ];
    let host = rights(begun).map(|(right, _, text)| {
        let path = format!("tests/host/{right}.mjs");
        (path.into(), (*text).to_owned())
    });
    files.extend(host);
    files.extend(bundled("vendor/oriel-js", &LEADING));
    files.extend(world::files(begun, begun.rights().into_iter()));
    files
}

fn rights(
    begun: &Begun<'_>,
) -> impl Iterator<Item = &'static (&'static str, &'static str, &'static str)> {
    let used = begun.rights();
    RIGHTS
        .iter()
        .filter(move |(right, ..)| used.contains(right))
}

fn source(begun: &Begun<'_>) -> String {
    let uses = rights(begun).map(|(right, function, _)| {
        format!("import {{ {function} }} from \"oriel:introspection/{right}@{WIT_VERSION}\";\n")
    });
    let head = begun.fill(include_str!("../../../../templates/js/head.js.txt"));
    let mut text = head.replace("{USES}", &uses.collect::<String>());
    for kind in &begun.kinds {
        text += &judge(kind);
    }
    text
}

fn judge(kind: &Kind) -> String {
    if kind.name == GUARDED {
        return include_str!("../../../../templates/js/msr.js.txt").into();
    }
    filled(include_str!("../../../../templates/js/kind.js.txt"), kind)
}

fn tests(begun: &Begun<'_>) -> String {
    let guards = "import { alerts } from \"./host/alert.mjs\";\nimport { numbers } from \"./host/store.mjs\";\n";
    let counts = "import { counters } from \"./host/metrics.mjs\";\n";
    let uses: String = [(begun.guards_lstar(), guards), (begun.counts(), counts)]
        .into_iter()
        .filter_map(|(is_so, text)| is_so.then_some(text))
        .collect();
    let objects: Vec<_> = begun.kinds.iter().map(|kind| object(kind)).collect();
    let head = include_str!("../../../../templates/js/test_head.mjs.txt");
    let mut text = head
        .replace("{USES}\n", &uses)
        .replace("{OBJECTS}", &objects.join(", "));
    for kind in &begun.kinds {
        text += &test(kind);
    }
    text
}

fn test(kind: &Kind) -> String {
    if kind.name == GUARDED {
        return include_str!("../../../../templates/js/msr_test.mjs.txt").into();
    }
    filled(
        include_str!("../../../../templates/js/kind_test.mjs.txt"),
        kind,
    )
}

fn filled(template: &str, kind: &Kind) -> String {
    let names: String = kind
        .names()
        .map(|name| format!(", {}", parameter(&name)))
        .collect();
    template
        .replace("{KIND}", kind.name)
        .replace("{OBJECT}", &object(kind))
        .replace("{PARAMETERS}", &names)
}

/// What is exported for it: the interface's name, with capitals for dashes.
fn object(kind: &Kind) -> String {
    camel(&format!("judge-{}", kind.name))
}

/// `new` and `function` are the language's own words.
fn parameter(name: &str) -> String {
    match name {
        "new" => "written".into(),
        "function" => "leaf".into(),
        _ => camel(name),
    }
}

fn camel(name: &str) -> String {
    let mut words = name.split('-');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |sum, word| {
        let mut letters = word.chars();
        let capital = letters.next().map(|letter| letter.to_ascii_uppercase());
        sum + &capital.into_iter().chain(letters).collect::<String>()
    })
}
