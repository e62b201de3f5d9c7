//! A line of the table: which events it is about, and how they are answered. Knows no host.

use oriel_sdk::{Access, EventKind, Failure, Moment};

use crate::answer::{Answer, Says, is_possible};

/// The kinds that can be answered, by their names.
const KINDS: [(&str, EventKind); 10] = [
    ("msr", EventKind::Msr),
    ("msr-read", EventKind::MsrRead),
    ("pio", EventKind::Pio),
    ("mmio", EventKind::Mmio),
    ("page", EventKind::Page),
    ("breakpoint", EventKind::Breakpoint),
    ("singlestep", EventKind::Singlestep),
    ("trap", EventKind::Trap),
    ("reset", EventKind::Reset),
    ("shutdown", EventKind::Shutdown),
];

/// What a rule looks at.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) kind: EventKind,
    /// How it was accessed; empty of what is no access.
    pub(crate) access: Access,
    /// The number of the MSR, port or vector, or the address.
    pub(crate) of: u64,
}

/// A line of the table.
#[derive(Debug)]
pub(crate) struct Rule {
    kind: EventKind,
    /// Exactly so; empty: however.
    access: Access,
    of: Option<u64>,
    /// Where the instruction pointer is.
    at: Option<u64>,
    once: bool,
    spent: bool,
    /// The first that the event can take is given.
    answers: Vec<Answer>,
}

impl Rule {
    /// Reads `KIND [read] [write] [execute] [of N] [at N] [once] = VERDICT [or VERDICT …]`.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let wrong = |what: &str| Failure::from(format!("the rule `{text}`: {what}"));
        let (about, answers) = text.split_once('=').ok_or_else(|| wrong("there is no ="))?;
        let mut words = about.split_whitespace();
        let kind = words.next().and_then(kind);
        let mut rule = Self::of(kind.ok_or_else(|| wrong("it begins with no kind"))?);
        while let Some(word) = words.next() {
            let known = rule.note(word, &mut words);
            known.ok_or_else(|| wrong(&format!("`{word}` cannot be read")))?;
        }
        let answers = answers.split(" or ").map(Answer::parse);
        let answers: Option<Vec<_>> = answers.collect();
        rule.answers = answers.ok_or_else(|| wrong("a verdict cannot be read"))?;
        if !rule
            .answers
            .iter()
            .all(|answer| is_possible(rule.kind, answer))
        {
            return Err(wrong("this kind has no such verdict"));
        }
        Ok(rule)
    }

    const fn of(kind: EventKind) -> Self {
        Self {
            kind,
            access: Access::empty(),
            of: None,
            at: None,
            once: false,
            spent: false,
            answers: Vec::new(),
        }
    }

    fn note<'a>(&mut self, word: &str, rest: &mut impl Iterator<Item = &'a str>) -> Option<()> {
        match word {
            "read" => self.access |= Access::READ,
            "write" => self.access |= Access::WRITE,
            "execute" => self.access |= Access::EXECUTE,
            "once" => self.once = true,
            "of" => self.of = Some(number(rest.next()?)?),
            "at" => self.at = Some(number(rest.next()?)?),
            _ => return None,
        }
        Some(())
    }

    /// Whether it is about this event, at this instruction.
    pub(crate) fn fits(&self, seen: &Seen, ip: u64) -> bool {
        !(self.once && self.spent)
            && self.kind == seen.kind
            && (self.access.is_empty() || self.access == seen.access)
            && self.of.is_none_or(|of| of == seen.of)
            && self.at.is_none_or(|at| at == ip)
    }

    /// Its answer; the last one where the event can take none of them, so that the engine says so.
    pub(crate) fn take<V: Says>(&mut self, at: &Moment) -> V {
        self.spent = true;
        let said = || self.answers.iter().filter_map(V::of);
        let allowed = at.first_allowed(said());
        allowed
            .or_else(|| said().next_back())
            .unwrap_or(V::CONTINUE)
    }
}

fn kind(name: &str) -> Option<EventKind> {
    let known = KINDS.iter().find(|(known, _)| *known == name);
    known.map(|(_, kind)| *kind)
}

/// A number, in decimal, or in hexadecimal behind `0x`.
pub(crate) fn number(word: &str) -> Option<u64> {
    match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
}
