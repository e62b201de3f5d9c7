//! What the guest's memory means, asked for while it stands.

use std::{hint::black_box, time::Duration};

use anyhow::{Context, Result, ensure};
use oriel_guest::{Index, Sight};
use oriel_guests::qemu::Running;
use oriel_machine::{Machine as _, qemu::Leave};

use super::{TASKS, attach, row, time};

const ROUNDS: usize = 10;
/// What is looked up in a round.
const LOOKUPS: u32 = 1_000;
/// Called once by each system call `read`.
const FUNCTION: &str = "__x64_sys_read";

/// Measures all of it; answers where [`FUNCTION`] is in this boot.
pub(crate) fn all(guest: &Running) -> Result<u64> {
    let mut attached = attach(guest)?;
    let sights: Vec<_> = (0..)
        .zip(&mut attached.parts.vcpus)
        .filter_map(|(vcpu, state)| Sight::ask(vcpu, &mut **state))
        .collect();
    let memory = attached.machine.memory();
    ensure!(memory.mapping().is_some(), "its memory is not mapped");
    println!("while the guest stands, from mapped memory; quickest of {ROUNDS} rounds");
    let built = quickest(1, || drop(black_box(Index::build(memory, &sights))))?;
    row(
        "the index is ready",
        built,
        Some(Duration::from_millis(100)),
    );
    let index = Index::build(memory, &sights).context("a kernel")?;
    let place = ask(&index, memory)?;
    attached
        .machine
        .leave(Leave::Running)
        .map_err(anyhow::Error::msg)?;
    Ok(place)
}

fn ask(index: &Index, memory: &dyn oriel_machine::GuestMemory) -> Result<u64> {
    let guest = index.guest(memory);
    let tasks = guest.tasks()?.items.len();
    ensure!(tasks >= TASKS, "the guest has {tasks} processes only");
    let listed = quickest(1, || drop(black_box(guest.tasks())))?;
    row(
        &format!("the list of {tasks} tasks"),
        listed,
        Some(Duration::from_millis(1)),
    );
    let symbols = guest.symbols()?;
    let some = symbols.len() / LOOKUPS as usize;
    let known: Vec<_> = symbols
        .iter()
        .step_by(some)
        .take(LOOKUPS as usize)
        .collect();
    let count = u32::try_from(known.len())?;
    let by_name = quickest(count, || {
        for symbol in &known {
            black_box(symbols.find(black_box(symbol.name)));
        }
    })?;
    row(
        &format!("a symbol of {}, by name", symbols.len()),
        by_name,
        None,
    );
    let by_address = quickest(count, || {
        for symbol in &known {
            black_box(symbols.at(black_box(symbol.address)));
        }
    })?;
    row("the same, by address", by_address, None);
    let (space, banner) = (index.space(memory), guest.symbol("linux_banner")?);
    for size in [8, 4096] {
        let mut bytes = vec![0; size];
        let read = quickest(LOOKUPS, || {
            for _ in 0..LOOKUPS {
                let read = space.read(black_box(banner), &mut bytes);
                assert!(black_box(read).is_ok());
            }
        })?;
        row(&format!("{size} bytes at a virtual address"), read, None);
    }
    symbols.address(FUNCTION).context(FUNCTION)
}

/// Of one of so many, in the quickest round.
fn quickest(count: u32, mut act: impl FnMut()) -> Result<Duration> {
    let rounds = (0..ROUNDS).map(|_| {
        time(count, || {
            act();
            Ok(())
        })
    });
    let rounds: Vec<_> = rounds.collect::<Result<_>>()?;
    rounds.into_iter().min().context("there are rounds")
}
