//! What was said of each revision, by name and number; and having the set in force kept. It never
//! asks the engine anything: it is told.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, ensure};
use oriel_engine::roster::{Posted, RosterError};

use crate::{
    config::PolicyConfig,
    output::warn,
    state::{Committed, Counts, StateDirectory},
};

/// The most bytes of a component.
pub(crate) const COMPONENT_MAX: u64 = 64 << 20;

/// What was said of a policy, and its code.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) said: PolicyConfig,
    pub(crate) code: Arc<[u8]>,
}

/// A policy in force, as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Member {
    pub(crate) revision: u64,
    pub(crate) entry: Entry,
}

/// What was said of each revision.
pub(super) struct Book {
    pages: Mutex<Pages>,
}

#[derive(Default)]
struct Pages {
    revisions: BTreeMap<String, BTreeMap<u64, Entry>>,
    counts: Counts,
    /// What is being tried: it gets its number when it comes into force.
    drafts: BTreeMap<String, Entry>,
    state: Option<StateDirectory>,
    /// Why the set in force is not kept.
    unkept: Option<String>,
}

/// What is said of a change, as long as it is being made.
pub(super) struct Draft<'a> {
    book: &'a Book,
    name: String,
}

impl Member {
    /// In the first revision that there is of it.
    pub(crate) const fn first(entry: Entry) -> Self {
        Self { revision: 1, entry }
    }
}

impl Entry {
    /// Reads the file that the operator names.
    pub(crate) fn read(said: PolicyConfig) -> anyhow::Result<Self> {
        let code = read_component(&said.file)?;
        Ok(Self { said, code })
    }

    /// The name that it goes by.
    pub(crate) fn name(&self) -> &str {
        self.said.name.as_deref().unwrap_or_default()
    }
}

/// Reads a component. A directory or a pipe is none, and nothing is waited for.
pub(crate) fn read_component(file: &PathBuf) -> anyhow::Result<Arc<[u8]>> {
    let unreadable = || format!("{} cannot be read", file.display());
    let found = std::fs::metadata(file).with_context(unreadable)?;
    ensure!(found.is_file(), "{} is not a file", file.display());
    ensure!(
        found.len() <= COMPONENT_MAX,
        "{} is larger than {} MiB, which no policy is",
        file.display(),
        COMPONENT_MAX >> 20
    );
    Ok(std::fs::read(file).with_context(unreadable)?.into())
}

impl Book {
    /// Begins with the policies that a VM was started with, in the revisions that they have.
    pub(super) fn open(opening: Committed, state: Option<StateDirectory>) -> Self {
        let Committed { members, counts } = opening;
        let mut pages = Pages {
            state,
            counts,
            ..Pages::default()
        };
        for Member { revision, entry } in &members {
            let name = entry.name().to_owned();
            let known = pages.revisions.entry(name).or_default();
            known.insert(*revision, entry.clone());
        }
        pages.keep(&members);
        Self {
            pages: Mutex::new(pages),
        }
    }

    /// Notes what is to come into force under this name. One at a time.
    pub(super) fn draft(&self, name: &str, entry: Entry) -> Result<Draft<'_>, RosterError> {
        let mut pages = self.lock();
        if pages.drafts.contains_key(name) {
            return Err(RosterError::Busy);
        }
        pages.drafts.insert(name.to_owned(), entry);
        let name = name.to_owned();
        Ok(Draft { book: self, name })
    }

    /// These are in force now.
    pub(super) fn changed(&self, posted: &[Posted]) {
        let mut pages = self.lock();
        let there = |name: &String| posted.iter().any(|one| one.name == *name);
        pages.revisions.retain(|name, _| there(name));
        let members: Option<Vec<_>> = posted.iter().map(|one| pages.member(one)).collect();
        match members {
            Some(members) => pages.keep(&members),
            None => pages.unkept = Some("nothing was said of a policy in force".to_owned()),
        }
    }

    /// What was said of a revision.
    pub(super) fn find(&self, name: &str, revision: u64) -> Option<Entry> {
        self.lock().revisions.get(name)?.get(&revision).cloned()
    }

    /// Forgets the revisions of a policy that are older than this one.
    pub(super) fn forget_before(&self, name: &str, oldest: u64) {
        if let Some(revisions) = self.lock().revisions.get_mut(name) {
            revisions.retain(|&revision, _| revision >= oldest);
        }
    }

    /// Whether the set in force is kept, and why not.
    pub(super) fn kept(&self) -> (Option<bool>, Option<String>) {
        let pages = self.lock();
        let kept = pages.state.as_ref().map(|_| pages.unkept.is_none());
        (kept, pages.unkept.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        // What is half done in it concerns one policy, and is done again with its next change.
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    /// What was said of a policy that is in force: noted under its number, or to be noted now.
    fn member(&mut self, posted: &Posted) -> Option<Member> {
        let revisions = self.revisions.entry(posted.name.clone()).or_default();
        let draft = &mut self.drafts;
        let entry = match revisions.get(&posted.revision) {
            Some(known) => known.clone(),
            None => draft.get(&posted.name)?.clone(),
        };
        revisions.insert(posted.revision, entry.clone());
        let revision = posted.revision;
        Some(Member { revision, entry })
    }

    fn keep(&mut self, set: &[Member]) {
        for member in set {
            let name = member.entry.name().to_owned();
            let newest = self.counts.entry(name).or_default();
            *newest = member.revision.max(*newest);
        }
        let Some(state) = &self.state else { return };
        self.unkept = state
            .commit(set, &self.counts)
            .err()
            .map(|error| chain(&error));
        if let Some(why) = &self.unkept {
            warn(format_args!(
                "oriel: ALERT: the policies in force are NOT KEPT, after a crash the ones before come back: {why}"
            ));
        }
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        self.book.lock().drafts.remove(&self.name);
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
