//! `oriel plugin new`: a policy's project, out of what travels inside the program.

mod c;
mod javascript;
mod kinds;
mod name;
mod python;
mod rust;
mod world;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};
use serde_json::json;

use crate::{
    args::{Language, NewArgs},
    bundle,
    exit::Exit,
    output::say,
};
use kinds::Kind;

/// Files to be, by their paths within the project.
type Files = Vec<(PathBuf, String)>;

/// What is to be begun.
struct Begun<'a> {
    name: &'a str,
    kinds: Vec<&'static Kind>,
    /// What its manifest says of limits: lines of JSON.
    limits: &'static str,
}

/// Makes the project.
pub(super) fn run(args: &NewArgs) -> anyhow::Result<Exit> {
    name::check(&args.name)?;
    let begun = Begun {
        name: &args.name,
        kinds: kinds::listed(&args.listens)?,
        limits: match args.lang {
            Language::Rust | Language::C | Language::Python => "",
            Language::Js => javascript::LIMITS,
        },
    };
    let folder = args.directory.clone();
    let folder = folder.unwrap_or_else(|| PathBuf::from(&args.name));
    let mut files = begun.common();
    files.extend(match args.lang {
        Language::Rust => rust::files(&begun),
        Language::C => c::files(&begun),
        Language::Python => python::files(&begun),
        Language::Js => javascript::files(&begun),
    });
    write(&folder, &files)?;
    format(&folder);
    tell(args, &folder, &files)?;
    Ok(Exit::Success)
}

impl Begun<'_> {
    /// What there is in every language.
    fn common(&self) -> Files {
        vec![
            (
                ".gitignore".into(),
                include_str!("../../../templates/gitignore").into(),
            ),
            (
                "oriel.json".into(),
                self.fill(include_str!("../../../templates/oriel.json")),
            ),
            (
                format!("tests/{}.toml", self.name).into(),
                kinds::scenario(self.name, &self.kinds),
            ),
        ]
    }

    /// A template with the words of this project in it.
    fn fill(&self, template: &str) -> String {
        let names: Vec<_> = self.kinds.iter().map(|kind| kind.name).collect();
        let rights: Vec<_> = self
            .rights()
            .iter()
            .map(|right| format!("\"{right}\""))
            .collect();
        template
            .replace("{NAME}", self.name)
            .replace("{LISTENS}", &names.join(", "))
            .replace("{RIGHTS}", &rights.join(", "))
            .replace("{LIMITS}", self.limits)
            .replace("{SDK}", bundle::VERSION)
    }

    /// Whether it judges what the example is about.
    fn guards_lstar(&self) -> bool {
        self.kinds.iter().any(|kind| kind.name == kinds::GUARDED)
    }

    /// Whether it judges anything else.
    fn counts(&self) -> bool {
        self.kinds.iter().any(|kind| kind.name != kinds::GUARDED)
    }

    /// The rights that its code uses.
    fn rights(&self) -> Vec<&'static str> {
        let guarding: &[_] = if self.guards_lstar() {
            &["alert", "log", "store"]
        } else {
            &["log"]
        };
        let counting: &[_] = if self.counts() { &["metrics"] } else { &[] };
        [guarding, counting].concat()
    }
}

/// The files of a bundle, below a folder.
fn bundled(below: &str, files: &[(&str, &str)]) -> Files {
    let place = |path: &str| Path::new(below).join(path);
    files
        .iter()
        .map(|(path, text)| (place(path), (*text).to_owned()))
        .collect()
}

/// All files, or none. What is there already is left alone.
fn write(folder: &Path, files: &Files) -> anyhow::Result<()> {
    let shown = folder.display();
    if folder.exists() {
        bail!("{shown} exists already; name another directory, or remove it");
    }
    fs::create_dir_all(folder).with_context(|| format!("{shown} cannot be made"))?;
    let written = files
        .iter()
        .try_for_each(|(path, text)| write_one(&folder.join(path), text));
    if written.is_err() {
        // What it says is why it could not be written; half a project helps nobody.
        let _ = fs::remove_dir_all(folder);
    }
    written
}

/// As rustfmt would have it. Where there is none, it is a little less tidy.
fn format(folder: &Path) {
    let source = folder.join("src/lib.rs");
    if source.is_file() {
        let rustfmt = Command::new("rustfmt")
            .args(["--edition", "2024", "--quiet"])
            .arg(source)
            .output();
        if let Err(error) = rustfmt {
            tracing::info!(%error, "rustfmt is not here");
        }
    }
}

fn write_one(path: &Path, text: &str) -> anyhow::Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, text))
        .with_context(|| format!("{} cannot be written", path.display()))
}

fn tell(args: &NewArgs, folder: &Path, files: &Files) -> anyhow::Result<()> {
    let shown = folder.display();
    if args.json {
        let own = files
            .iter()
            .map(|(path, _)| path)
            .filter(|path| !path.starts_with("vendor"));
        return super::print_json(&json!({
            "name": args.name, "directory": folder, "files": own.collect::<Vec<_>>(),
        }));
    }
    say(format_args!("{} is in {shown}. Next:", args.name));
    say(format_args!("  cd {shown}"));
    say(format_args!("  oriel plugin test"));
    Ok(())
}
