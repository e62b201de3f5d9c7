//! What Debian's kernel under a stock QEMU costs to look at, in one run: `cargo bench -p oriel-engine
//! --bench linux`. Skipped loudly without QEMU, or where `ORIEL_GUESTS` does not name the folder of
//! the guests (`cargo xtask guests` makes them, and says where).
//!
//! One guest is booted once, emulated by TCG, with KASLR and two vCPUs. First it stands, and what
//! its memory means is asked for in place, in the mapped file. Then one of its processes calls a
//! function for ever, with a breakpoint there: a cycle is the stop, what a judge asks for, a step over
//! the breakpoint, and going on. The raw cycle is the same by hand: a bare client of the gdb protocol
//! that sends as many packets as it takes and no more. Ways are taken in turn and compared by their
//! quickest round, because machines are noisy.

#[path = "linux/cycle.rs"]
mod cycle;
#[path = "linux/looks.rs"]
mod looks;
#[path = "linux/raw.rs"]
mod raw;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use oriel_guests::qemu::{self, Linux, Running};
use oriel_machine::qemu::{Address, Attach, Attached, RamChoice};

/// How many processes the guest has, at least.
const TASKS: usize = 100;
/// Processes that are there only while they are counted.
const COUNTING: usize = 3;

fn main() -> Result<()> {
    let guests = match guests() {
        Ok(guests) => guests,
        Err(why) => {
            eprintln!("SKIPPED: {why}");
            return Ok(());
        }
    };
    let folder = tempfile::tempdir()?;
    let mut guest = Linux::new(&guests, folder.path()).boot()?;
    let more = format!(
        "while [ $(ls -d /proc/[0-9]* | wc -l) -lt {} ]; do sleep 99999 & done 2>/dev/null",
        TASKS + COUNTING
    );
    guest.ask(&more)?;
    let place = looks::all(&guest)?;
    cycle::all(&mut guest, place)
}

/// The guests' folder, or why there is nothing to be measured.
fn guests() -> Result<PathBuf, &'static str> {
    let folder = std::env::var_os("ORIEL_GUESTS").ok_or(
        "ORIEL_GUESTS is not set: `cargo xtask guests` makes the guests and says where they are",
    )?;
    if !Path::new(&folder).join("bzImage").exists() {
        return Err("there is no guest in ORIEL_GUESTS: run `cargo xtask guests`");
    }
    if !qemu::is_installed() {
        return Err("qemu-system-x86_64 is not installed: run `cargo xtask setup`");
    }
    Ok(folder.into())
}

fn attach(guest: &Running) -> Result<Attached> {
    let attach = Attach {
        gdb: Address::Unix(guest.gdb()),
        qmp: Address::Unix(guest.qmp()),
        ram: RamChoice::Auto,
        name: None,
        guard: None,
    };
    attach.connect().context("attaching to the guest")
}

/// How long one of so many takes.
fn time(count: u32, act: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let started = Instant::now();
    act()?;
    Ok(started.elapsed() / count)
}

/// A line of the table, with what it is to be at the most.
fn row(what: &str, took: Duration, goal: Option<Duration>) {
    let goal = goal.map_or_else(String::new, |goal| {
        let met = if took <= goal { "met" } else { "MISSED" };
        format!("goal ≤ {goal:?} ({met})")
    });
    println!("{what:<48} {:>12}   {goal}", format!("{took:.3?}"));
}
