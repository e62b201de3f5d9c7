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

/// `save` answers schema 1 and 4096 bytes at 8192; `restore` takes what it gets.
const STATE: &str = r#"
    (data (i32.const 2048) "\00\00\00\00\01\00\00\00\00\20\00\00\00\10\00\00")
    (func (export "oriel:introspection/state@0.1.0#save") (result i32) i32.const 2048)
    (func (export "oriel:introspection/state@0.1.0#restore")
        (param i32 i32 i32 i64) (result i32) i32.const 1024)"#;

/// The component.
#[allow(dead_code, reason = "the bench of swaps has the other one")]
pub(crate) fn component() -> Result<Vec<u8>> {
    encode(WORLD, CODE)
}

/// A component with the state interface as well: 4 KiB, saved and restored.
#[allow(dead_code, reason = "not every bench swaps policies")]
pub(crate) fn with_state() -> Result<Vec<u8>> {
    let world = WORLD.replacen(
        "export",
        "export oriel:introspection/state@0.1.0;\n        export",
        1,
    );
    let code = CODE.strip_suffix(')').context("a module")?;
    encode(&world, &format!("{code}{STATE})"))
}

fn encode(world: &str, code: &str) -> Result<Vec<u8>> {
    let mut resolve = Resolve::default();
    resolve.push_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit"))?;
    let package = resolve.push_str("bench.wit", world)?;
    let world = resolve.select_world(&[package], Some("guest"))?;
    let mut module = wat::parse_str(code)?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    ComponentEncoder::default()
        .module(&module)?
        .validate(true)
        .encode()
        .context("componentising")
}
