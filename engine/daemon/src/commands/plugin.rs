//! `oriel plugin`: one file a command. What they share: the [`project`] of a policy, its
//! [`code`], and the [`stage`] on which a plugin is played.

mod bench;
mod build;
mod check;
mod code;
mod inspect;
mod native;
mod new;
mod play;
mod project;
mod stage;
mod test;
mod verdicts;

use crate::{args::PluginCommand, exit::Exit, output::say};

/// Runs the command.
pub(crate) fn run(command: &PluginCommand) -> anyhow::Result<Exit> {
    match command {
        PluginCommand::New(args) => new::run(args),
        PluginCommand::Build(args) => build::run(args),
        PluginCommand::Check(args) => check::run(args),
        PluginCommand::Test(args) => test::run(args),
        PluginCommand::Run(args) => play::run(args),
        PluginCommand::Bench(args) => bench::run(args),
        PluginCommand::Inspect(args) => inspect::run(args),
    }
}

/// Prints a document of JSON.
fn print_json(document: &impl serde::Serialize) -> anyhow::Result<()> {
    say(format_args!("{}", serde_json::to_string_pretty(document)?));
    Ok(())
}
