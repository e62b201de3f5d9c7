//! What each page was like when it was first seen: a digest, which is kept in the store and outlives
//! the instance; and as many copies as memory is given for, which say what stood where something else
//! stands now.

use std::collections::BTreeSet;

use oriel_sdk::{Refusal, Store};
use sha2::{Digest as _, Sha256};

use crate::image::Image;
use crate::sites::{GROUP, Kind, Site};

/// Bytes of a digest: the first of SHA-256. A guest that wants a page with the same one has to try
/// 2^128 of them.
const LENGTH: usize = 16;

pub(crate) type Digest = [u8; LENGTH];

/// What is kept for a page that could not be read.
pub(crate) const UNREADABLE: Digest = [0xff; LENGTH];
/// And for one that nobody has seen.
const UNSEEN: Digest = [0; LENGTH];

/// The digest of a page whose sites are blank, with what the sites are: a site more or less is a
/// change, too.
pub(crate) fn digest<'a>(blank: &[u8], sites: impl Iterator<Item = &'a Site>) -> Digest {
    let mut hash = Sha256::new();
    hash.update(blank);
    for site in sites {
        hash.update(site.at.to_le_bytes());
        hash.update([site.length]);
        hash.update(site.kind.name());
        if let Kind::Label(target) = site.kind {
            hash.update(target.to_le_bytes());
        }
    }
    let mut first = [0; LENGTH];
    first.copy_from_slice(&hash.finalize()[..LENGTH]);
    first
}

/// The baseline.
#[derive(Debug, Default)]
pub(crate) struct Baseline {
    digests: Vec<Digest>,
    copies: Vec<Option<Box<[u8]>>>,
    /// Bytes that copies may still take.
    room: u64,
    /// Groups that the store does not have as they are here.
    unkept: BTreeSet<u32>,
}

fn key(group: u32) -> String {
    format!("pages/{group:03}")
}

impl Baseline {
    /// None yet, with room for copies.
    pub(crate) fn new(image: &Image, room: u64) -> Self {
        let pages = image.pages() as usize;
        Self {
            digests: vec![UNSEEN; pages],
            copies: vec![None; pages],
            room,
            unkept: BTreeSet::new(),
        }
    }

    /// As it was kept; groups that are missing were not seen.
    pub(crate) fn kept(image: &Image, room: u64, host: &mut impl Store) -> Result<Self, Refusal> {
        let mut baseline = Self::new(image, room);
        for (group, digests) in (0..).zip(baseline.digests.chunks_mut(GROUP as usize)) {
            let bytes = host.get_bytes(&key(group))?.unwrap_or_default();
            for (digest, kept) in digests.iter_mut().zip(bytes.chunks_exact(LENGTH)) {
                digest.copy_from_slice(kept);
            }
        }
        Ok(baseline)
    }

    /// Keeps what has changed since the last time.
    pub(crate) fn keep(&mut self, host: &mut impl Store) -> Result<(), Refusal> {
        while let Some(group) = self.unkept.first().copied() {
            let groups = self.digests.chunks(GROUP as usize);
            let digests = groups.skip(group as usize).take(1).flatten().copied();
            host.set_bytes(&key(group), &digests.flatten().collect::<Vec<_>>())?;
            self.unkept.remove(&group);
        }
        Ok(())
    }

    /// Keeps all.
    pub(crate) fn keep_all(&mut self, host: &mut impl Store) -> Result<(), Refusal> {
        let groups = self.digests.len().div_ceil(GROUP as usize);
        self.unkept = (0..).take(groups).collect();
        self.keep(host)
    }

    /// What a page was like, if it was seen.
    pub(crate) fn digest(&self, page: u32) -> Option<Digest> {
        let found = self.digests.get(page as usize).copied();
        found.filter(|digest| *digest != UNSEEN)
    }

    /// How many pages could not be read when they were first looked at.
    pub(crate) fn unreadable(&self) -> usize {
        self.digests
            .iter()
            .filter(|one| **one == UNREADABLE)
            .count()
    }

    /// Its bytes, with sites blank.
    pub(crate) fn copy(&self, page: u32) -> Option<&[u8]> {
        self.copies.get(page as usize)?.as_deref()
    }

    /// Takes a page for what it has to be.
    pub(crate) fn set(&mut self, page: u32, digest: Digest) {
        if let Some(own) = self.digests.get_mut(page as usize) {
            *own = digest;
            self.unkept.insert(page / GROUP);
        }
    }

    /// Keeps a copy, which is as the page has to be, if there is room.
    pub(crate) fn set_copy(&mut self, page: u32, blank: &[u8]) {
        let length = blank.len() as u64;
        if let Some(own) = self.copies.get_mut(page as usize)
            && own.is_none()
            && self.room >= length
        {
            self.room -= length;
            *own = Some(blank.into());
        }
    }

    /// Forgets a page, which is seen anew.
    pub(crate) fn forget(&mut self, page: u32) {
        self.set(page, UNSEEN);
        if let Some(own) = self.copies.get_mut(page as usize)
            && let Some(copy) = own.take()
        {
            self.room += copy.len() as u64;
        }
    }
}
