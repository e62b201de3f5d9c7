//! Guards the code, the constants, the interrupt table and the tables of system calls of a Linux kernel.
//!
//! By the clock it reads them, some pages at each call, and compares them with what they were when the
//! kernel had booted. A kernel patches its own code while it runs (jump labels, static calls, tracers,
//! probes): where, its own tables say, and what stands there is checked by itself. Where the machine can
//! trap writes, a write is judged before it happens.
//!
//! ```text
//!   tick ──► boot ──► watch ──► gather: sites ──► look: sheet, sites, probes, baseline ──► news
//!                       └─────► tables: interrupts, system calls
//!   page ──► trap::witness
//! ```

mod baseline;
mod boot;
mod code;
mod form;
mod image;
mod look;
mod news;
mod probes;
mod settings;
mod sheet;
mod sites;
mod tables;
#[cfg(test)]
mod tests;
mod told;
mod trap;
mod watch;

use oriel_sdk::{
    Access, Alert, Config, Failure, GuestOs, Host, Judge, Log, MemoryRead, Moment, PageAccess,
    Place, Policy, Severity, Store, Tick, page,
};

use boot::{Boot, Stage};
use settings::Settings;
use trap::Witness;
use watch::Watch;

/// Calls by the clock after which it is told that there is nothing to guard.
const BLIND: u32 = 30;

/// The policy. The clock's instance watches, those of the vCPUs judge writes.
pub struct KernelGuard {
    settings: Settings,
    watch: Option<Watch>,
    witness: Witness,
    /// In how many calls there was no kernel, or nothing could be kept of it.
    blind: u32,
}

impl Policy for KernelGuard {
    fn init(config: &mut Config, _: Place, _: &mut impl Host) -> Result<Self, Failure> {
        Ok(Self {
            settings: Settings::read(config)?,
            watch: None,
            witness: Witness::default(),
            blind: 0,
        })
    }
}

impl KernelGuard {
    /// The guard of this boot.
    fn watch_of(
        &mut self,
        boot: Boot,
        lost: u64,
        host: &mut impl Host,
    ) -> Result<&mut Watch, Failure> {
        let known = self
            .watch
            .take()
            .filter(|watch| watch.boot().is_same(&boot));
        let watch = match known {
            Some(watch) => watch,
            None => Watch::begin(boot, lost, &self.settings, host)
                .map_err(|refusal| format!("the store refuses: {refusal}"))?,
        };
        Ok(self.watch.insert(watch))
    }

    /// Counts the calls in which nothing is guarded, and tells of them once.
    fn is_blind(&mut self, why: &str, host: &mut (impl Alert + Log)) {
        self.blind = self.blind.saturating_add(1);
        if self.blind == BLIND {
            let severity = if self.watch.is_some() {
                Severity::Medium
            } else {
                Severity::Low
            };
            news::raise(severity, "nothing is guarded", &[("why", &why)], host);
        }
    }
}

impl Tick for KernelGuard {
    fn tick(&mut self, now: u64, _: u32, host: &mut impl Host) {
        let (boot, lost) = match Boot::of(host) {
            Stage::Runs(boot, lost) => (boot, lost),
            Stage::Boots => return self.is_blind("the guest boots", host),
            Stage::Unknown(why) => return self.is_blind(&why, host),
        };
        let settings = self.settings.clone();
        match self.watch_of(boot, lost, host) {
            Ok(watch) => {
                watch.tick(now, &settings, host);
                self.blind = 0;
            }
            Err(failure) => self.is_blind(failure.as_str(), host),
        }
    }
}

impl Judge<page::Touch> for KernelGuard {
    fn filters(&self) -> Vec<page::Filter> {
        vec![page::Filter::any(Access::WRITE)]
    }

    fn judge(
        &mut self,
        at: &Moment,
        touch: page::Touch,
        host: &mut (impl Alert + GuestOs + Log + MemoryRead + PageAccess + Store),
    ) -> page::Verdict {
        self.witness.judge(at, &touch, self.settings.on_write, host)
    }
}

oriel_sdk::export!(KernelGuard: page, tick);
