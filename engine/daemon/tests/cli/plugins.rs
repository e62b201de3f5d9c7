//! `oriel plugin`, as a vendor meets it: projects in empty directories, with nothing of this
//! repository beside them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use oriel_policy::{Manifest, write_manifest};
use serde_json::Value as Json;

use super::{assert_error, assert_usage, directory, file, oriel, plugin, status, stderr};

/// Every kind that can be judged.
pub(super) const EVERY_KIND: &str = "cr,msr,msr-read,xsetbv,breakpoint,hypercall,page,trap,descriptor,\
                          singlestep,cpuid,pio,mmio,reset,shutdown";

/// A project in a directory of its own: always the same, so that Cargo compiles no more than has
/// changed since the last time.
pub(super) struct Project {
    folder: PathBuf,
}

impl Project {
    /// As `oriel plugin new` makes it.
    pub(super) fn new(name: &str, flags: &[&str]) -> Self {
        let above = empty(name);
        let made = run(&above, &[&["plugin", "new", name], flags].concat());
        assert_eq!(status(&made), 0, "{}", stderr(&made));
        let folder = above.join(name);
        Self { folder }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.clone()
    }

    pub(super) fn oriel(&self, arguments: &[&str]) -> Output {
        run(&self.path(), arguments)
    }

    /// On a machine that has nothing installed.
    pub(super) fn without_tools(&self, arguments: &[&str]) -> Output {
        command(&self.path(), arguments)
            .env("PATH", self.path())
            .env("ORIEL_CACHE", self.path().join("cache"))
            .output()
            .expect("the program starts")
    }

    /// What a command with `--json` says, once it has succeeded.
    pub(super) fn json(&self, arguments: &[&str]) -> Json {
        let output = self.oriel(&[arguments, &["--json"]].concat());
        assert_eq!(status(&output), 0, "{}", stderr(&output));
        serde_json::from_slice(&output.stdout).expect("a document")
    }

    /// With one of its files changed; back again afterwards.
    pub(super) fn with<R>(
        &self,
        file: &str,
        change: impl FnOnce(&str) -> String,
        then: impl FnOnce() -> R,
    ) -> R {
        let path = self.path().join(file);
        let before = fs::read_to_string(&path).expect("a file of the project");
        let after = change(&before);
        assert_ne!(before, after, "{file} has changed");
        fs::write(&path, after).expect("a file of the project");
        let result = then();
        fs::write(&path, before).expect("a file of the project");
        result
    }
}

/// An empty directory for projects.
pub(super) fn empty(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("projects")
        .join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).expect("a directory of the last run");
    }
    fs::create_dir_all(&folder).expect("a directory");
    folder
}

/// What Cargo compiles for the projects in a directory goes beside it, and is kept for the next run.
pub(super) fn target(folder: &Path) -> PathBuf {
    let name = folder.file_name().expect("a directory with a name");
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("projects-target")
        .join(name)
}

/// Runs the program in a directory.
fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut program = command(folder, arguments);
    program.output().expect("the program starts")
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_oriel"));
    program
        .args(arguments)
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", target(folder));
    program
}

#[test]
fn a_new_project_passes_its_tests_and_says_what_it_is() {
    let project = Project::new("lstar-guard", &[]);
    let tested = project.json(&["plugin", "test"]);
    assert_eq!(tested["passed"], true, "{tested}");
    assert_eq!(tested["native"], "passed");
    assert_eq!(
        tested["scenarios"][0]["checks"][1]["got"]["verdict"],
        "deny"
    );

    let built = project.json(&["plugin", "build", "--out", "guard.wasm"]);
    assert_eq!(built["file"], "guard.wasm");
    assert_eq!(built["plugin"]["hears"], serde_json::json!(["msr"]));
    assert_eq!(
        built["plugin"]["asks"],
        serde_json::json!(["alert", "log", "store"])
    );
    let checked = project.json(&["plugin", "check", "--strict", "guard.wasm"]);
    assert_eq!(checked, serde_json::json!({ "errors": [], "lints": [] }));

    let cost = project.json(&["plugin", "bench", "guard.wasm", "--events", "200"]);
    assert_eq!(cost["events"], 200);
    assert_eq!(cost["host_calls"], 1.0);
    assert!(cost["instructions"].as_f64() > Some(20.0), "{cost}");
    assert!(cost["memory_bytes"].as_u64() > Some(65_536), "{cost}");
}

#[test]
fn a_project_can_judge_every_kind() {
    let project = Project::new("all-kinds", &["--listens", EVERY_KIND]);
    let tested = project.json(&["plugin", "test"]);
    assert_eq!(tested["passed"], true, "{tested}");
    let built = project.json(&["plugin", "build"]);
    assert_eq!(built["plugin"]["hears"].as_array().map(Vec::len), Some(15));
}

/// Whether policies in C can be built here.
pub(super) fn c_is_required_or_there() -> bool {
    is_required_or("clang", oriel_build::c::missing().is_none())
}

/// Whether a language's tool is there, or must be. If neither, that is said aloud.
pub(super) fn is_required_or(word: &str, there: bool) -> bool {
    let list = std::env::var("ORIEL_REQUIRE").unwrap_or_default();
    let required = list.split(',').any(|one| one == word);
    if !there && !required {
        eprintln!("SKIPPED: what builds policies ({word}) is not here; run `cargo xtask setup`");
    }
    there || required
}

#[test]
fn a_project_in_c_denies_what_one_in_rust_denies() {
    if !c_is_required_or_there() {
        return;
    }
    let project = Project::new("c-guard", &["--lang", "c"]);
    let tested = project.json(&["plugin", "test"]);
    assert_eq!(
        (&tested["passed"], &tested["native"]),
        (&true.into(), &"skipped".into())
    );
    assert_eq!(
        tested["scenarios"][0]["checks"][1]["got"]["verdict"], "deny",
        "{tested}"
    );
    let built = project.json(&["plugin", "build", "--out", "guard.wasm"]);
    assert_eq!(
        built["plugin"]["asks"],
        serde_json::json!(["alert", "store"])
    );
    let checked = project.json(&["plugin", "check", "--strict", "guard.wasm"]);
    assert_eq!(checked, serde_json::json!({ "errors": [], "lints": [] }));
    let played = project.oriel(&[
        "plugin",
        "run",
        "guard.wasm",
        "--scenario",
        "builtin:msr-attack",
    ]);
    let said = String::from_utf8_lossy(&played.stdout).into_owned();
    assert!(
        said.contains("alert: LSTAR changed {\"value\":\"0xffffffffc0de0000\"}"),
        "{said}"
    );
}

#[test]
fn a_project_in_c_can_judge_every_kind() {
    if !c_is_required_or_there() {
        return;
    }
    let project = Project::new("c-kinds", &["--lang", "c", "--listens", EVERY_KIND]);
    let tested = project.json(&["plugin", "test"]);
    assert_eq!(tested["passed"], true, "{tested}");
}

#[test]
fn what_is_wrong_with_a_project_in_c_is_said_in_words() {
    if !c_is_required_or_there() {
        return;
    }
    let project = Project::new("c-broken", &["--lang", "c", "--listens", "cpuid"]);
    let build = || project.oriel(&["plugin", "build"]);
    let source = "src/policy.c";
    let output = project.with(
        source,
        |text| text.replace("return true;", "return true"),
        build,
    );
    assert_error(&output, &["does not compile", "error:"]);
    let export = "export oriel:introspection/judge-cpuid@0.1.0;";
    let other = "export oriel:introspection/judge-page@0.1.0;";
    let output = project.with("wit/world.wit", |text| text.replace(export, other), build);
    assert_error(&output, &["does not compile"]);
    let newer = |text: &str| text.replace("0.1.0", "0.9.0");
    let output = project.with("wit/world.wit", newer, build);
    assert_error(&output, &["the world in", "0.9.0"]);
}

#[test]
fn what_is_wrong_with_a_project_is_said_in_words() {
    let project = Project::new("broken", &["--listens", "cpuid"]);
    let build = || project.oriel(&["plugin", "build"]);
    let source = "src/lib.rs";

    let output = project.with(
        source,
        |text| text.replace("struct Guard;", "struct Guard"),
        build,
    );
    assert_error(&output, &["does not compile", "error:"]);
    let output = project.with(
        source,
        |text| text.replace("oriel_sdk::export!", "// "),
        build,
    );
    assert_error(&output, &["exports nothing", "export!"]);
    let wasi = "
        #[link(wasm_import_module = \"wasi_snapshot_preview1\")]
        unsafe extern \"C\" { fn sched_yield() -> u32; }
        #[unsafe(no_mangle)]
        pub extern \"C\" fn rest() -> u32 { unsafe { sched_yield() } }";
    let output = project.with(source, |text| format!("{text}{wasi}"), build);
    assert_error(&output, &["WASI", "wasi_snapshot_preview1::sched_yield"]);
    let cdylib = |text: &str| text.replace("\"cdylib\", ", "");
    let output = project.with("Cargo.toml", cdylib, build);
    assert_error(&output, &["cdylib"]);
    let output = project.with("oriel.json", |text| text.replace("rights", "right"), build);
    assert_error(&output, &["oriel.json", "right"]);
    assert_error(
        &oriel(&["plugin", "build", "/nowhere"]),
        &["no policy's project"],
    );

    let undeclared = |text: &str| text.replace("\"metrics\"", "\"store\"");
    let output = project.with("oriel.json", undeclared, build);
    assert_error(&output, &["imports `metrics`", "does not declare"]);
    let newer = || {
        for entry in
            fs::read_dir(project.path().join("vendor/oriel-sdk/src/bindings")).expect("bindings")
        {
            let path = entry.expect("an entry").path();
            let text = fs::read_to_string(&path).expect("bindings");
            fs::write(&path, text.replace("0.1.0", "0.2.0")).expect("bindings");
        }
        build()
    };
    assert_error(
        &newer(),
        &["@0.2.0", "this Oriel speaks oriel:introspection 0.1.0"],
    );
}

#[test]
fn a_scenario_that_goes_otherwise_fails_the_test_and_names_the_step() {
    let project = Project::new("strict", &[]);
    let scenario = "tests/strict.toml";
    let test = || project.oriel(&["plugin", "test", "--no-native"]);
    let wish = |text: &str| text.replace("\"deny\"", "\"crash\"");
    let output = project.with(scenario, wish, test);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(status(&output), 1, "{said}");
    assert!(said.contains("step 2 on vCPU 0: expected crash"), "{said}");
    assert!(said.contains("got deny"), "{said}");

    let mistake = |text: &str| text.replace("finish = 0", "finnish = 0");
    let output = project.with(scenario, mistake, test);
    assert_error(&output, &["strict.toml", "step 3", "finish"]);
}

#[test]
fn a_scenario_is_played_with_the_configuration_beside_it() {
    let folder = directory();
    let guard = plugin("msr-guard");
    let config = file(&folder, "c.toml", "on-violation = \"keep\"");
    let kept = oriel(&[
        "plugin",
        "run",
        &guard,
        "--scenario",
        "builtin:msr-attack",
        "--config",
        &config,
        "--json",
    ]);
    assert_eq!(status(&kept), 0, "{}", stderr(&kept));
    let lines = String::from_utf8(kept.stdout).expect("UTF-8");
    let lines: Vec<Json> = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect();
    assert!(
        lines
            .iter()
            .any(|line| line["effect"] == "the old value stays")
    );
    let last = lines.last().expect("a last line");
    assert_eq!(
        (&last["type"], &last["v"]),
        (&"expectations".into(), &1.into())
    );
}

#[test]
fn a_grant_that_is_too_small_is_an_error_here_too() {
    let guard = plugin("msr-guard");
    let output = oriel(&[
        "plugin",
        "run",
        &guard,
        "--scenario",
        "builtin:hello",
        "--grant",
        "log",
    ]);
    assert_error(&output, &["not granted", "store"]);
    let output = oriel(&["plugin", "bench", &guard, "--scenario", "builtin:hello"]);
    assert_error(&output, &["judged nothing", "--scenario"]);
    let endless = oriel(&["plugin", "run", &guard, "--scenario", "builtin:tour"]);
    assert_error(&endless, &["`loop`", "never ends"]);
}

#[test]
fn oddities_have_names_and_fail_only_where_that_is_asked_for() {
    let folder = directory();
    let bytes = fs::read(plugin("msr-guard")).expect("a plugin");
    let mut manifest: Manifest =
        serde_json::from_str(r#"{"rights": ["alert", "store", "memory-write"]}"#)
            .expect("a manifest");
    manifest.name = "odd".to_owned();
    let bytes = write_manifest(&bytes, &manifest).expect("a component");
    let odd = file(&folder, "odd.wasm", bytes);
    let output = oriel(&["plugin", "check", "--json", &odd]);
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let found: Json = serde_json::from_slice(&output.stdout).expect("a document");
    let lints = found["lints"].as_array().expect("a list").iter();
    let names: Vec<_> = lints.filter_map(|lint| lint["name"].as_str()).collect();
    assert_eq!(names, ["unused-right", "no-failure-mode", "no-identity"]);
    assert_eq!(status(&oriel(&["plugin", "check", "--strict", &odd])), 1);
}

#[test]
fn what_is_no_policy_is_named_by_every_command() {
    let folder = directory();
    let text = file(&folder, "text.wasm", "not a policy");
    let large = folder.path().join("large.wasm");
    fs::File::create(&large)
        .and_then(|file| file.set_len(100 << 20))
        .expect("a sparse file");
    let large = large.display().to_string();
    for command in [
        &["plugin", "run", "--scenario", "builtin:hello"][..],
        &["plugin", "bench"],
        &["plugin", "inspect"],
    ] {
        assert_error(
            &oriel(&[command, &[text.as_str()]].concat()),
            &["not WebAssembly"],
        );
        assert_error(&oriel(&[command, &[large.as_str()]].concat()), &["100 MiB"]);
    }
    let checked = oriel(&["plugin", "check", &text]);
    assert_eq!(status(&checked), 1);
    assert!(String::from_utf8_lossy(&checked.stdout).contains("not WebAssembly"));
    assert_error(&oriel(&["plugin", "check", &large]), &["100 MiB"]);
}

#[test]
fn names_and_directories_are_looked_at_before_anything_is_made() {
    let folder = directory();
    let there = folder.path().display().to_string();
    assert_error(
        &oriel(&["plugin", "new", "guard", &there]),
        &["exists already"],
    );
    let fresh = folder.path().join("fresh");
    let fresh_name = fresh.display().to_string();
    for (flags, word) in [
        (&["Guard"][..], "small letters"),
        (&["g", "--listens", "mrs"], "mrs"),
    ] {
        let arguments = [&["plugin", "new"], flags, &[fresh_name.as_str()]].concat();
        assert_usage(&oriel(&arguments), &[word]);
    }
    assert!(!fresh.exists());
}
