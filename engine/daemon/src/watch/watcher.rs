//! One look at the watched directory after the other. When to look, others say; so does the clock.

use std::{
    collections::BTreeMap,
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, ensure};
use oriel_engine::{
    audit::Orderer,
    roster::{RosterError, SwapOptions},
};

use super::sight::{Sight, Sighting};
use crate::{
    config::PolicyConfig,
    plan::WatchPlan,
    steward::{ChangeError, Entry, Steward},
};

/// Knows what the directory looked like.
pub(crate) struct Watcher {
    plan: WatchPlan,
    seen: BTreeMap<String, Sighting>,
    /// The directory that was looked at; none: it is gone, and that was said.
    inode: Option<u64>,
}

/// What became of a file.
enum Outcome {
    Settled,
    /// It is looked at again.
    Again,
}

/// What is in a directory now.
struct Look {
    inode: u64,
    files: BTreeMap<String, Sight>,
}

/// The policies that a directory holds when a VM starts, in the order of their names.
pub(crate) fn opening(directory: &Path) -> anyhow::Result<Vec<Entry>> {
    let look = look(directory).with_context(|| {
        format!(
            "the watched directory {} cannot be read",
            directory.display()
        )
    })?;
    let names = look.files.into_keys();
    names.map(|name| read(directory, &name, None)).collect()
}

impl Watcher {
    pub(crate) const fn new(plan: WatchPlan) -> Self {
        Self {
            plan,
            seen: BTreeMap::new(),
            // It was there when the VM started.
            inode: Some(0),
        }
    }

    /// Looks at the directory, and gives the orders that follow.
    pub(crate) fn scan(&mut self, now: Instant, steward: &Steward) {
        let directory = self.plan.directory.display();
        match look(&self.plan.directory) {
            Ok(look) => {
                if self.inode.is_none() {
                    tracing::warn!(%directory, "the watched directory is back");
                }
                self.compare(look, now, steward);
            }
            Err(error) if self.inode.take().is_some() => {
                tracing::warn!(%directory, %error, "the watched directory cannot be read; its policies go on, and it is looked for");
            }
            Err(_) => {}
        }
    }

    fn compare(&mut self, look: Look, now: Instant, steward: &Steward) {
        // Of another directory under the same name nothing is known: what it lacks was not removed.
        if self.inode.replace(look.inode) == Some(look.inode) {
            self.remove(&look, steward);
        } else {
            self.seen.retain(|name, _| look.files.contains_key(name));
        }
        for (name, sight) in look.files {
            let known = self.seen.get(&name).copied();
            let known = known.filter(|known| known.sight == sight);
            let mut sighting = known.unwrap_or_else(|| Sighting::new(sight, now));
            if !sighting.settled && sighting.is_whole(now) {
                sighting.settled = matches!(self.take(&name, sight, steward), Outcome::Settled);
            }
            self.seen.insert(name, sighting);
        }
    }

    /// Forgets the files that were removed, and their policies if the operator wants that.
    fn remove(&mut self, look: &Look, steward: &Steward) {
        let unload = self.plan.unload;
        self.seen.retain(|name, _| {
            if look.files.contains_key(name) {
                return true;
            }
            let removed = if unload {
                steward.ordered_by(Orderer::Watch).unload(name).map(drop)
            } else {
                Ok(())
            };
            match removed {
                Err(error) if is_passing(&error) => true,
                Err(error) => {
                    tracing::warn!(policy = name, %error, "its file is removed");
                    false
                }
                Ok(()) => false,
            }
        });
    }

    /// Loads or swaps the policy of a file that is whole.
    fn take(&self, name: &str, sight: Sight, steward: &Steward) -> Outcome {
        let current = steward.get(name).ok();
        let current = current.and_then(|posted| steward.entry(&posted));
        let read = read(&self.plan.directory, name, current.as_ref());
        if Sight::of(&path(&self.plan.directory, name)) != Some(sight) {
            // It has changed while it was read.
            return Outcome::Again;
        }
        let orders = steward.ordered_by(Orderer::Watch);
        let ordered = read
            .map_err(ChangeError::Refused)
            .and_then(|entry| match &current {
                Some(current) if is_same(current, &entry) => Ok(false),
                Some(_) => orders.swap(entry, &SwapOptions::default()).map(|_| true),
                None => orders.load(entry).map(|_| true),
            });
        settle(name, ordered)
    }
}

fn settle(name: &str, ordered: Result<bool, ChangeError>) -> Outcome {
    match ordered {
        Ok(changed) => {
            if changed {
                tracing::info!(policy = name, "taken from the watched directory");
            }
            Outcome::Settled
        }
        Err(ChangeError::Roster(error)) if is_passing(&error) => Outcome::Again,
        Err(error) => {
            let error = anyhow::Error::from(error);
            tracing::warn!(
                policy = name,
                "its file is refused, and not tried again until it changes: {error:#}"
            );
            Outcome::Settled
        }
    }
}

/// Whether the same order may be obeyed later.
const fn is_passing(error: &RosterError) -> bool {
    matches!(
        error,
        RosterError::Busy | RosterError::TooSoon { .. } | RosterError::Unaudited
    )
}

/// The same code on the same terms; where it came from does not count.
fn is_same(one: &Entry, other: &Entry) -> bool {
    let file = other.said.file.clone();
    let said = PolicyConfig {
        file,
        ..one.said.clone()
    };
    one.code == other.code && said == other.said
}

fn path(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.wasm"))
}

/// Reads a policy's files. Terms that no file says are those of the policy in force.
fn read(directory: &Path, name: &str, current: Option<&Entry>) -> anyhow::Result<Entry> {
    let file = path(directory, name);
    let terms = file.with_extension("toml");
    let mut said = match std::fs::read_to_string(&terms) {
        Ok(text) => toml::from_str::<toml::Table>(&text)
            .context("it is not TOML")
            .and_then(of_terms)
            .with_context(|| format!("the terms in {}", terms.display()))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => current.map_or_else(
            || PolicyConfig::of(None, PathBuf::new()),
            |current| current.said.clone(),
        ),
        Err(error) => return Err(error).with_context(|| terms.display().to_string()),
    };
    said.file = file;
    said.name = Some(name.to_owned());
    Entry::read(said)
}

/// What `NAME.toml` says, which is a `[[policy]]` without its file and its name.
fn of_terms(mut table: toml::Table) -> anyhow::Result<PolicyConfig> {
    for key in ["file", "name"] {
        ensure!(
            !table.contains_key(key),
            "`{key}` is not said here: it is the file's name that counts"
        );
    }
    table.insert("file".to_owned(), toml::Value::String(String::new()));
    Ok(table.try_into()?)
}

fn look(directory: &Path) -> io::Result<Look> {
    let mut files = BTreeMap::new();
    let inode = std::fs::metadata(directory)?.ino();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let named = name_of(&path).and_then(|name| Some((name, Sight::of(&path)?)));
        files.extend(named);
    }
    Ok(Look { inode, files })
}

/// The policy that a file is; none if it is something else: hidden, or with another ending.
fn name_of(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?.strip_suffix(".wasm")?;
    (!name.is_empty() && !name.starts_with('.')).then(|| name.to_owned())
}

#[cfg(test)]
mod tests;
