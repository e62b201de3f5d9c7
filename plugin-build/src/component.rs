//! A core module made into a component that carries its manifest. Bytes in, bytes out.

use thiserror::Error;
use wasm_encoder::{ComponentSection, CustomSection};
use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

/// Where a plugin's manifest is: a custom section of the component itself.
const MANIFEST: &str = "oriel:manifest";

/// How the sections are called in which a module says what its component is to be.
const TYPES: &str = "component-type";

/// Why a module does not become a plugin.
#[derive(Debug, Error)]
pub enum ComponentError {
    /// It is no module.
    #[error(
        "what the compiler made is not a module of WebAssembly; build it for wasm32-unknown-unknown"
    )]
    NotAModule(#[source] wasmparser::Error),
    /// It calls an operating system.
    #[error(
        "it uses WASI (`{0}`), and a policy has no operating system: build it for \
         wasm32-unknown-unknown, and do without what needs one"
    )]
    Wasi(String),
    /// Nobody could call it.
    #[error(
        "it exports nothing that Oriel could call: say `oriel_sdk::export!(MyPolicy: msr)` at the \
         top of its crate, or link the bindings of its world"
    )]
    NoExports,
    /// It does not fit the world that it names.
    #[error("the module does not fit the interfaces that it was compiled for: {0}")]
    Misfit(String),
}

/// Makes a component of a module, and appends the manifest.
///
/// # Errors
/// [`ComponentError`] says what is wrong with the module, and what to do.
pub fn from_module(module: &[u8], manifest: &[u8]) -> Result<Vec<u8>, ComponentError> {
    check(module)?;
    let encoded = ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|mut encoder| encoder.encode());
    let mut component = encoded.map_err(|error| ComponentError::Misfit(format!("{error:#}")))?;
    let section = CustomSection {
        name: MANIFEST.into(),
        data: manifest.into(),
    };
    section.append_to_component(&mut component);
    Ok(component)
}

/// Says in words what the encoder would say in its own.
fn check(module: &[u8]) -> Result<(), ComponentError> {
    let mut says_what_it_is = false;
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload.map_err(ComponentError::NotAModule)?;
        if let Payload::CustomSection(section) = &payload {
            says_what_it_is |= section.name().starts_with(TYPES);
        } else if let Payload::ImportSection(imports) = payload {
            refuse_wasi(imports)?;
        }
    }
    if says_what_it_is {
        Ok(())
    } else {
        Err(ComponentError::NoExports)
    }
}

fn refuse_wasi(imports: wasmparser::ImportSectionReader<'_>) -> Result<(), ComponentError> {
    for import in imports.into_imports() {
        let import = import.map_err(ComponentError::NotAModule)?;
        if import.module.starts_with("wasi") {
            let name = format!("{}::{}", import.module, import.name);
            return Err(ComponentError::Wasi(name));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_encoder::{EntityType, ImportSection, Module, TypeSection};
    use wit_component::{StringEncoding, embed_component_metadata};
    use wit_parser::Resolve;

    /// An empty module for an empty world.
    fn module() -> anyhow::Result<Vec<u8>> {
        let mut resolve = Resolve::default();
        let package = resolve.push_str("empty.wit", "package a:b; world empty {}")?;
        let world = resolve.select_world(&[package], None)?;
        let mut module = Module::new().finish();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
        Ok(module)
    }

    #[test]
    fn the_manifest_is_a_section_of_the_component_itself() -> anyhow::Result<()> {
        let manifest = [b' '; 300];
        let component = from_module(&module()?, &manifest)?;
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

    #[test]
    fn a_module_that_says_nothing_of_interfaces_exports_nothing() {
        let refused = from_module(&Module::new().finish(), b"{}");
        assert!(
            matches!(refused, Err(ComponentError::NoExports)),
            "{refused:?}"
        );
        let refused = from_module(b"\x7fELF", b"{}");
        assert!(
            matches!(refused, Err(ComponentError::NotAModule(_))),
            "{refused:?}"
        );
    }

    #[test]
    fn wasi_is_refused_by_the_name_of_the_function() {
        let mut types = TypeSection::new();
        types.ty().function([], []);
        let mut imports = ImportSection::new();
        imports.import(
            "wasi_snapshot_preview1",
            "fd_write",
            EntityType::Function(0),
        );
        let mut module = Module::new();
        module.section(&types).section(&imports);
        let refused = from_module(&module.finish(), b"{}").expect_err("it uses WASI");
        assert!(
            refused
                .to_string()
                .contains("wasi_snapshot_preview1::fd_write")
        );
    }
}
