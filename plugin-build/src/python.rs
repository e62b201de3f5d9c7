//! Making a component of a policy in Python with componentize-py: the interpreter, its library and the policy,
//! as they are once the policy's modules have been loaded. Installs nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::cache::{self, Cache};
use crate::child;
use crate::made::Recipe;

/// The release of componentize-py that is tried out, and that `cargo xtask setup` installs.
pub const RELEASE: &str = "0.25.1";

/// The interpreter that runs componentize-py and native tests, and the Debian packages that have it and its `venv`.
pub const PROGRAMS: [(&str, &str); 1] = [("python3", "python3 python3-venv")];

const TOOL: &str = "componentize-py";

/// What a policy's main module is called.
const MODULE: &str = "policy";

/// A policy in Python.
#[derive(Debug)]
pub struct Policy {
    /// The directory with the world: `world.wit`, and in `deps` the packages that it names.
    pub wit: PathBuf,
    /// Where its modules are, `policy.py` among them.
    pub sources: PathBuf,
    /// Where to work.
    pub work: PathBuf,
}

impl Policy {
    /// Makes its component, with stubs for WASI that trap. What the tool says goes to stderr.
    ///
    /// # Errors
    /// If the tool is missing, or does not succeed.
    pub fn component(&self) -> Result<Vec<u8>> {
        let version = child::output(tool()?.arg("--version"))?;
        let recipe = Recipe {
            words: &format!("{version}, stubbed"),
            inputs: &[&self.wit, &self.sources],
            work: &self.work,
        };
        recipe.make(|file| {
            let mut tool = self.for_world()?;
            tool.args(["componentize", "--stub-wasi", MODULE, "--python-path"])
                .arg(&self.sources)
                .arg("--output")
                .arg(file);
            child::run(&mut tool)
                .context("it does not become a component; what componentize-py says stands above")
        })
    }

    /// Writes the bindings of its world, for native tests and for whoever looks up a name; says where they are.
    ///
    /// # Errors
    /// If the tool is missing, or cannot understand the world.
    pub fn bindings(&self) -> Result<PathBuf> {
        let folder = self.work.join("bindings");
        cache::remove(&folder)?;
        fs::create_dir_all(&self.work)
            .with_context(|| format!("{} cannot be made", self.work.display()))?;
        let mut tool = self.for_world()?;
        child::run(tool.arg("bindings").arg(&folder))
            .context("its world has no bindings; what componentize-py says stands above")?;
        Ok(folder)
    }

    fn for_world(&self) -> Result<Command> {
        let mut tool = tool()?;
        tool.arg("--quiet").arg("--wit-path").arg(&self.wit);
        Ok(tool)
    }
}

/// Where `cargo xtask setup` puts componentize-py.
pub fn place(cache: &Cache) -> PathBuf {
    cache.join(format!("tools/{TOOL}-{RELEASE}"))
}

/// Whether policies in Python can be built here.
pub fn is_here() -> bool {
    tool().is_ok()
}

/// componentize-py: the one in the path, else the one in the cache.
fn tool() -> Result<Command> {
    let found = child::find(TOOL).map(Command::new);
    let mut tool = found.or_else(kept).with_context(|| {
        format!(
            "Python needs {TOOL}, which is not here: `pip install {TOOL}=={RELEASE}`, or in a checkout of \
             Oriel `cargo xtask setup`"
        )
    })?;
    // What it says of a mistake in the policy is enough without a trace of its own.
    tool.env("RUST_BACKTRACE", "0");
    Ok(tool)
}

fn kept() -> Option<Command> {
    let place = place(&Cache::open().ok()?);
    let script = place.join("bin").join(TOOL);
    let python = child::find("python3").filter(|_| script.is_file())?;
    // The first line of the script names an interpreter that was there for the installation alone.
    let mut tool = Command::new(python);
    tool.arg(script).env("PYTHONPATH", place);
    Some(tool)
}

/// The interpreter, set to find these modules; it leaves nothing beside them.
pub fn interpreter(modules: &[&Path]) -> Result<Command> {
    let program = child::find("python3").context(
        "native tests in Python need python3: install it, or leave them out with --no-native",
    )?;
    let path = std::env::join_paths(modules).context("a path of modules")?;
    let mut python = Command::new(program);
    python
        .env("PYTHONPATH", path)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(python)
}
