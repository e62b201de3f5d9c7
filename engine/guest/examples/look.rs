//! Looks into a dump of a guest's memory: what `oriel guest` shows of a guest that runs.
//!
//! ```text
//! cargo run -p oriel-guest --example look -- RAM CR3 [lstar=…] [idt=…] [la57] QUESTION…
//! ```
//! RAM is a file of physical memory from address 0 on, numbers are hexadecimal. Questions: `info`,
//! `ps`, `threads`, `pids`, `cross`, `modules`, `syscalls`, `idt`, `symbols`, `symbol=NAME`,
//! `type=NAME`, `field=PATH`, `time`.

use std::{env, fs, time::Instant};

use oriel_guest::{Area, Guest, Index, Sight, tables::Calls};
use oriel_machine::paging::Mode;
use vm_memory::{Bytes as _, GuestAddress, GuestMemoryMmap};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut words = env::args().skip(1);
    let (ram, cr3) = (words.next(), words.next());
    let bytes = fs::read(ram.ok_or("no RAM file is named")?)?;
    let words: Vec<_> = words.collect();
    let option = |name: &str| words.iter().find_map(|word| word.strip_prefix(name));
    let number = |name: &str| option(name).and_then(|text| u64::from_str_radix(text, 16).ok());
    let memory = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), bytes.len())])?;
    memory.write_slice(&bytes, GuestAddress(0))?;
    let sight = Sight {
        vcpu: 0,
        mode: Mode::Long {
            levels: if words.iter().any(|word| word == "la57") {
                5
            } else {
                4
            },
        },
        cr3: u64::from_str_radix(&cr3.ok_or("no CR3 is given")?, 16)?,
        lstar: number("lstar="),
        idt: number("idt=").map(|base| (base, 0xfff)),
        gs_base: number("gs="),
        kernel_gs_base: None,
    };
    let begun = Instant::now();
    let index = Index::build(&memory, &[sight])?;
    let took = begun.elapsed();
    let guest = index.guest(&memory);
    let options = ["lstar=", "idt=", "gs=", "la57"];
    let is_option = |word: &&String| options.iter().any(|option| word.starts_with(option));
    for word in words.iter().filter(|word| !is_option(word)) {
        match word.as_str() {
            "time" => time(&guest, took),
            word => ask(&guest, &sight, word)?,
        }
    }
    Ok(())
}

fn time(guest: &Guest<'_>, index: std::time::Duration) {
    println!("index {index:?}");
    let begun = Instant::now();
    let tasks = guest.tasks().map_or(0, |tasks| tasks.items.len());
    println!("{tasks} tasks {:?}", begun.elapsed());
}

fn ask(guest: &Guest<'_>, sight: &Sight, word: &str) -> Result<(), Failure> {
    match word.split_once('=').unwrap_or((word, "")) {
        ("info", _) => info(guest, sight),
        ("ps", _) => guest
            .tasks()?
            .items
            .iter()
            .for_each(|task| println!("{} {task:?}", guest.name_of(task))),
        ("threads", _) => guest
            .threads()?
            .items
            .iter()
            .for_each(|task| println!("{} {}", task.tgid, task.pid)),
        ("pids", _) => println!("{:x?}", guest.pids()?),
        ("cross", _) => guest
            .cross_view(&[*sight])?
            .tasks
            .iter()
            .for_each(|seen| println!("{seen:?}")),
        ("modules", _) => modules(guest)?,
        ("syscalls", _) => guest
            .syscalls(Calls::Native)?
            .value
            .iter()
            .for_each(|entry| println!("{entry:x?}")),
        ("idt", _) => guest
            .interrupts(sight)?
            .value
            .iter()
            .for_each(|gate| println!("{gate:x?}")),
        ("symbols", _) => guest
            .symbols()?
            .iter()
            .for_each(|symbol| println!("{:016x} {} {}", symbol.address, symbol.kind, symbol.name)),
        ("symbol", name) => guest
            .symbols()?
            .variants(name)
            .for_each(|symbol| println!("{symbol:x?}")),
        ("type", name) => println!("{:#?}", guest.types()?.shape(name)?),
        ("field", path) => println!("{:?}", guest.types()?.field(path)?),
        _ => {}
    }
    Ok(())
}

fn info(guest: &Guest<'_>, sight: &Sight) {
    let index = guest.index();
    println!("{:?}\nrelease {:?}", index.banner(), index.release());
    println!("kernel {:x?}", index.kernel());
    println!("tables {:x?} slide {:x?}", index.tables(), index.slide());
    match index.kallsyms() {
        Ok(found) => println!(
            "{} symbols, {:?} {:x?}",
            found.symbols.len(),
            found.layout,
            found.place
        ),
        Err(unknown) => println!("{unknown}"),
    }
    match index.types_found() {
        Ok(found) => println!("{} types {:?}", found.value.len(), found.source),
        Err(unknown) => println!("{unknown}"),
    }
    println!(
        "text {:x?}\nrodata {:x?}",
        guest.area(Area::Text),
        guest.area(Area::Rodata)
    );
    println!("current {:?}", guest.current(sight));
}

fn modules(guest: &Guest<'_>) -> Result<(), Failure> {
    for module in guest.modules()?.items {
        println!("{module:x?}");
        println!(
            "  symbols {:?} types {:?}",
            guest.symbols_of(&module),
            guest.types_of(&module)
        );
    }
    Ok(())
}
