//! Policies of a running VM, changed as an operator changes them: the socket, the command line, the
//! kept set, the watched directory. On the mock machine, with a guest that runs until it is told to
//! end.

#[path = "policies/running.rs"]
mod running;
#[path = "policies/trials.rs"]
mod trials;

use std::{
    fs,
    io::{Read, Write},
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        net::UnixStream,
        process::CommandExt,
    },
    path::Path,
};

use serde_json::json;

use super::{Json, assert_error, assert_usage, file, mock, plugin, status, stderr};
use running::{Running, scene};

#[test]
fn a_policy_is_loaded_swapped_rolled_back_and_unloaded_while_the_guest_runs() {
    let scene = scene();
    let running = scene.run(&[]);
    assert_eq!(running.json(&["list"])["policies"], json!([]));
    let guard = plugin("msr-guard");
    let loaded = running.json(&["load", &guard, "--grant", "msr,alert,store"]);
    assert_eq!(
        (&loaded["name"], &loaded["revision"]),
        (&json!("msr-guard"), &json!(1))
    );
    let lock = file(&scene.directory, "lock.toml", "lock = true\n");
    let swapped = running.json(&["swap", "msr-guard", "--config", &lock]);
    assert_eq!((&swapped["from"], &swapped["to"]), (&json!(1), &json!(2)));
    let said = |running: &Running| running.json(&["list"])["policies"][0]["said"].clone();
    assert_eq!(said(&running)["config"], json!({"lock": true}));
    let back = running.json(&["rollback", "msr-guard"]);
    assert_eq!((&back["from"], &back["to"]), (&json!(2), &json!(1)));
    assert_eq!(said(&running).get("config"), None, "the terms of then");
    let history = running.said(&["history", "msr-guard"]);
    assert!(
        history.contains("rolled-back") && history.contains("in-force"),
        "{history}"
    );
    let explained = running.said(&["explain", "msr-guard"]);
    assert!(
        explained.contains("memory-read") && explained.contains("imports, manifest, grant"),
        "{explained}"
    );
    assert!(running.said(&["unload", "msr-guard"]).contains("gone"));
    assert_eq!(running.said(&["list"]).trim(), "no policies");
    assert_eq!(running.end(), 128 + 15);
    assert!(!scene.control().exists(), "the socket went with the VM");
}

#[test]
fn what_is_refused_is_told_in_words_with_what_to_do() {
    let scene = scene();
    let running = scene.run(&["--policy", &plugin("msr-guard")]);
    let guard = plugin("msr-guard");
    let garbage = file(&scene.directory, "garbage.wasm", "not wasm");
    let cases: [(&[&str], &[&str]); 7] = [
        (&["load", &guard], &["msr-guard", "already"]),
        (
            &["swap", "nobody", &guard],
            &["nobody", "oriel policy list"],
        ),
        (&["swap", "msr-guard", &garbage], &["not WebAssembly"]),
        (&["load", &plugin("oriel-zoo")], &["memory-read", "--grant"]),
        (&["rollback", "msr-guard"], &["no earlier revision"]),
        (&["rollback", "msr-guard", "--to", "7"], &["7", "history"]),
        (
            &["load", "no/such.wasm"],
            &["no/such.wasm", "cannot be read"],
        ),
    ];
    for (order, words) in cases {
        assert_error(&running.order(order), words);
    }
    let listed = running.json(&["list"]);
    assert_eq!(listed["policies"][0]["revision"], 1, "nothing has changed");
    assert_usage(
        &super::oriel(&["policy", "list"]),
        &["--control", "ORIEL_CONTROL"],
    );
    let nobody = scene.directory.path().join("nobody").display().to_string();
    assert_error(
        &super::oriel(&["policy", "list", "--control", &nobody]),
        &[&nobody, "oriel run"],
    );
}

#[test]
fn of_two_swaps_at_once_the_second_is_told_to_wait() {
    let scene = scene();
    let running = scene.run(&["--policy", &plugin("msr-guard")]);
    // The guest raises nothing that a guard hears, so its shadow lasts as long as it is told to;
    // while it does, nothing else is changed.
    let order = ["swap", "msr-guard", &plugin("msr-guard"), "--shadow", "600"];
    let shadowed = || running.command(&order).spawn().expect("the program starts");
    let mut first = shadowed();
    let busy = loop {
        // It asks for nothing that there is: it is refused, but not always for the same reason.
        let second = running.order(&["rollback", "nobody"]);
        if stderr(&second).contains("another change") {
            break second;
        }
        if first.try_wait().expect("its state").is_some() {
            // The second was just in its way.
            first = shadowed();
        }
    };
    assert_error(&busy, &["wait for the other change"]);
    // And a swap that a VM's end overtakes is answered.
    assert_eq!(running.end(), 128 + 15);
    assert_eq!(first.wait().expect("it ends").code(), Some(1));
}

#[test]
fn what_a_policy_remembers_outlives_its_revisions() {
    let scene = scene();
    // The guard pins the first value. A write that changes nothing pins nothing, so a revision that
    // began with an empty store would take the second.
    let write =
        |value: &str| format!("[[step]]\nevent = \"msr\"\nmsr = \"lstar\"\nvalue = \"{value}\"\n");
    let (first, second) = ("0xffffffff81e00080", "0xffffffffc0de0000");
    let steps = [write(first), write(second)].concat();
    let text = format!("loop = true\n[[step]]\nserial = \"runs\\n\"\n[[step]]\nidle = 1\n{steps}");
    fs::write(scene.guest(), text).expect("a scenario");
    let events = scene.directory.path().join("events.jsonl");
    let flag = events.display().to_string();
    let running = scene.run(&["--policy", &plugin("msr-guard"), "--events", &flag]);
    let judged_by = |revision: u64| {
        let text = fs::read_to_string(&events).expect("event lines");
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let mut lines = lines.filter(|line: &Json| line["data"]["new"] == second);
        lines.rfind(|line| line["judges"][0]["revision"] == revision)
    };
    running.until(|_| judged_by(1).is_some());
    let lock = file(&scene.directory, "alert.toml", "lock = false\n");
    running.json(&["swap", "msr-guard", "--config", &lock]);
    running.until(|_| judged_by(2).is_some());
    for revision in [1, 2] {
        let last = judged_by(revision).expect("there was one");
        assert_eq!(last["verdict"], "deny", "{last}");
    }
    assert_eq!(running.end(), 128 + 15);
}

#[test]
fn the_socket_is_for_this_user_alone() {
    let scene = scene();
    let running = scene.run(&[]);
    let found = fs::metadata(scene.control()).expect("the socket");
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    assert_eq!(status(&running.order(&["list"])), 0);
    let root = found.uid() == 0;
    if !root {
        eprintln!("SKIPPED: only root can ask as somebody else");
        return;
    }
    // Somebody careless has opened it to everybody: whoever asks is looked at all the same.
    let everybody = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("root may");
    };
    everybody(&scene.control(), 0o666);
    everybody(scene.directory.path(), 0o755);
    let mut other = running.command(&["list"]);
    let Ok(refused) = other.uid(65_534).gid(65_534).output() else {
        eprintln!("SKIPPED: somebody else may not run the program where it lies");
        return;
    };
    assert_error(&refused, &["65534", "as root"]);
    let (status, said) = running.end_with_words();
    assert_eq!(status, 128 + 15);
    assert!(said.contains("65534"), "it is logged: {said}");
}

#[test]
fn clients_that_hang_or_go_harm_nobody() {
    let scene = scene();
    let running = scene.run(&[]);
    let connect = || UnixStream::connect(scene.control()).expect("it listens");
    let mut hanging = [connect(), connect(), connect()];
    hanging[1].write_all(b"GET /v1/vm HT").expect("sent");
    hanging[2]
        .write_all(b"POST /v1/policies HTTP/1.1\r\nContent-Length: 10\r\n\r\n{")
        .expect("sent");
    let mut gone = connect();
    gone.write_all(b"GET /v1/vm HTTP/1.1\r\n\r\n")
        .expect("sent");
    drop(gone);
    let mut garbage = connect();
    garbage.write_all(&[0xff; 512]).expect("sent");
    let mut answer = Vec::new();
    // A reset may follow the answer.
    let _ = garbage.read_to_end(&mut answer);
    assert!(answer.starts_with(b"HTTP/1.1 400"), "{answer:?}");
    assert_eq!(status(&running.order(&["list"])), 0);
    assert_eq!(running.end(), 128 + 15);
}

#[test]
fn a_socket_that_is_in_use_is_an_error_and_a_dead_ones_is_replaced() {
    let scene = scene();
    let control = scene.control().display().to_string();
    let mut running = scene.run(&[]);
    assert_error(
        &mock("hello", &["--control", &control]),
        &[&control, "already"],
    );
    running.kill();
    assert!(scene.control().exists(), "a kill leaves it");
    assert_eq!(status(&mock("hello", &["--control", &control])), 0);
    assert!(!scene.control().exists());
}

#[test]
fn the_last_set_comes_back_after_a_kill() {
    let scene = scene();
    let state = scene.directory.path().join("state").display().to_string();
    let guard = plugin("msr-guard");
    let lock = file(&scene.directory, "lock.toml", "lock = true\n");
    let mut running = scene.run(&["--state", &state, "--policy", &format!("first={guard}")]);
    let loaded = running.json(&["load", &format!("second={guard}")]);
    assert_eq!(loaded["kept"], true);
    running.json(&["swap", "second", "--config", &lock]);
    running.json(&["unload", "first"]);
    running.kill();
    // What the configuration names now does not count.
    let mut running = scene.run(&["--state", &state, "--policy", &guard]);
    let policies = running.json(&["list"])["policies"].clone();
    assert_eq!(policies.as_array().map(Vec::len), Some(1), "{policies}");
    assert_eq!(policies[0]["name"], "second");
    assert_eq!(policies[0]["said"]["config"], json!({"lock": true}));
    // A number names one revision, before a crash and after.
    assert_eq!(policies[0]["revision"], 2);
    assert_eq!(running.json(&["swap", "second"])["to"], 3);
    let again = running.json(&["load", &format!("first={guard}")]);
    assert_eq!(
        again["revision"], 2,
        "the one that was unloaded had the first"
    );
    running.json(&["unload", "first"]);
    running.json(&["rollback", "second"]);
    let said = running.kill();
    assert!(
        said.contains("second (revision 2)") && said.contains("--state-reset"),
        "{said}"
    );
    let running = scene.run(&["--state", &state, "--state-reset", "--policy", &guard]);
    assert_eq!(running.json(&["list"])["policies"][0]["name"], "msr-guard");
}

#[test]
fn a_set_that_cannot_be_trusted_keeps_the_vm_from_starting() {
    let scene = scene();
    let state = scene.directory.path().join("state");
    let flag = state.display().to_string();
    let guest = scene.guest().display().to_string();
    let mut running = scene.run(&["--state", &flag, "--policy", &plugin("msr-guard")]);
    let again = [
        "run",
        "--machine",
        "mock",
        "--guest",
        &guest,
        "--state",
        &flag,
    ];
    assert_error(&super::oriel(&again), &["another running VM"]);
    running.kill();
    for component in fs::read_dir(state.join("components")).expect("components") {
        let path = component.expect("a component").path();
        let mut bytes = fs::read(&path).expect("its bytes");
        bytes.push(0);
        fs::write(path, bytes).expect("changed");
    }
    assert_error(&super::oriel(&again), &["SHA-256", "--state-reset"]);
    fs::write(state.join("set.json"), "{").expect("written");
    assert_error(&super::oriel(&again), &["set.json", "--state-reset"]);
}

#[test]
fn a_change_that_cannot_be_kept_is_made_and_said_loudly() {
    let scene = scene();
    let state = scene.directory.path().join("state");
    let running = scene.run(&["--state", &state.display().to_string()]);
    // Where the new set is written there is no space left.
    std::os::unix::fs::symlink("/dev/full", state.join("set.new")).expect("a link");
    let order = running.order(&["load", &plugin("msr-guard")]);
    assert_eq!(status(&order), 0, "{}", stderr(&order));
    assert!(
        stderr(&order).contains("lost in a crash"),
        "{}",
        stderr(&order)
    );
    assert_eq!(running.json(&["list"])["policies"][0]["name"], "msr-guard");
    let unloaded = running.json(&["unload", "msr-guard"]);
    assert_eq!(unloaded["kept"], true, "there is space again");
    let (_, said) = running.end_with_words();
    assert!(
        said.contains("NOT KEPT") && said.contains("No space"),
        "{said}"
    );
}

#[test]
fn a_watched_directory_gives_a_vm_its_policies() {
    let scene = scene();
    let watched = scene.directory.path().join("policies");
    fs::create_dir(&watched).expect("a directory");
    fs::copy(plugin("msr-guard"), watched.join("first.wasm")).expect("copied");
    let flag = watched.display().to_string();
    let running = scene.run(&["--watch", &flag]);
    let names = |running: &Running| -> Vec<String> {
        let listed = running.json(&["list"]);
        let all = listed["policies"].as_array().expect("a list").iter();
        all.filter_map(|one| Some(one["name"].as_str()?.to_owned()))
            .collect()
    };
    assert_eq!(names(&running), ["first"], "from the start");
    let aside = scene.directory.path().join("aside");
    fs::copy(plugin("msr-guard"), &aside).expect("copied");
    fs::rename(aside, watched.join("second.wasm")).expect("moved in");
    running.until(|running| names(running) == ["first", "second"]);
    assert_error(
        &mock("hello", &["--watch", "no/such/directory"]),
        &["no/such/directory"],
    );
    fs::write(watched.join("broken.wasm"), "not wasm").expect("written");
    assert_error(
        &mock("hello", &["--watch", &flag]),
        &["broken", "not WebAssembly"],
    );
}
