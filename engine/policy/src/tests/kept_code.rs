//! Compiled code that is kept: it is used again, and only for what it was compiled for.

use std::{fs, path::Path};

use super::*;

/// Loads it in a host of its own and judges an event with it; answers with how many entries there are then.
fn entries(folder: &Path, guest: &Guest, count_fuel: bool) -> usize {
    let host = Host::new(HostSettings {
        pool: 2,
        count_fuel,
        code_cache: Some(folder.into()),
        ..HostSettings::default()
    });
    let host = host.unwrap();
    let plugin = host.load("guest", &guest.build()).unwrap();
    let policy = host.prepare(&plugin, all()).unwrap();
    let slot = host.slot();
    let instance = policy.instantiate(Place::Vm, &slot, FakeDesk::new()).0;
    let event = msr();
    let judged = instance
        .unwrap()
        .judge(&case(&event), &slot, FakeDesk::new());
    judged.0.unwrap();
    code(folder).len()
}

/// The files with code: their names are hashes, the notes beside them have an ending.
fn code(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(code(&path));
        } else if path.extension().is_none() {
            found.push(path);
        }
    }
    found
}

#[test]
fn code_is_kept_for_the_same_component_in_the_same_engine() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("code");
    let guest = Guest::judging(["msr"]);
    assert_eq!(entries(&folder, &guest, false), 1);
    let before = fs::metadata(&code(&folder)[0]).unwrap();
    assert_eq!(entries(&folder, &guest, false), 1);
    let after = fs::metadata(&code(&folder)[0]).unwrap();
    assert_eq!(
        std::os::unix::fs::MetadataExt::ino(&before),
        std::os::unix::fs::MetadataExt::ino(&after),
        "it was not written again"
    );
    assert_eq!(entries(&folder, &guest, true), 2, "another engine");
    assert_eq!(entries(&folder, &guest.pages(3), false), 3, "other bytes");
}

#[test]
fn what_is_cut_off_is_compiled_again() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("code");
    let guest = Guest::judging(["msr"]);
    entries(&folder, &guest, false);
    let file = &code(&folder)[0];
    let whole = fs::read(file).unwrap();
    fs::write(file, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(entries(&folder, &guest, false), 1);
    assert_eq!(fs::read(file).unwrap().len(), whole.len());
}

#[test]
fn a_host_without_a_place_for_code_is_as_good() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let host = Host::new(HostSettings {
        pool: 2,
        code_cache: Some(file),
        ..HostSettings::default()
    });
    let guest = Guest::judging(["msr"]);
    host.unwrap().load("guest", &guest.build()).unwrap();
}
