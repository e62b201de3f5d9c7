//! A core module made into a component that carries its manifest. Bytes in, bytes out.

use anyhow::{Context, Result};
use wasm_encoder::{ComponentSection, CustomSection};
use wit_component::ComponentEncoder;

/// Where a plugin's manifest is: a custom section of the component itself.
const MANIFEST: &str = "oriel:manifest";

/// Makes a component of a module, and appends the manifest.
///
/// # Errors
/// If the module does not fit the worlds it was compiled for.
pub(super) fn from_module(module: &[u8], manifest: &[u8]) -> Result<Vec<u8>> {
    let mut component = ComponentEncoder::default()
        .validate(true)
        .module(module)
        .context("reading the module")?
        .encode()
        .context("making the module a component")?;
    let section = CustomSection {
        name: MANIFEST.into(),
        data: manifest.into(),
    };
    section.append_to_component(&mut component);
    Ok(component)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmparser::{Parser, Payload};

    #[test]
    fn the_manifest_is_a_section_of_the_component_itself() -> Result<()> {
        let module = wasm_encoder::Module::new().finish();
        let manifest = [b' '; 300];
        let component = from_module(&module, &manifest)?;
        let mut depth = 0;
        let mut found = Vec::new();
        for payload in Parser::new(0).parse_all(&component) {
            let payload = payload?;
            if let Payload::ModuleSection { .. } | Payload::ComponentSection { .. } = payload {
                depth += 1;
            } else if let Payload::End(_) = payload {
                depth -= 1;
            } else if let Payload::CustomSection(section) = payload {
                found.push((depth, section.name().to_owned(), section.data().to_vec()));
            }
        }
        found.retain(|(_, name, _)| name == MANIFEST);
        assert_eq!(found, [(0, MANIFEST.to_owned(), manifest.to_vec())]);
        Ok(())
    }
}
