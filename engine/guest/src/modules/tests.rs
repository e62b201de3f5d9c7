use super::*;
use crate::{
    Index,
    forge::{Blob, Forged},
    tables::Calls,
};

fn index(forged: &Forged) -> Index {
    Index::build(forged.memory(), &[forged.sight()]).unwrap()
}

#[test]
fn modules_come_with_their_parts() {
    let mut forged = Forged::new(0);
    forged.module("veth", None);
    let going = forged.module("loop", None);
    forged.word(going, 2);
    let unformed = forged.module("half", None);
    forged.word(unformed, 3);
    let index = index(&forged);
    let listing = index.guest(forged.memory()).modules().unwrap();
    let names: Vec<_> = listing
        .items
        .iter()
        .map(|module| module.name.as_str())
        .collect();
    assert_eq!(
        (names, listing.ending),
        (vec!["veth", "loop"], Ending::Whole)
    );
    let veth = &listing.items[0];
    assert_eq!((veth.base, veth.size), (0xffff_ffff_c000_0000, 0x3000));
    assert!(veth.executes(0xffff_ffff_c000_1fff) && !veth.executes(0xffff_ffff_c001_0000));
    assert_eq!(listing.items[1].state, ModuleState::Going);
}

#[test]
fn a_modules_types_are_found_beside_it() {
    let mut forged = Forged::new(0);
    let before = index(&forged);
    let base = before.types().unwrap();
    let task = base.find("task_struct").unwrap();
    let mut blob = Blob::upon(u32::try_from(base.len()).unwrap(), base.strings_length());
    let pointer = blob.pointer(task);
    blob.structure("veth_priv", 16, &[("owner", pointer, 8)]);
    forged.module("none", None);
    forged.module("veth", Some(&blob.bytes()));
    let guest = before.guest(forged.memory());
    let modules = guest.modules().unwrap().items;
    assert_eq!(guest.types_of(&modules[0]).unwrap_err(), Unknown::NoTypes);
    let types = guest.types_of(&modules[1]).unwrap().value;
    let field = types.field("veth_priv.owner.comm").unwrap();
    assert_eq!((field.hops, field.size), (vec![8], 16));
}

#[test]
fn what_lies_in_a_modules_place_of_symbols_is_not_believed() {
    let mut forged = Forged::new(0);
    forged.module("veth", None);
    let index = index(&forged);
    let guest = index.guest(forged.memory());
    let module = guest.modules().unwrap().items.remove(0);
    assert!(
        guest.symbols_of(&module).is_err(),
        "these types have no place for them"
    );
}

#[test]
fn tables_of_entry_have_names_and_say_what_is_not_the_kernels() {
    let forged = Forged::new(0);
    let index = index(&forged);
    let guest = index.guest(forged.memory());
    let table = guest.symbol("sys_call_table").unwrap();
    forged.word(table + 8, 0xffff_ffff_c000_0123);
    let calls = guest.syscalls(Calls::Native).unwrap();
    assert_eq!((calls.value.len(), calls.source), (3, Source::Neighbour));
    assert_eq!(calls.value[0].symbol.as_deref(), Some("__x64_sys_read"));
    assert!(calls.value[0].in_text);
    assert_eq!(
        (calls.value[1].symbol.as_deref(), calls.value[1].in_text),
        (None, false)
    );
    let gates = guest.interrupts(&forged.sight()).unwrap();
    assert_eq!(gates.value.len(), 1);
    let gate = &gates.value[0];
    assert_eq!((gate.entry.number, gate.selector, gate.dpl), (14, 0x10, 0));
    assert_eq!(gate.entry.symbol.as_deref(), Some("asm_exc_page_fault"));
}

#[test]
fn values_are_read_through_pointers() {
    let mut forged = Forged::new(0);
    let first = forged.init_task();
    let init = forged.process(1, "init", first);
    let index = index(&forged);
    let guest = index.guest(forged.memory());
    assert_eq!(guest.value(init, "task_struct.pid"), Ok(1));
    assert_eq!(
        guest.value(init, "task_struct.mm.pgd"),
        Ok(0xffff_8880_0001_0000)
    );
    assert_eq!(guest.value(init, "task_struct.cred.uid"), Ok(0));
    let nowhere = guest.value(0x1000, "task_struct.pid");
    assert_eq!(nowhere, Err(Unknown::NotMapped(0x1000 + 64)));
}
