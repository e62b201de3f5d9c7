//! The guard of one boot: round after round over all pages, some at each call by the clock. Owns what is
//! known of the boot, who is suspected, and when that is told.
//!
//! ```text
//!            a page is not as it has to be            and still is not at the next call
//!   clean ─────────────────────────────────► suspect ───────────────────────────────────► told
//!     ▲                                         │                                           │
//!     └─────────────────────── it is as it has to be ◄──────────────────────────────────────┘
//! ```
//! The second look is what makes patches of the kernel's own no alarm: they are done by then, and its
//! lists say what it has made.

mod begin;
mod round;
mod suspects;

use std::collections::BTreeSet;

use oriel_sdk::Host;
use oriel_sdk::linux::Task;

use crate::baseline::Baseline;
use crate::boot::Boot;
use crate::code::Code;
use crate::image::Image;
use crate::news::{self, News};
use crate::probes::Probes;
use crate::settings::Settings;
use crate::sites::{Gather, Sites};
use crate::tables::{Findings, Tables};
use crate::told::Told;
use crate::trap::Trapping;

pub(crate) use begin::GENERATION;
use suspects::Suspects;

/// What is known of a boot.
pub(crate) struct Watch {
    boot: Boot,
    image: Image,
    /// While the sites are searched for.
    gather: Option<Gather>,
    sites: Sites,
    /// The store does not have them as they are here.
    sites_unkept: bool,
    baseline: Baseline,
    probes: Probes,
    code: Code,
    tables: Tables,
    suspects: Suspects,
    told: Told,
    trapping: Trapping,
    /// The page that is next, and how many rounds are over.
    next: u32,
    rounds: u64,
    ticks: u64,
    /// Nanoseconds since the VM started.
    now: u64,
    gaps: BTreeSet<String>,
    news: Vec<News>,
}

impl Watch {
    /// Goes on.
    pub(crate) fn tick(&mut self, now: u64, settings: &Settings, host: &mut impl Host) {
        self.ticks += 1;
        self.now = now;
        self.code.begin(now);
        self.look_at_tables(host);
        if self.has_sites(host) {
            self.look_at_probes(host);
            self.look_again(host);
            self.go_round(settings, host);
        }
        self.look_for_tasks(settings, host);
        self.keep(host);
        self.tell(host);
    }

    /// The boot that this guards.
    pub(crate) fn boot(&self) -> &Boot {
        &self.boot
    }

    /// Whether all is known that has to be, before pages are looked at.
    fn has_sites(&mut self, host: &mut impl Host) -> bool {
        let Some(gather) = &mut self.gather else {
            return true;
        };
        let Some(sites) = gather.go(&self.image, host) else {
            return false;
        };
        self.gaps.append(&mut gather.gaps.drain(..).collect());
        (self.sites, self.sites_unkept, self.gather) = (sites, true, None);
        false
    }

    fn look_at_probes(&mut self, host: &mut impl Host) {
        if let Err(absence) = self.probes.look(host) {
            self.gaps.insert(format!("kprobes: {absence}"));
        }
    }

    fn look_at_tables(&mut self, host: &mut impl Host) {
        self.with_tables(|tables, findings| tables.look(findings, host));
    }

    /// Asks one vCPU, another in each round, for the table that it uses.
    fn look_at_vcpu(&mut self, host: &mut impl Host) {
        let count = host.machine_info().map_or(0, |info| info.vcpus);
        let vcpu = self.rounds.checked_rem(count.into()).unwrap_or(0);
        if let Ok(vcpu) = u32::try_from(vcpu) {
            self.with_tables(|tables, findings| tables.look_at_vcpu(vcpu, findings, host));
        }
    }

    fn with_tables(&mut self, look: impl FnOnce(&mut Tables, &mut Findings<'_>)) {
        let mut findings = Findings {
            boot: &self.boot,
            told: &mut self.told,
            news: Vec::new(),
            gaps: Vec::new(),
        };
        look(&mut self.tables, &mut findings);
        let Findings { news, gaps, .. } = findings;
        self.news.extend(news);
        self.gaps.extend(gaps);
    }

    /// Tasks that are in no list.
    fn look_for_tasks(&mut self, settings: &Settings, host: &mut impl Host) {
        let is_due = settings
            .hidden
            .is_some_and(|every| self.ticks.is_multiple_of(every));
        if !is_due {
            return;
        }
        match host.hidden_tasks() {
            Ok(tasks) => {
                let told = &mut self.told;
                let mut is_news =
                    |task: &Task| told.is_news(&format!("hidden/{}", task.pid), task.address);
                let new = tasks.into_iter().filter(|task| is_news(task));
                self.news.extend(new.map(News::Hidden));
            }
            Err(absence) => drop(self.gaps.insert(format!("hidden tasks: {absence}"))),
        }
    }

    /// Keeps what a trap must not take away.
    fn keep(&mut self, host: &mut impl Host) {
        self.gaps.append(&mut self.code.gaps.clone());
        let gaps = std::mem::take(&mut self.gaps);
        let new = gaps
            .into_iter()
            .filter(|gap| self.told.is_news(&format!("gap/{gap}"), 0));
        self.news.extend(new.map(News::Gap));
        let kept = self.baseline.keep(host).and_then(|()| self.told.keep(host));
        if let Err(refusal) = kept {
            self.gaps.insert(format!("the store: {refusal}"));
        }
    }

    fn tell(&mut self, host: &mut impl Host) {
        let news = std::mem::take(&mut self.news);
        news::tell(&news, host);
    }
}
