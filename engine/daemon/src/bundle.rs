//! What travels inside the program for those who write policies: the SDK's sources with the
//! releases that they need, and the WIT package. Made by `build.rs`; writes nothing by itself.

use wit_parser::{PackageId, Resolve};

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
        assert!(has(SDK_SOURCES, "src/lib.rs") && has(SDK_SOURCES, "src/bindings/rights.rs"));
        assert!(has(WIT, "wit/types.wit"));
        let package = format!("package oriel:introspection@{WIT_VERSION};");
        assert!(WIT.iter().any(|(_, text)| text.contains(&package)));
        assert!(!SDK_MANIFEST.contains("workspace"), "{SDK_MANIFEST}");
        assert!(SDK_LOCK.contains("name = \"wit-bindgen\""), "{SDK_LOCK}");
        assert!(!SDK_LOCK.contains("wasmtime"), "{SDK_LOCK}");
    }
}
