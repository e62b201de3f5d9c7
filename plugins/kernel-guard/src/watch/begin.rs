//! How the guard of a boot begins: anew, or with what the store has of it. Looks at no page.

use oriel_sdk::{Host, Refusal, Store};

use super::Watch;
use super::suspects::Suspects;
use crate::baseline::Baseline;
use crate::boot::Boot;
use crate::code::Code;
use crate::image::Image;
use crate::news::News;
use crate::probes::Probes;
use crate::settings::Settings;
use crate::sites::{Gather, Sites};
use crate::tables::Tables;
use crate::told::Told;
use crate::trap::Trapping;

/// There is when all sites of a boot are in the store.
pub(super) const COMPLETE: &str = "complete";
/// Grows with each baseline, so that vCPUs know when theirs is an old one.
pub(crate) const GENERATION: &str = "generation";

impl Watch {
    /// Begins with what the store has of this boot, or clears it.
    ///
    /// # Errors
    /// What the store refuses with: without it there is no guard, as each trap would give an attacker a new
    /// baseline.
    pub(crate) fn begin(
        boot: Boot,
        lost: u64,
        settings: &Settings,
        host: &mut impl Host,
    ) -> Result<Self, Refusal> {
        let image = boot.image();
        let kept = Boot::kept(host)?;
        let is_same = kept.as_ref().is_some_and(|kept| kept.is_same(&boot));
        if !is_same {
            let text_stays = kept.as_ref().is_some_and(|kept| kept.is_same_image(&boot));
            forget(&image, text_stays, host)?;
            boot.keep(host)?;
            host.add_number(GENERATION, 1)?;
        }
        let is_complete = host.get_number(COMPLETE)?.is_some();
        let sites = is_complete.then(|| Sites::kept(&image, host)).transpose()?;
        let mut watch = Self {
            gather: sites.is_none().then(Gather::new),
            sites: sites.unwrap_or_default(),
            sites_unkept: false,
            baseline: Baseline::kept(&image, settings.copies, host)?,
            told: Told::kept(host)?,
            trapping: Trapping::begin(settings, host),
            probes: Probes::default(),
            code: Code::default(),
            tables: Tables::default(),
            suspects: Suspects::default(),
            next: 0,
            rounds: 0,
            ticks: 0,
            now: 0,
            gaps: std::collections::BTreeSet::new(),
            news: Vec::new(),
            image,
            boot,
        };
        watch.note_begin(kept.is_some() && !is_same, lost);
        Ok(watch)
    }

    fn note_begin(&mut self, is_next_boot: bool, lost: u64) {
        if is_next_boot {
            self.news.push(News::Reboot(self.boot.banner.clone()));
        }
        if lost > 0 {
            self.gaps
                .insert(format!("{lost} pages are more than are guarded"));
        }
        if self.image.pages() == 0 {
            self.gaps
                .insert("the kernel's code and constants have no bytes".to_owned());
        }
        self.gaps.extend(self.trapping.gap());
    }
}

/// Clears what belongs to the boot before. If the same kernel lies at the same place its code has to be
/// what it was.
fn forget(image: &Image, text_stays: bool, host: &mut impl Store) -> Result<(), Refusal> {
    let mut baseline = Baseline::kept(image, 0, host)?;
    for key in host.keys("")? {
        if key != GENERATION {
            host.remove_key(&key)?;
        }
    }
    if !text_stays {
        return Ok(());
    }
    let constants = (0..image.pages()).filter(|page| !image.is_code_page(*page));
    constants.for_each(|page| baseline.forget(page));
    baseline.keep_all(host)
}
