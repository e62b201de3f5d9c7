//! How sites are kept in the store: in groups of pages, some four bytes a site. Reads no kernel.

use std::ops::Range;

use oriel_sdk::bincode::{Decode, Encode};
use oriel_sdk::{Refusal, Store};

use super::{Kind, Site, Sites};
use crate::image::Image;

/// Pages of a group: 512 KiB, so that a group's sites fit into a value.
pub(crate) const GROUP: u32 = 128;

/// How far it is from the site before, its length with its kind, and how far a label leads.
#[derive(Encode, Decode)]
#[bincode(crate = "oriel_sdk::bincode")]
struct Kept(u64, u8, i64);

fn key(group: u32) -> String {
    format!("sites/{group:03}")
}

/// The pages of a group.
pub(crate) fn pages(group: u32) -> Range<u32> {
    group * GROUP..(group + 1) * GROUP
}

impl Sites {
    /// Keeps all.
    pub(crate) fn keep(&self, image: &Image, host: &mut impl Store) -> Result<(), Refusal> {
        for group in 0..image.pages().div_ceil(GROUP) {
            let sites = pages(group).flat_map(|page| self.on(page));
            let mut last = 0;
            let kept = sites.map(|site| pack(site, std::mem::replace(&mut last, site.at)));
            host.set_value(&key(group), &kept.collect::<Vec<_>>())?;
        }
        Ok(())
    }

    /// Those of a group, as they were kept.
    pub(crate) fn of_group(group: u32, host: &mut impl Store) -> Result<Vec<Site>, Refusal> {
        let kept: Vec<Kept> = host.get_value(&key(group))?.ok_or(Refusal::NotFound)?;
        let mut last = 0;
        let unpack = |kept: Kept| {
            let site = unpack(&kept, last)?;
            last = site.at;
            Some(site)
        };
        Ok(kept.into_iter().map_while(unpack).collect())
    }

    /// All, as they were kept.
    pub(crate) fn kept(image: &Image, host: &mut impl Store) -> Result<Self, Refusal> {
        let mut all = Vec::new();
        for group in 0..image.pages().div_ceil(GROUP) {
            all.extend(Self::of_group(group, host)?);
        }
        let mut sites = Self::new(image, all);
        for (own, settled) in sites.pages.iter().zip(&mut sites.settled) {
            *settled = own.iter().all(|site| site.length != 0);
        }
        Ok(sites)
    }
}

fn pack(site: &Site, last: u64) -> Kept {
    let (tag, target) = match site.kind {
        Kind::Label(target) => (0, target.wrapping_sub(site.at).cast_signed()),
        Kind::Call => (1, 0),
        Kind::Trampoline => (2, 0),
        Kind::Traced => (3, 0),
        Kind::Tracer => (4, 0),
        Kind::Dispatcher => (5, 0),
    };
    Kept(site.at.wrapping_sub(last), tag << 4 | site.length, target)
}

fn unpack(kept: &Kept, last: u64) -> Option<Site> {
    let at = last.wrapping_add(kept.0);
    let kind = match kept.1 >> 4 {
        0 => Kind::Label(at.wrapping_add_signed(kept.2)),
        1 => Kind::Call,
        2 => Kind::Trampoline,
        3 => Kind::Traced,
        4 => Kind::Tracer,
        5 => Kind::Dispatcher,
        _ => return None,
    };
    let length = kept.1 & 0xf;
    Some(Site { at, length, kind })
}
