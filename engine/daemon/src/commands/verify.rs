//! `oriel audit verify`

use std::{fs::File, io::BufReader};

use anyhow::Context;
use oriel_engine::audit;

use crate::{args::VerifyArgs, exit::Exit, output::say};

/// Checks an audit trail, and names the first line that is wrong.
pub(crate) fn run(args: &VerifyArgs) -> anyhow::Result<Exit> {
    let name = args.file.display();
    let file = File::open(&args.file).with_context(|| format!("{name} cannot be read"))?;
    let trail = audit::verify(BufReader::new(file)).with_context(|| name.to_string())?;
    say(format_args!("{name}: whole"));
    say(format_args!("vm     {}", trail.vm));
    say(format_args!("lines  {}", trail.lines));
    say(format_args!("lost   {} commands", trail.lost));
    say(format_args!("hash   {}", trail.hash));
    Ok(Exit::Success)
}
