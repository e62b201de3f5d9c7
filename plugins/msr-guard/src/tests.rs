//! The policy on the bench: what a guest writes, and what becomes of it.

mod answers;
mod configuration;
mod efer;
mod pins;

use oriel_sdk::msr::{Verdict, Write};
use oriel_sdk::testing::{Bench, RaisedAlert};
use oriel_sdk::{Config, Failure, reset};

use crate::Guard;
use crate::settings::{LSTAR, SYSENTER_ESP};

/// Where a kernel and its attacker want system calls to go.
const KERNEL: u64 = 0xffff_ffff_81a0_0080;
const ROOTKIT: u64 = 0xffff_ffff_c000_1000;

fn bench(config: Config) -> Result<Bench<Guard>, Failure> {
    Bench::new(config)
}

/// A vCPU writes LSTAR.
fn enter_at(bench: &mut Bench<Guard>, vcpu: u32, old: u64, new: u64) -> Option<Verdict> {
    bench.raise(vcpu, Write::new(LSTAR, old, new))
}

/// The one alert that was raised.
fn alert(bench: &Bench<Guard>) -> &RaisedAlert {
    let [alert] = bench.engine.alerts.as_slice() else {
        panic!("not one alert but {:?}", bench.engine.alerts);
    };
    alert
}
