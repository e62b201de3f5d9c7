//! Loaded modules: as `/proc/modules` has them, and those that come while one looks.

use oriel_guest::{Ending, Guest, Index};

use super::{Vm, sights};

/// A line of `/proc/modules`: name, size, state, address.
type Line = (String, u64, String, u64);

fn proc(vm: &mut Vm) -> Vec<Line> {
    let text = vm.ask("cat /proc/modules");
    let line = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let address = words.get(5)?.strip_prefix("0x")?;
        Some((
            words[0].to_owned(),
            words[1].parse().ok()?,
            words[4].to_lowercase(),
            u64::from_str_radix(address, 16).ok()?,
        ))
    };
    let lines: Vec<_> = text.lines().filter_map(line).collect();
    assert_eq!(lines.len(), text.lines().count(), "{text}");
    lines
}

fn seen(guest: &Guest<'_>) -> Vec<Line> {
    let listing = guest.modules().expect("modules");
    assert_eq!(listing.ending, Ending::Whole);
    let modules = listing.items.into_iter();
    let line = |module: oriel_guest::Module| {
        let state = format!("{:?}", module.state).to_lowercase();
        (module.name, module.size, state, module.base)
    };
    modules.map(line).collect()
}

pub(super) fn are_those_of_proc(vm: &mut Vm) {
    assert_eq!(vm.look(|guest, _| seen(guest)), [], "none is loaded yet");
    let loaded = vm.ask("for m in fat vfat dummy; do insmod /lib/modules/$m.ko; done");
    assert_eq!(loaded, "");
    let theirs = proc(vm);
    let names: Vec<_> = theirs.iter().map(|line| line.0.as_str()).collect();
    assert_eq!(names, ["dummy", "vfat", "fat"], "the newest first");
    assert_eq!(vm.look(|guest, _| seen(guest)), theirs);
}

/// The index is of the boot; a module that is loaded afterwards is read anew.
pub(super) fn that_come_later_are_seen_by_the_index_that_is_there(vm: &mut Vm) {
    let mut looking = vm.try_look().expect("a VM that can be looked at");
    let sights = sights(&mut looking);
    let index = Index::build(looking.memory(), &sights).expect("a kernel");
    vm.ask("insmod /lib/modules/tun.ko");
    assert!(index.holds(looking.memory()), "it is the same boot");
    let guest = index.guest(looking.memory());
    let modules = guest.modules().expect("modules").items;
    let tun = modules.iter().find(|module| module.name == "tun");
    let tun = tun.expect("it was just loaded");
    let symbols = guest.symbols_of(tun).expect("its symbols").value;
    let open = symbols.address("tun_chr_open").expect("a function of it");
    let line = vm.ask("grep 'tun_chr_open' /proc/kallsyms");
    assert!(line.starts_with(&format!("{open:016x}")), "{line}");
    assert!(tun.executes(open));
    // Kernels keep the types of their modules since 5.11.
    if guest.symbol("btf_modules").is_ok() {
        let types = guest.types_of(tun).expect("its types").value;
        let device = types.field("tun_struct.dev.name").expect("a member");
        assert_eq!(device.hops.len(), 1, "{device:?}");
    } else {
        assert!(guest.types_of(tun).is_err());
    }
    vm.ask("rmmod tun");
    let modules = guest.modules().expect("modules").items;
    assert!(modules.iter().all(|module| module.name != "tun"));
}
