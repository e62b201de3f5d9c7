//! Which kernel it is, where it lies, and what is known of it: each part with its source, or with the
//! reason why it is unknown.

use oriel_guest::{Area, Guest, Listing, Sight, Unknown, tables::Calls};
use serde_json::{Value as Json, json};

use super::{
    tasks,
    words::{count, found, hex, unknown},
};

pub(super) fn info(guest: &Guest<'_>, sights: &[Sight]) -> Json {
    let index = guest.index();
    let slide = index.slide().map(|slide| slide.map(hex));
    json!({
        "release": index.release(),
        "banner": index.banner(),
        "kernel": kernel(guest),
        "slide": found(slide),
        "tables": index.tables().clone().map(hex),
        "areas": { "text": area(guest, Area::Text), "rodata": area(guest, Area::Rodata) },
        "symbols": symbols(guest),
        "types": types(guest),
        "tasks": listed(guest.tasks()),
        "modules": listed(guest.modules()),
        "syscalls": calls(guest, Calls::Native),
        "compat_syscalls": calls(guest, Calls::Compat),
        "vcpus": sights.iter().map(|sight| vcpu(guest, sight)).collect::<Vec<_>>(),
    })
}

fn kernel(guest: &Guest<'_>) -> Json {
    let kernel = guest.index().kernel();
    json!({
        "start": hex(kernel.start()),
        "end": hex(kernel.end()),
        "found_by": hex(kernel.cr3),
        "source": kernel.source,
        "runs": kernel.runs,
    })
}

fn area(guest: &Guest<'_>, area: Area) -> Json {
    let range = guest.area(area);
    found(range.map(|range| {
        range.map(|range| json!({ "start": hex(range.start), "end": hex(range.end) }))
    }))
}

fn symbols(guest: &Guest<'_>) -> Json {
    let known = guest.index().kallsyms();
    count(known.map(|known| {
        let how = json!({ "source": "kallsyms", "layout": known.layout, "place": known.place });
        (known.symbols.len(), how)
    }))
}

fn types(guest: &Guest<'_>) -> Json {
    let known = guest.index().types_found();
    count(known.map(|known| (known.value.len(), json!({ "source": known.source }))))
}

fn listed<T>(listing: Result<Listing<T>, Unknown>) -> Json {
    count(listing.map(|listing| {
        let how = json!({ "source": listing.source, "ending": listing.ending });
        (listing.items.len(), how)
    }))
}

fn calls(guest: &Guest<'_>, which: Calls) -> Json {
    let calls = guest.syscalls(which);
    count(calls.map(|calls| (calls.value.len(), json!({ "source": calls.source }))))
}

/// What a vCPU shows, and what it runs.
fn vcpu(guest: &Guest<'_>, sight: &Sight) -> Json {
    let gates = guest.interrupts(sight);
    let gates = gates.map(|gates| (gates.value.len(), json!({ "source": gates.source })));
    let mut shown = tasks::current(guest, sight);
    shown["cr3"] = hex(sight.cr3);
    shown["interrupts"] = match gates {
        Ok(gates) => count(Ok(gates)),
        Err(why) => unknown(&why),
    };
    shown
}
