//! What is kept comes back, whatever has happened in between.

use super::{set, steps, steps::Step, *};
use crate::{config::PolicyConfig, steward::Entry};

const VM: &str = "web-1";

fn member(name: &str, revision: u64, code: &[u8]) -> Member {
    let mut said = PolicyConfig::of(Some(name.to_owned()), format!("{name}.wasm").into());
    let lock = toml::Value::Boolean(true);
    said.config.insert("lock".to_owned(), lock);
    Member {
        revision,
        entry: Entry {
            said,
            code: code.into(),
        },
    }
}

fn old() -> Committed {
    set(vec![member("guard", 1, b"one"), member("spy", 1, b"spy")])
}

fn new() -> Committed {
    let members = vec![member("guard", 2, b"two"), member("extra", 1, b"extra")];
    let mut set = set(members);
    set.counts.insert("spy".to_owned(), 1);
    set
}

fn set(members: Vec<Member>) -> Committed {
    let counts = members.iter();
    let counts = counts.map(|one| (one.entry.name().to_owned(), one.revision));
    Committed {
        counts: counts.collect(),
        members,
    }
}

fn commit(state: &StateDirectory, set: &Committed) -> Result<(), StateError> {
    state.commit(&set.members, &set.counts)
}

/// A directory with the old set in it.
fn begun() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    commit(&open(&path), &old()).unwrap();
    (directory, path)
}

fn open(path: &Path) -> StateDirectory {
    StateDirectory::open(path, VM).unwrap()
}

#[test]
fn a_set_comes_back_in_its_order_with_its_terms() {
    let (_directory, path) = begun();
    assert_eq!(open(&path).read().unwrap(), Some(old()));
    commit(&open(&path), &new()).unwrap();
    assert_eq!(open(&path).read().unwrap(), Some(new()));
    let components = std::fs::read_dir(path.join("components")).unwrap();
    assert_eq!(components.count(), 2, "what nobody needs any more is gone");
}

#[test]
fn nothing_is_kept_of_a_vm_that_never_committed() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(open(directory.path()).read().unwrap(), None);
}

#[test]
fn a_kill_at_any_step_of_a_commit_leaves_a_whole_set() {
    let steps = |path: &Path| {
        let Committed { members, counts } = new();
        steps::commit(path, &set::write(VM, &members, &counts), &members)
    };
    let (_directory, path) = begun();
    let count = steps(&path).len();
    assert!(count >= 8, "two components, the set, and both directories");
    let mut changed_at = None;
    for killed_at in 0..=count {
        for torn in [false, true] {
            let (_directory, path) = begun();
            let all = steps(&path);
            all[..killed_at]
                .iter()
                .for_each(|step| step.perform().unwrap());
            if let (true, Some(Step::Write { file, bytes })) = (torn, all.get(killed_at)) {
                std::fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
            }
            let found = open(&path).read().unwrap().expect("a set");
            if found == new() {
                changed_at.get_or_insert(killed_at);
            } else {
                assert_eq!(found, old(), "killed at {killed_at}");
                assert_eq!(changed_at, None, "once changed it stays so");
            }
            // And whatever is left lies in nobody's way.
            commit(&open(&path), &new()).unwrap();
            assert_eq!(open(&path).read().unwrap(), Some(new()));
        }
    }
    assert_eq!(changed_at, Some(count - 1), "with the set's own rename");
}

#[test]
fn what_is_not_what_was_committed_is_no_set_and_no_empty_one() {
    type Harm = fn(&Path);
    let harms: [(Harm, &str); 6] = [
        (
            |path| std::fs::remove_file(one(path)).unwrap(),
            "cannot be read",
        ),
        (
            |path| std::fs::write(one(path), b"other").unwrap(),
            "SHA-256",
        ),
        (|path| rewrite(path, |_| String::new()), "not a set"),
        (
            |path| rewrite(path, |text| text[..text.len() / 2].to_owned()),
            "not a set",
        ),
        (
            |path| rewrite(path, |text| text.replace("\"v\": 1", "\"v\": 2")),
            "version 2",
        ),
        (
            |path| rewrite(path, |text| text.replace("web-1", "web-2")),
            "web-2",
        ),
    ];
    for (harm, words) in harms {
        let (_directory, path) = begun();
        harm(&path);
        let error = open(&path).read().unwrap_err().to_string();
        assert!(error.contains(words), "{words}: {error}");
        assert!(error.contains("--state-reset"), "{error}");
    }
}

fn one(path: &Path) -> PathBuf {
    set::component(path, &set::digest(b"one"))
}

fn rewrite(path: &Path, how: impl Fn(String) -> String) {
    let file = set::set(path);
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(file, how(text)).unwrap();
}

#[test]
fn a_set_that_does_not_count_on_is_read_all_the_same() {
    let (_directory, path) = begun();
    let text = std::fs::read_to_string(set::set(&path)).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
    json.as_object_mut().unwrap().remove("counts").unwrap();
    rewrite(&path, |_| json.to_string());
    let found = open(&path).read().unwrap().unwrap();
    assert_eq!(found.members, old().members);
    assert!(found.counts.is_empty());
}

#[test]
fn a_name_in_the_set_leads_to_no_other_file() {
    let (_directory, path) = begun();
    let digest = set::digest(b"one");
    rewrite(&path, |text| text.replace(&digest, "../set"));
    assert!(open(&path).read().is_err());
}

#[test]
fn what_cannot_be_written_leaves_the_last_set() {
    let (_directory, path) = begun();
    let state = open(&path);
    // A directory where the new set would be written: no user may write over it, root included.
    std::fs::create_dir(path.join("set.new")).unwrap();
    let error = commit(&state, &new()).unwrap_err();
    assert!(error.to_string().contains("set.new"), "{error}");
    assert_eq!(state.read().unwrap(), Some(old()));
    std::fs::remove_dir(path.join("set.new")).unwrap();
    commit(&state, &new()).unwrap();
    assert_eq!(state.read().unwrap(), Some(new()));
}

#[test]
fn a_full_disk_leaves_the_last_set_and_no_half_file() {
    let (_directory, path) = begun();
    let state = open(&path);
    std::os::unix::fs::symlink("/dev/full", path.join("set.new")).unwrap();
    let error = commit(&state, &new()).unwrap_err();
    let full = |error: &io::Error| error.kind() == io::ErrorKind::StorageFull;
    assert!(
        matches!(&error, StateError::Write(_, error) if full(error)),
        "{error}"
    );
    assert_eq!(state.read().unwrap(), Some(old()));
    assert!(std::fs::symlink_metadata(path.join("set.new")).is_err());
    commit(&state, &new()).unwrap();
    assert_eq!(state.read().unwrap(), Some(new()));
}

#[test]
fn two_vms_do_not_share_a_directory() {
    let (_directory, path) = begun();
    let _first = open(&path);
    let error = StateDirectory::open(&path, VM).unwrap_err();
    assert!(matches!(error, StateError::InUse(_)), "{error}");
}

#[test]
fn what_is_kept_is_the_users_own() {
    use std::os::unix::fs::PermissionsExt;
    let (_directory, path) = begun();
    let mode = |file: &Path| std::fs::metadata(file).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&set::components(&path)), 0o700);
    assert_eq!((mode(&set::set(&path)), mode(&one(&path))), (0o600, 0o600));
}

#[test]
fn a_reset_counts_what_is_kept_for_nothing() {
    let (_directory, path) = begun();
    let plan = |reset| StatePlan {
        directory: path.clone(),
        reset,
    };
    let state = open(&path);
    assert_eq!(opening(&state, &plan(true)).unwrap(), None);
    assert_eq!(opening(&state, &plan(false)).unwrap(), Some(old()));
}
