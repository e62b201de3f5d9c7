//! Symbols: a thousand that are chosen at random are where `/proc/kallsyms` has them.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher as _, RandomState},
};

use oriel_guest::{Guest, Symbols};

use super::Vm;

/// How many there are at least.
const LEAST: usize = 1000;
/// Of so many in ten thousand lines each is chosen; there are some 87,000.
const CHOSEN: u32 = 140;

pub(super) fn are_those_of_proc(vm: &mut Vm) {
    let seed = RandomState::new().hash_one(0) & 0xffff;
    println!("symbols are chosen with the seed {seed}");
    let choose =
        format!("awk 'BEGIN {{ srand({seed}) }} rand() * 10000 < {CHOSEN}' /proc/kallsyms");
    let text = vm.ask(&choose);
    let count = vm.ask("grep -vc '\\[' /proc/kallsyms");
    vm.look(|guest, _| {
        let ours = guest.symbols().expect("symbols");
        assert_eq!(ours.len().to_string(), count, "those of the kernel itself");
        compare(guest, ours, &text);
    });
}

fn compare(guest: &Guest<'_>, kernel: &Symbols, text: &str) {
    let modules = guest.modules().expect("modules").items;
    let of_modules: BTreeMap<_, _> = modules
        .iter()
        .map(|module| {
            (
                module.name.as_str(),
                guest.symbols_of(module).expect("symbols").value,
            )
        })
        .collect();
    let mut compared = 0;
    for line in text.lines() {
        let (address, kind, name, module) = parts(line);
        let symbols = match module {
            // What is there beside modules: programs of BPF, and the tracer's own.
            Some(module) if module == "bpf" || module.starts_with("__builtin__") => continue,
            Some(module) => of_modules.get(module).expect("a loaded module"),
            None => kernel,
        };
        // Of modules `/proc` shows what is exported with a capital letter, which is kept elsewhere.
        let letter = |ours: char| match module {
            Some(_) => ours.eq_ignore_ascii_case(&kind),
            None => ours == kind,
        };
        let found = symbols
            .all(name)
            .any(|symbol| symbol.address == address && letter(symbol.kind));
        assert!(
            found,
            "{line}: {:x?}",
            symbols.all(name).collect::<Vec<_>>()
        );
        compared += 1;
    }
    assert!(compared >= LEAST, "{compared}");
}

/// `ADDRESS KIND NAME`, and for those of modules `[MODULE]`.
fn parts(line: &str) -> (u64, char, &str, Option<&str>) {
    let words: Vec<_> = line.split_whitespace().collect();
    let [address, kind, name, rest @ ..] = words.as_slice() else {
        panic!("no symbol: {line:?}");
    };
    let address = u64::from_str_radix(address, 16).expect("an address");
    let module = rest.first().map(|module| module.trim_matches(['[', ']']));
    (
        address,
        kind.chars().next().expect("a letter"),
        name,
        module,
    )
}
