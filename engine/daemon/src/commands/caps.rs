//! `oriel caps`

use oriel_protocol::{Capabilities, Capability, Support};

use crate::output::say;
use crate::{args::CapsArgs, exit::Exit, guest};

/// Prints what a machine can report and do.
pub(crate) fn run(args: &CapsArgs) -> anyhow::Result<Exit> {
    let capabilities = guest::capabilities(args.machine)?;
    if args.json {
        say(format_args!(
            "{}",
            serde_json::to_string_pretty(&capabilities)?
        ));
    } else {
        print(&capabilities);
    }
    Ok(Exit::Success)
}

fn print(capabilities: &Capabilities) {
    say(format_args!(
        "{:<14} {:<7} {:<32} VERDICTS, OR WHY NOT",
        "NAME", "", "MECHANISM"
    ));
    for known in capabilities.iter() {
        say(format_args!(
            "{:<14} {:<7} {:<32} {}",
            known.name,
            word(known.support),
            known.mechanism,
            rest(known)
        ));
    }
}

const fn word(support: Support) -> &'static str {
    match support {
        Support::No => "no",
        Support::Partly => "partly",
        Support::Yes => "yes",
    }
}

fn rest(known: &Capability) -> String {
    let verdicts: Vec<_> = known.verdicts.names().collect();
    match (verdicts.is_empty(), known.reason.is_empty()) {
        (true, _) => known.reason.clone(),
        (false, true) => verdicts.join(" "),
        (false, false) => format!("{} ({})", verdicts.join(" "), known.reason),
    }
}
