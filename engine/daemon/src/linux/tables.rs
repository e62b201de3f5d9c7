//! The tables by which the kernel is entered, and where each entry leads: into the kernel's own code,
//! into the rest of its image (what is freed after the boot), into a module, or elsewhere.

use oriel_guest::{
    Guest, Kernel, Module, Sight, Unknown,
    tables::{Calls, Entry},
};
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::words::unknown;

pub(super) fn syscalls(guest: &Guest<'_>, compat: bool) -> Result<Json, Unknown> {
    let which = if compat { Calls::Compat } else { Calls::Native };
    let calls = guest.syscalls(which)?;
    let places = Places::of(guest);
    let entries = calls.value.iter().map(|entry| places.show(entry, entry));
    Ok(json!({
        "calls": entries.collect::<Vec<_>>(),
        "which": which,
        "source": calls.source,
    }))
}

/// Each table once, with the vCPUs that have it.
pub(super) fn interrupts(guest: &Guest<'_>, sights: &[Sight]) -> Result<Json, Unknown> {
    let places = Places::of(guest);
    let mut tables: Vec<(&Sight, Vec<u32>)> = Vec::new();
    for sight in sights {
        match tables.iter_mut().find(|(known, _)| known.idt == sight.idt) {
            Some((_, vcpus)) => vcpus.push(sight.vcpu),
            None => tables.push((sight, vec![sight.vcpu])),
        }
    }
    let tables = tables.iter().map(|(sight, vcpus)| {
        let mut table = match guest.interrupts(sight) {
            Ok(gates) => {
                let entries = gates.value.iter();
                let entries = entries.map(|gate| places.show(gate, &gate.entry));
                json!({ "gates": entries.collect::<Vec<_>>(), "source": gates.source })
            }
            Err(why) => unknown(&why),
        };
        table["vcpus"] = json!(vcpus);
        table
    });
    Ok(json!({ "tables": tables.collect::<Vec<_>>() }))
}

/// Where entries can lead.
struct Places<'g> {
    kernel: &'g Kernel,
    /// None where they are not known.
    modules: Vec<Module>,
}

impl<'g> Places<'g> {
    fn of(guest: &Guest<'g>) -> Self {
        Self {
            kernel: guest.index().kernel(),
            modules: guest.modules().map_or_else(|_| Vec::new(), |all| all.items),
        }
    }

    /// An entry as it is, and what it leads into.
    fn show(&self, written: &impl Serialize, entry: &Entry) -> Json {
        let mut modules = self.modules.iter();
        let module = modules.find(|module| module.executes(entry.address));
        let mut written = json!(written);
        written["in_image"] = self.kernel.contains(entry.address).into();
        written["module"] = json!(module.map(|module| &module.name));
        written
    }
}
