//! `oriel guest …`: looks at the Linux in a VM that runs.

mod machine;
mod show;

use crate::{
    args::{GuestArgs, GuestCommand, PsArgs, SymbolArgs},
    exit::Exit,
    linux::{Question, Which},
    output::say,
};

/// Asks, and shows the answer.
pub(crate) fn run(args: &GuestArgs) -> anyhow::Result<Exit> {
    let question = question(&args.command);
    let answer = machine::ask(args, &question)?;
    if args.json {
        say(format_args!("{answer:#}"));
        return Ok(Exit::Success);
    }
    for line in show::lines(&question, &answer) {
        say(format_args!("{line}"));
    }
    Ok(Exit::Success)
}

fn question(command: &GuestCommand) -> Question {
    match command {
        GuestCommand::Info => Question::Info,
        GuestCommand::Symbols(args) => symbols(args),
        GuestCommand::Type(args) => Question::Type {
            path: args.path.clone(),
            module: args.module.clone(),
        },
        GuestCommand::Ps(PsArgs { hidden: true, .. }) => Question::Hidden,
        GuestCommand::Ps(PsArgs { threads: true, .. }) => Question::Threads,
        GuestCommand::Ps(_) => Question::Tasks,
        GuestCommand::Modules => Question::Modules,
        GuestCommand::Syscalls(args) if args.interrupts => Question::Interrupts,
        GuestCommand::Syscalls(args) => Question::Syscalls {
            compat: args.compat,
        },
    }
}

fn symbols(args: &SymbolArgs) -> Question {
    if let Some(address) = args.at {
        return Question::At { address };
    }
    let name = args.name.as_deref().unwrap_or("*");
    let which = match (name.strip_suffix('*'), args.variants) {
        (Some(""), _) => Which::All,
        (Some(prefix), _) => Which::Starting(prefix.to_owned()),
        (None, true) => Which::Variants(name.to_owned()),
        (None, false) => Which::Named(name.to_owned()),
    };
    let module = args.module.clone();
    Question::Symbols { which, module }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Args, Command};

    fn typed(words: &[&str]) -> Result<Question, clap::Error> {
        let words = ["oriel", "guest"].iter().chain(words);
        let Command::Guest(args) = Args::try_parse_from(words)?.command else {
            panic!("not about guests");
        };
        Ok(question(&args.command))
    }

    fn which(words: &[&str]) -> Which {
        let Question::Symbols { which, module } = typed(words).unwrap() else {
            panic!("{words:?} are not about symbols");
        };
        assert_eq!(module, None);
        which
    }

    #[test]
    fn symbols_are_asked_for_by_name_by_beginning_or_all() {
        let text = str::to_owned;
        assert_eq!(which(&["symbols"]), Which::All);
        assert_eq!(
            which(&["symbols", "do_exit"]),
            Which::Named(text("do_exit"))
        );
        assert_eq!(which(&["symbols", "do_*"]), Which::Starting(text("do_")));
        let variants = which(&["symbols", "do_exit", "--variants"]);
        assert_eq!(variants, Which::Variants(text("do_exit")));
    }

    #[test]
    fn an_address_is_hexadecimal_whether_it_says_so_or_not() {
        for text in ["0xffffffff81000000", "ffffffff81000000"] {
            let asked = typed(&["symbols", "--at", text]).unwrap();
            assert_eq!(
                asked,
                Question::At {
                    address: 0xffff_ffff_8100_0000
                }
            );
        }
        assert!(typed(&["symbols", "--at", "here"]).is_err());
        assert!(
            typed(&["symbols", "x", "--at", "1"]).is_err(),
            "one of them"
        );
    }

    #[test]
    fn flags_of_the_vm_may_stand_before_or_behind_the_question() {
        let asked = typed(&["ps", "--hidden", "--qmp", "unix:/q", "--json"]).unwrap();
        assert_eq!(asked, Question::Hidden);
        assert_eq!(typed(&["--qmp", "unix:/q", "ps"]).unwrap(), Question::Tasks);
        assert!(typed(&["ps", "--threads", "--hidden"]).is_err());
        let compat = Question::Syscalls { compat: true };
        assert_eq!(typed(&["syscalls", "--compat"]).unwrap(), compat);
    }
}
