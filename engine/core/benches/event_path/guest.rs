//! The policy of the bench: a component that judges MSR writes and lets all of them happen, made
//! of the real `wit/`; and that component called by nothing but wasmtime.

use anyhow::{Context, Result};
use wasmtime::{
    Config, Engine, Store,
    component::{Component, Linker},
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use bindings::{
    exports::oriel::introspection::judge_msr::{Guest, GuestIndices},
    oriel::introspection::types::{Decision, Moment, Verdicts},
};

mod bindings {
    wasmtime::component::bindgen!({ path: "../../wit", world: "hears-msr" });
}

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

/// The component called by nothing but wasmtime, set up as the host of policies sets it up.
pub(crate) struct Raw {
    store: Store<()>,
    guest: Guest,
}

impl Raw {
    pub(crate) fn new(component: &[u8]) -> Result<Self> {
        let mut config = Config::new();
        config.concurrency_support(false).epoch_interruption(true);
        let engine = Engine::new(&config)?;
        let linked =
            Linker::<()>::new(&engine).instantiate_pre(&Component::new(&engine, component)?)?;
        let mut store = Store::new(&engine, ());
        store.set_epoch_deadline(1 << 40);
        let instance = linked.instantiate(&mut store)?;
        let guest = GuestIndices::new(&linked)?.load(&mut store, &instance)?;
        Ok(Self { store, guest })
    }

    pub(crate) fn judge(&mut self) {
        let moment = Moment {
            vcpu: 0,
            cpl: 0,
            retired: false,
            decided: Decision::Continue,
            allowed: Verdicts::all(),
            seq: 1,
            ip: 0x1000,
            cr3: 0x2000,
            time_ns: 1,
        };
        let verdict = self
            .guest
            .call_judge(&mut self.store, moment, 0xc000_0082, 1, 2, 2);
        assert!(verdict.is_ok());
    }
}
