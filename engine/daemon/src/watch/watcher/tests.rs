//! A directory that changes, looked at when the test says so, by the test's own clock.

use std::fs;

use super::{super::sight::STILL, *};
use crate::steward::{
    fake::{BROKEN, Fake},
    for_tests,
};

struct Scene {
    directory: tempfile::TempDir,
    steward: Steward,
    watcher: Watcher,
    now: Instant,
}

fn scene(fake: Fake, unload: bool) -> Scene {
    let directory = tempfile::tempdir().unwrap();
    let plan = WatchPlan {
        directory: directory.path().join("policies"),
        unload,
    };
    fs::create_dir(&plan.directory).unwrap();
    Scene {
        directory,
        steward: for_tests(fake, None),
        watcher: Watcher::new(plan),
        now: Instant::now(),
    }
}

impl Scene {
    fn path(&self, file: &str) -> PathBuf {
        self.watcher.plan.directory.join(file)
    }

    /// As a careful operator does it.
    fn move_in(&self, file: &str, content: &[u8]) {
        let aside = self.directory.path().join("aside");
        fs::write(&aside, content).unwrap();
        let before = std::time::SystemTime::now() - STILL;
        let times = fs::FileTimes::new().set_modified(before);
        let open = fs::File::options().write(true).open(&aside).unwrap();
        open.set_times(times).unwrap();
        fs::rename(aside, self.path(file)).unwrap();
    }

    fn scan(&mut self) {
        self.watcher.scan(self.now, &self.steward);
    }

    /// Looks, and looks again when what is there has been still for long enough.
    fn scan_still(&mut self) {
        self.scan();
        self.now += STILL;
        self.scan();
    }

    /// Names and revisions.
    fn posted(&self) -> Vec<(String, u64)> {
        let all = self.steward.list();
        all.into_iter()
            .map(|one| (one.name, one.revision))
            .collect()
    }
}

fn named(name: &str, revision: u64) -> (String, u64) {
    (name.to_owned(), revision)
}

#[test]
fn a_file_that_is_moved_in_is_loaded_at_once_and_swapped_when_another_is() {
    let mut scene = scene(Fake::default(), false);
    scene.move_in("guard.wasm", b"one");
    scene.scan();
    assert_eq!(scene.posted(), [named("guard", 1)]);
    scene.scan();
    scene.move_in("guard.wasm", b"two");
    scene.scan();
    scene.scan();
    assert_eq!(scene.posted(), [named("guard", 2)]);
}

#[test]
fn a_file_that_is_being_written_is_left_until_it_is_still() {
    let mut scene = scene(Fake::default(), false);
    fs::write(scene.path("guard.wasm"), b"half").unwrap();
    scene.scan();
    scene.now += STILL / 2;
    fs::write(scene.path("guard.wasm"), b"half and half").unwrap();
    scene.scan();
    scene.now += STILL / 2;
    scene.scan();
    assert_eq!(scene.posted(), [], "still only since the last write");
    scene.now += STILL;
    scene.scan();
    assert_eq!(scene.posted(), [named("guard", 1)]);
}

#[test]
fn what_is_in_force_already_is_not_swapped() {
    let mut scene = scene(Fake::with(&[("guard", b"one")]), false);
    scene.move_in("guard.wasm", b"one");
    scene.scan();
    assert_eq!(scene.posted(), [named("guard", 1)]);
}

#[test]
fn a_broken_file_is_refused_once_and_the_old_one_goes_on() {
    let mut scene = scene(Fake::with(&[("guard", b"one")]), false);
    scene.move_in("guard.wasm", BROKEN);
    scene.scan();
    assert_eq!(scene.posted(), [named("guard", 1)]);
    assert!(scene.watcher.seen["guard"].settled, "not tried again");
    scene.move_in("guard.wasm", b"two");
    scene.scan();
    assert_eq!(scene.posted(), [named("guard", 2)]);
}

#[test]
fn what_cannot_be_done_now_is_tried_again() {
    let fake = Fake::with(&[("guard", b"one")]);
    *fake.refuse.lock().unwrap() = Some(RosterError::Busy);
    let mut scene = scene(fake, false);
    scene.move_in("guard.wasm", b"two");
    scene.scan();
    assert_eq!(scene.posted(), [named("guard", 1)]);
    scene.scan();
    assert_eq!(scene.posted(), [named("guard", 2)]);
}

#[test]
fn a_removed_file_takes_its_policy_along_only_if_the_operator_says_so() {
    for (unload, left) in [(false, 1), (true, 0)] {
        let mut scene = scene(Fake::default(), unload);
        scene.move_in("guard.wasm", b"one");
        scene.scan();
        scene.scan();
        fs::remove_file(scene.path("guard.wasm")).unwrap();
        scene.scan();
        assert_eq!(scene.posted().len(), left);
    }
}

#[test]
fn a_directory_that_disappears_takes_nothing_along_and_is_picked_up_again() {
    let mut scene = scene(Fake::default(), true);
    scene.move_in("guard.wasm", b"one");
    scene.scan();
    let directory = scene.watcher.plan.directory.clone();
    fs::rename(&directory, scene.directory.path().join("away")).unwrap();
    scene.scan();
    scene.scan();
    assert_eq!(scene.posted(), [named("guard", 1)]);
    assert_eq!(scene.watcher.inode, None, "said once");
    // An empty one in its place, as when something is not mounted: nothing was removed.
    fs::create_dir(&directory).unwrap();
    scene.scan();
    assert_eq!(scene.posted(), [named("guard", 1)]);
    scene.move_in("guard.wasm", b"two");
    scene.scan();
    assert_eq!(scene.posted(), [named("guard", 2)]);
}

#[test]
fn terms_stand_beside_the_file_and_count_like_it() {
    let mut scene = scene(Fake::default(), false);
    scene.move_in("guard.wasm", b"one");
    scene.move_in("guard.toml", b"grant = \"all\"\n[config]\nlock = true\n");
    scene.scan();
    let said = |scene: &Scene| {
        let posted = scene.steward.get("guard").unwrap();
        scene.steward.entry(&posted).unwrap().said
    };
    assert!(said(&scene).config.contains_key("lock"));
    scene.move_in("guard.toml", b"grant = \"log\"\n");
    scene.scan();
    assert_eq!(scene.posted(), [named("guard", 2)]);
    assert!(said(&scene).config.is_empty());
    for wrong in ["grants = 1", "name = \"other\"", "grant = ["] {
        scene.move_in("guard.toml", wrong.as_bytes());
        scene.scan();
        assert_eq!(scene.posted(), [named("guard", 2)], "{wrong}");
    }
    // Without a file of terms, those in force stay.
    fs::remove_file(scene.path("guard.toml")).unwrap();
    scene.move_in("guard.wasm", b"two");
    scene.scan();
    assert_eq!(scene.posted(), [named("guard", 3)]);
    let log = crate::config::GrantConfig::typed("log");
    assert_eq!(said(&scene).grant, Some(log));
}

#[test]
fn only_files_that_are_named_like_policies_are_looked_at() {
    let mut scene = scene(Fake::default(), false);
    for file in [".hidden.wasm", ".wasm", "guard.wasm.new", "notes.txt"] {
        scene.move_in(file, b"one");
    }
    fs::create_dir(scene.path("folder.wasm")).unwrap();
    scene.scan_still();
    assert_eq!(scene.posted(), []);
}

#[test]
fn a_vm_begins_with_what_the_directory_holds() {
    let scene = scene(Fake::default(), false);
    scene.move_in("b.wasm", b"b");
    scene.move_in("a.wasm", b"a");
    scene.move_in("a.toml", b"grant = \"all\"\n");
    let entries = opening(&scene.watcher.plan.directory).unwrap();
    let names: Vec<_> = entries.iter().map(Entry::name).collect();
    assert_eq!(names, ["a", "b"]);
    assert!(entries[0].said.grant.is_some());
    assert!(opening(&scene.path("missing")).is_err());
}
