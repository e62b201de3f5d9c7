//! The form of a committed set: JSON, and the components beside it.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use oriel_policy::Digest;
use serde::{Deserialize, Serialize};

use super::{Committed, Counts, StateError};
use crate::{
    config::PolicyConfig,
    steward::{Entry, Member},
};

/// The version of the form.
pub(super) const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Set {
    v: u32,
    vm: String,
    policies: Vec<Kept>,
    /// Missing in a set of an Oriel that did not count on.
    #[serde(default)]
    counts: Counts,
}

/// Only the version, which says whether the rest can be read.
#[derive(Deserialize)]
struct Version {
    v: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    revision: u64,
    /// SHA-256 of all bytes of the component, a signature included.
    component: String,
    policy: PolicyConfig,
}

/// Where the components are.
pub(super) fn components(directory: &Path) -> PathBuf {
    directory.join("components")
}

/// Where the set is.
pub(super) fn set(directory: &Path) -> PathBuf {
    directory.join("set.json")
}

/// Where a component is.
pub(super) fn component(directory: &Path, digest: &str) -> PathBuf {
    components(directory).join(format!("{digest}.wasm"))
}

/// What a component is called.
pub(super) fn digest(code: &[u8]) -> String {
    Digest::of(code).to_string()
}

/// A set as bytes.
pub(super) fn write(vm: &str, members: &[Member], counts: &Counts) -> Vec<u8> {
    let kept = |member: &Member| Kept {
        revision: member.revision,
        component: digest(&member.entry.code),
        policy: member.entry.said.clone(),
    };
    let set = Set {
        v: VERSION,
        vm: vm.to_owned(),
        policies: members.iter().map(kept).collect(),
        counts: counts.clone(),
    };
    serde_json::to_vec_pretty(&set).expect("names, numbers and settings are JSON")
}

/// The set of this VM in a directory.
pub(super) fn read(directory: &Path, vm: &str) -> Result<Option<Committed>, StateError> {
    let file = set(directory);
    let bytes = match std::fs::read(&file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StateError::Read(file, error)),
    };
    let set = parse(&file, &bytes)?;
    if set.vm != vm {
        let (theirs, ours) = (set.vm, vm.to_owned());
        return Err(StateError::AnotherVm { file, theirs, ours });
    }
    let members = set.policies.into_iter().map(|kept| member(directory, kept));
    let members = members.collect::<Result<_, _>>()?;
    Ok(Some(Committed {
        members,
        counts: set.counts,
    }))
}

fn parse(file: &Path, bytes: &[u8]) -> Result<Set, StateError> {
    let not_a_set = |error| StateError::NotASet(file.to_owned(), error);
    let Version { v } = serde_json::from_slice(bytes).map_err(not_a_set)?;
    if v != VERSION {
        let (file, found) = (file.to_owned(), v);
        return Err(StateError::Version { file, found });
    }
    serde_json::from_slice(bytes).map_err(not_a_set)
}

/// Reads a component, and loads just the bytes that were checked.
fn member(directory: &Path, kept: Kept) -> Result<Member, StateError> {
    // What stands in the set names a file of this directory, and no other.
    let name: String = kept
        .component
        .chars()
        .filter(char::is_ascii_hexdigit)
        .collect();
    let file = component(directory, &name);
    let code = match std::fs::read(&file) {
        Ok(code) => code,
        Err(error) => return Err(StateError::Read(file, error)),
    };
    let found = digest(&code);
    if found != kept.component {
        return Err(StateError::AnotherComponent { file, found });
    }
    Ok(Member {
        revision: kept.revision,
        entry: Entry {
            said: kept.policy,
            code: code.into(),
        },
    })
}
