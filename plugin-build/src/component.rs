//! A core module made into a component that carries its manifest. Bytes in, bytes out.

use thiserror::Error;
use wasm_encoder::{ComponentSection, CustomSection};
use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

/// Where a plugin's manifest is: a custom section of the component itself.
const MANIFEST: &str = "oriel:manifest";

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
    let component = encoded.map_err(|error| ComponentError::Misfit(format!("{error:#}")))?;
    Ok(with_manifest(component, manifest))
}

/// Appends the manifest to what is a component already.
pub fn with_manifest(mut component: Vec<u8>, manifest: &[u8]) -> Vec<u8> {
    let section = CustomSection {
        name: MANIFEST.into(),
        data: manifest.into(),
    };
    section.append_to_component(&mut component);
    component
}

/// Says in words what the encoder would say in its own.
fn check(module: &[u8]) -> Result<(), ComponentError> {
    let mut can_be_called = false;
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload.map_err(ComponentError::NotAModule)?;
        if let Payload::ExportSection(exports) = payload {
            can_be_called |= exports
                .into_iter()
                .flatten()
                .any(|export| is_of_an_interface(export.name));
        } else if let Payload::ImportSection(imports) = payload {
            refuse_wasi(imports)?;
        }
    }
    if can_be_called {
        Ok(())
    } else {
        Err(ComponentError::NoExports)
    }
}

/// Bindings name a function by its interface, a `#`, and its own name.
fn is_of_an_interface(export: &str) -> bool {
    export.contains(':') && export.contains('#')
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
    use wasm_encoder::{
        CodeSection, EntityType, ExportKind, ExportSection, Function, FunctionSection,
        ImportSection, Module, TypeSection,
    };
    use wit_component::{StringEncoding, embed_component_metadata};
    use wit_parser::Resolve;

    /// A module that exports one function, which does nothing, for a world that says so.
    fn module() -> anyhow::Result<Vec<u8>> {
        let wit = "package a:b; interface c { d: func(); } world only { export c; }";
        let mut resolve = Resolve::default();
        let package = resolve.push_str("only.wit", wit)?;
        let world = resolve.select_world(&[package], None)?;
        let mut code = CodeSection::new();
        let mut nothing = Function::new([]);
        nothing.instructions().end();
        code.function(&nothing);
        let mut functions = FunctionSection::new();
        functions.function(0);
        let mut exports = ExportSection::new();
        exports.export("a:b/c#d", ExportKind::Func, 0);
        let mut module = Module::new();
        module.section(&types()).section(&functions);
        module.section(&exports).section(&code);
        let mut module = module.finish();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
        Ok(module)
    }

    /// One: of functions without parameters and results.
    fn types() -> TypeSection {
        let mut types = TypeSection::new();
        types.ty().function([], []);
        types
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
    fn a_module_without_functions_of_interfaces_exports_nothing() {
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
        let mut imports = ImportSection::new();
        imports.import(
            "wasi_snapshot_preview1",
            "fd_write",
            EntityType::Function(0),
        );
        let mut module = Module::new();
        module.section(&types()).section(&imports);
        let refused = from_module(&module.finish(), b"{}").expect_err("it uses WASI");
        assert!(
            refused
                .to_string()
                .contains("wasi_snapshot_preview1::fd_write")
        );
    }
}
