//! A component called by nothing but wasmtime.

use anyhow::Result;
use wasmtime::{
    Config, Engine, Store,
    component::{Component, Linker},
};

use bindings::{
    exports::oriel::introspection::judge_msr::{Guest, GuestIndices},
    oriel::introspection::types::{Decision, Moment, Verdicts},
};

mod bindings {
    wasmtime::component::bindgen!({ path: "../../wit", world: "hears-msr" });
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
