//! The policy of the benches: a component that judges MSR writes and lets all of them happen, made
//! of the real `wit/`.

use anyhow::{Context, Result};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

const WORLD: &str = "
    package bench:guest;
    world guest {
        export oriel:introspection/lifecycle@0.1.0;
        export oriel:introspection/judge-msr@0.1.0;
    }";

/// Everything answers with zeros: no error, no filters, `continue`.
const CODE: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 4096)
    (func (export "oriel:introspection/lifecycle@0.1.0#init")
        (param i32 i32 i32 i32) (result i32) i32.const 1024)
    (func (export "oriel:introspection/judge-msr@0.1.0#filters") (result i32) i32.const 1024)
    (func (export "oriel:introspection/judge-msr@0.1.0#judge")
        (param i32 i32 i32 i32 i32 i64 i64 i64 i64) (param i32 i64 i64 i64)
        (result i32) i32.const 1024))"#;

/// The component.
pub(crate) fn component() -> Result<Vec<u8>> {
    let mut resolve = Resolve::default();
    resolve.push_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit"))?;
    let package = resolve.push_str("bench.wit", WORLD)?;
    let world = resolve.select_world(&[package], Some("guest"))?;
    let mut module = wat::parse_str(CODE)?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    ComponentEncoder::default()
        .module(&module)?
        .validate(true)
        .encode()
        .context("componentising")
}
