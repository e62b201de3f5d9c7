//! The rule: what may be different between a released package and the one that follows it. Says in
//! words what breaks it, and reads no file.

use std::collections::BTreeMap;

use super::shape::{Items, Package, Version};

/// The world that says which interfaces policies export: those in it that are not imported.
const HOST: &str = "host";

/// In what ways `now` breaks what was promised with `kept`; none: it does not.
pub(super) fn complaints(kept: &Package, now: &Package) -> Vec<String> {
    let mut complaints = version(kept, now);
    let is_new = now.version > kept.version;
    for (name, items) in &kept.interfaces {
        let part = Part {
            what: format!("interface `{name}`"),
            may_grow: is_new && !is_exported(kept, name),
            grown: grown(kept, name, is_new),
        };
        part.compare(Some(items), now.interfaces.get(name), &mut complaints);
    }
    for (name, items) in &kept.worlds {
        let part = Part {
            what: format!("world `{name}`"),
            may_grow: is_new,
            grown: next(kept.version),
        };
        part.compare(Some(items), now.worlds.get(name), &mut complaints);
    }
    if !is_new {
        complaints.extend(new_ones(
            "interface",
            &kept.interfaces,
            &now.interfaces,
            kept.version,
        ));
        complaints.extend(new_ones("world", &kept.worlds, &now.worlds, kept.version));
    }
    complaints
}

/// Whether this interface is one that policies export.
fn is_exported(package: &Package, interface: &str) -> bool {
    let host = package.worlds.get(HOST);
    host.is_some_and(|host| host.contains_key(&format!("export `{interface}`")))
}

/// What is to be done instead of letting an interface grow.
fn grown(kept: &Package, interface: &str, is_new: bool) -> String {
    if is_new || is_exported(kept, interface) {
        return format!("policies export it, so make `{interface}-2` beside it");
    }
    next(kept.version)
}

fn next(Version(major, minor, patch): Version) -> String {
    let next = if major == 0 {
        Version(major, minor, patch + 1)
    } else {
        Version(major, minor + 1, 0)
    };
    format!("this version is released, so it comes with {next}")
}

/// A policy that was built against the one must find its interfaces in the other.
fn version(kept: &Package, now: &Package) -> Vec<String> {
    let line = |Version(major, minor, _): Version| match major {
        0 => (0, minor),
        _ => (major, 0),
    };
    if kept.name != now.name {
        let (was, is) = (&kept.name, &now.name);
        return vec![format!(
            "the package was `{was}` and is `{is}`: no policy would find it"
        )];
    }
    if now.version < kept.version {
        return vec![format!(
            "version {} is older than the released one",
            now.version
        )];
    }
    if line(now.version) != line(kept.version) {
        let is = now.version;
        return vec![format!(
            "version {is} is not compatible with the released one: no policy would load any more; \
             what has to change is a new interface beside the old one"
        )];
    }
    Vec::new()
}

fn new_ones<'a>(
    word: &'a str,
    kept: &'a BTreeMap<String, Items>,
    now: &'a BTreeMap<String, Items>,
    version: Version,
) -> impl Iterator<Item = String> + 'a {
    let is_new = |name: &&String| !kept.contains_key(*name);
    let names = now.keys().filter(is_new);
    names.map(move |name| format!("{word} `{name}` is new: {}", next(version)))
}

/// An interface or a world.
struct Part {
    what: String,
    may_grow: bool,
    /// What to do where it may not.
    grown: String,
}

impl Part {
    fn compare(&self, kept: Option<&Items>, now: Option<&Items>, complaints: &mut Vec<String>) {
        let what = &self.what;
        let (Some(kept), Some(now)) = (kept, now) else {
            complaints.push(format!("{what} is gone: a released one stays"));
            return;
        };
        for (name, was) in kept {
            match now.get(name) {
                None => complaints.push(format!("{what}: {name} is gone: what is released stays")),
                Some(is) if is != was => complaints.push(format!(
                    "{what}: {name} has changed; make another one beside it\n    was {was}\n    is  {is}"
                )),
                Some(_) => {}
            }
        }
        if !self.may_grow {
            let new = now.keys().filter(|name| !kept.contains_key(*name));
            complaints.extend(new.map(|name| format!("{what}: {name} is new: {}", self.grown)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wit_bindgen_core::wit_parser::Resolve;

    const RELEASED: &str = "package oriel:test@0.1.0;
        interface words { record place { gpa: u64, size: u8 } enum no { denied, gone } }
        interface look { use words.{no}; read: func(gpa: u64) -> result<u64, no>; }
        interface judge-msr { variant verdict { %continue, deny } judge: func(new: u64) -> verdict; }
        world host { import look; export judge-msr; }";

    fn package(text: &str) -> Package {
        let mut resolve = Resolve::default();
        let package = resolve.push_source("test.wit", text).expect("well formed");
        Package::of(&resolve, package).expect("it has a version")
    }

    /// What is said of the released text with these edits.
    fn edited(edits: &[(&str, &str)]) -> Vec<String> {
        let text = edits.iter().fold(RELEASED.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{from}");
            text.replace(from, to)
        });
        complaints(&package(RELEASED), &package(&text))
    }

    const NEXT: (&str, &str) = ("@0.1.0", "@0.1.1");

    #[test]
    fn what_is_the_same_or_only_told_otherwise_breaks_nothing() {
        assert_eq!(edited(&[]), [""; 0]);
        assert_eq!(
            edited(&[("interface look", "/// Looks.\ninterface look")]),
            [""; 0]
        );
        assert_eq!(edited(&[NEXT]), [""; 0]);
    }

    #[test]
    fn a_new_version_may_have_more_where_nobody_misses_it() {
        let function = ("read:", "write: func(gpa: u64); read:");
        let ty = ("enum no {", "enum yes { well } enum no {");
        let interface = (
            "world host { import look;",
            "interface act { go: func(); } world host { import look; import act;",
        );
        assert_eq!(edited(&[NEXT, function]), [""; 0]);
        assert_eq!(edited(&[NEXT, ty]), [""; 0]);
        assert_eq!(edited(&[NEXT, interface]), [""; 0]);
        let beside = (
            "world host {",
            "interface judge-msr-2 { judge: func(new: u64, old: u64); } world host { export judge-msr-2;",
        );
        assert_eq!(edited(&[NEXT, beside]), [""; 0]);
    }

    #[test]
    fn the_released_version_has_no_more_than_it_had() {
        let said = edited(&[("read:", "write: func(gpa: u64); read:")]);
        assert_eq!(
            said,
            [
                "interface `look`: function `write` is new: this version is released, so it comes with 0.1.1"
            ]
        );
        let said = edited(&[(
            "world host {",
            "interface act { go: func(); } world host { import act;",
        )]);
        assert!(
            said.iter()
                .any(|line| line.starts_with("interface `act` is new: ")),
            "{said:?}"
        );
    }

    #[test]
    fn what_policies_export_does_not_grow() {
        let said = edited(&[NEXT, ("judge: func", "forget: func(); judge: func")]);
        assert_eq!(
            said,
            [
                "interface `judge-msr`: function `forget` is new: policies export it, so make `judge-msr-2` beside it"
            ]
        );
    }

    #[test]
    fn what_has_changed_or_is_gone_is_named_whatever_the_version() {
        for (from, to, words) in [
            (
                "gpa: u64, size: u8",
                "gpa: u64, size: u16",
                "interface `words`: type `place` has changed",
            ),
            (
                "denied, gone",
                "gone, denied",
                "interface `words`: type `no` has changed",
            ),
            (
                "denied, gone",
                "denied, gone, busy",
                "interface `words`: type `no` has changed",
            ),
            (
                "%continue, deny",
                "%continue, deny(u8)",
                "interface `judge-msr`: type `verdict` has changed",
            ),
            (
                "read: func(gpa: u64)",
                "read: func(at: u64)",
                "interface `look`: function `read` has changed",
            ),
            (
                "read: func(gpa: u64) -> result<u64, no>;",
                "",
                "interface `look`: function `read` is gone",
            ),
            (
                "world host { import look;",
                "world host {",
                "world `host`: import `look` is gone",
            ),
            (
                "use words.{no};",
                "enum no { denied, gone }",
                "interface `look`: type `no` has changed",
            ),
        ] {
            let said = edited(&[NEXT, (from, to)]);
            assert!(
                said.iter().any(|line| line.starts_with(words)),
                "{words}: {said:?}"
            );
        }
    }

    #[test]
    fn a_change_is_told_with_what_was_and_what_is() {
        let said = edited(&[NEXT, ("gpa: u64, size: u8", "gpa: u64")]);
        assert_eq!(
            said,
            [
                "interface `words`: type `place` has changed; make another one beside it\n    was record { gpa: u64, size: u8 }\n    is  record { gpa: u64 }"
            ]
        );
    }

    #[test]
    fn a_version_of_another_line_or_an_older_one_is_refused() {
        for (version, words) in [
            ("0.2.0", "not compatible"),
            ("1.0.0", "not compatible"),
            ("0.0.9", "older"),
        ] {
            let said = edited(&[("0.1.0", version)]);
            assert!(said[0].contains(words), "{said:?}");
        }
        let said = edited(&[("oriel:test", "oriel:other")]);
        assert!(said[0].contains("was `oriel:test`"), "{said:?}");
    }
}
