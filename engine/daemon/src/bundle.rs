//! What travels inside the program for those who write policies: the sources of the SDK and of the
//! mock machine with the releases that they need, and the WIT package. Made by `build.rs`; writes
//! nothing by itself.

use wit_parser::{PackageId, Resolve};

/// A package of ours that goes into projects.
pub(crate) struct Package {
    pub(crate) name: &'static str,
    /// Its `Cargo.toml` outside of this workspace.
    pub(crate) manifest: &'static str,
    pub(crate) sources: &'static [(&'static str, &'static str)],
}

include!(concat!(env!("OUT_DIR"), "/bundle.rs"));

/// Adds the WIT package to what is known.
pub(crate) fn push_wit(resolve: &mut Resolve) -> anyhow::Result<PackageId> {
    // The file with the package's name comes first; all together are one text.
    let names = |(_, text): &&(&str, &str)| text.starts_with("package ");
    let first = WIT.iter().filter(names);
    let rest = WIT.iter().filter(|file| !names(file));
    let rest = rest.filter(|(path, _)| path.ends_with(".wit"));
    let texts: Vec<_> = first.chain(rest).map(|(_, text)| *text).collect();
    resolve.push_source("oriel.wit", &texts.join("\n"))
}

/// The release of the SDK, which is the program's own.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The version of the WIT package.
pub(crate) const WIT_VERSION: &str = "0.1.0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wit_package_can_be_read() {
        let mut resolve = Resolve::default();
        let package = push_wit(&mut resolve).expect("it is well formed");
        let interfaces = &resolve.packages[package].interfaces;
        assert!(interfaces.contains_key("judge-msr") && interfaces.contains_key("store"));
    }

    #[test]
    fn the_sdk_and_the_wit_are_all_there() {
        let has = |files: &[(&str, &str)], name: &str| files.iter().any(|(path, _)| *path == name);
        let [sdk, machine, protocol] = PACKAGES else {
            panic!("there are three packages");
        };
        assert!(has(sdk.sources, "src/lib.rs") && has(sdk.sources, "src/bindings/rights.rs"));
        assert!(has(machine.sources, "src/mock/builtin/tour.toml"));
        assert!(!has(machine.sources, "src/kvm.rs") && has(protocol.sources, "src/events.rs"));
        assert!(has(WIT, "wit/types.wit"));
        let package = format!("package oriel:introspection@{WIT_VERSION};");
        assert!(WIT.iter().any(|(_, text)| text.contains(&package)));
        for package in PACKAGES {
            let text = package.manifest;
            assert!(
                !text.contains("workspace") && !text.contains("kvm-"),
                "{text}"
            );
        }
        assert!(LOCK.contains("name = \"wit-bindgen\""), "{LOCK}");
        assert!(LOCK.contains("name = \"vm-memory\""), "{LOCK}");
        assert!(
            !LOCK.contains("wasmtime") && !LOCK.contains("kvm-ioctls"),
            "{LOCK}"
        );
    }
}
