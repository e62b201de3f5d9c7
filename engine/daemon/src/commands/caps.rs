//! `oriel caps`

use oriel_machine::Machine;
use oriel_protocol::{Capability, Support};

use crate::output::say;
use crate::{args::CapsArgs, exit::Exit, guest};

/// Prints what a machine can report and do.
pub(crate) fn run(args: &CapsArgs) -> anyhow::Result<Exit> {
    let machine = guest::empty(args.machine)?;
    if args.json {
        say(format_args!(
            "{}",
            serde_json::to_string_pretty(machine.capabilities())?
        ));
    } else {
        print(&*machine);
    }
    Ok(Exit::Success)
}

fn print(machine: &dyn Machine) {
    say(format_args!(
        "{:<14} {:<7} {:<32} VERDICTS, OR WHY NOT",
        "NAME", "", "MECHANISM"
    ));
    for known in machine.capabilities().iter() {
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
