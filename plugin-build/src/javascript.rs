//! Making a component of a policy in JavaScript with ComponentizeJS: an engine that hands over a `u64` as a
//! `BigInt`, and the policy, as they are once it has been loaded. Installs nothing.
//!
//! Another componentiser is no replacement: where a `u64` becomes a number, addresses are compared
//! without their lowest bits (`docs/decisions/0016-javascript-with-exact-integers.md`).

use std::path::{self, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::cache::Cache;
use crate::child;
use crate::made::Recipe;

/// The release of ComponentizeJS that is tried out, and that `cargo xtask setup` installs.
pub const RELEASE: &str = "0.23.0";

/// Programs that are needed, and the Debian packages that have them.
pub const PROGRAMS: [(&str, &str); 2] = [("node", "nodejs"), ("npm", "npm")];

const TOOL: &str = "componentize-js";
const PACKAGE: &str = "@bytecodealliance/componentize-js";

/// What a policy's main module is called.
const MAIN: &str = "policy.js";

/// What the engine would ask WASI for, and a policy does without.
const WITHOUT: [&str; 5] = ["stdio", "random", "clocks", "http", "fetch-event"];

/// A policy in JavaScript.
#[derive(Debug)]
pub struct Policy {
    /// The directory with the world: `world.wit`, and in `deps` the packages that it names.
    pub wit: PathBuf,
    /// Where its modules are, `policy.js` among them.
    pub sources: PathBuf,
    /// Where to work.
    pub work: PathBuf,
}

impl Policy {
    /// Has Node.js read it first, which names the line of a mistake; ComponentizeJS only counts them.
    fn check(&self) -> Result<()> {
        let mut node = node()?;
        node.arg("--check").arg(self.sources.join(MAIN));
        child::run(&mut node).context("it is no JavaScript; what Node.js says stands above")
    }

    /// Makes its component, which asks nothing of WASI. What the tool says goes to stderr.
    ///
    /// # Errors
    /// If the tool is missing, or does not succeed.
    pub fn component(&self) -> Result<Vec<u8>> {
        let version = child::output(tool()?.arg("--version"))?;
        let recipe = Recipe {
            words: &format!("{TOOL} {version}, without {WITHOUT:?}"),
            inputs: &[&self.wit, &self.sources],
            work: &self.work,
        };
        recipe.make(|file| {
            self.check()?;
            let mut tool = tool()?;
            // Modules are found from the directory in which it runs.
            tool.current_dir(&self.sources)
                .args([MAIN, "--wit"])
                .arg(path::absolute(&self.wit)?)
                .arg("--out")
                .arg(path::absolute(file)?)
                .arg("--disable")
                .args(WITHOUT);
            child::run(&mut tool)
                .context("it does not become a component; what ComponentizeJS says stands above")
        })
    }
}

/// Where `cargo xtask setup` puts ComponentizeJS.
pub fn place(cache: &Cache) -> PathBuf {
    cache.join(format!("tools/{TOOL}-{RELEASE}"))
}

/// Whether policies in JavaScript can be built here.
pub fn is_here() -> bool {
    tool().is_ok()
}

/// ComponentizeJS: the one in the path, else the one in the cache.
fn tool() -> Result<Command> {
    let found = child::find(TOOL).map(Command::new);
    found.or_else(kept).with_context(|| {
        format!(
            "JavaScript needs ComponentizeJS, which is not here: install Node.js 20 or later and `npm install \
             --global {PACKAGE}@{RELEASE}`, or in a checkout of Oriel `cargo xtask setup`"
        )
    })
}

fn kept() -> Option<Command> {
    let place = place(&Cache::open().ok()?);
    let script = place.join("node_modules").join(PACKAGE).join("src/cli.js");
    let node = child::find("node").filter(|_| script.is_file())?;
    let mut tool = Command::new(node);
    tool.arg(script);
    Some(tool)
}

/// Node.js, for native tests.
///
/// # Errors
/// If it is not here.
pub fn node() -> Result<Command> {
    let program = child::find("node").context(
        "native tests in JavaScript need node: install Node.js, or leave them out with --no-native",
    )?;
    Ok(Command::new(program))
}
