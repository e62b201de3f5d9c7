//! What the operator is told, in words. Owns the words and how many alerts one call raises; what is
//! worth telling is found elsewhere.

use std::fmt::Display;

use oriel_sdk::linux::Task;
use oriel_sdk::{Alert, GuestOs, Level, Log, Severity, hex};

use crate::look::Finding;

/// The most alerts of one call; the rest is counted in one more.
const MOST: usize = 12;

/// Something to tell.
#[derive(Clone, Debug)]
pub(crate) enum News {
    /// A page is not as it has to be.
    Page(Finding),
    /// An entry of a table leads elsewhere now; none: there is no such entry.
    Entry {
        table: &'static str,
        number: u32,
        old: Option<u64>,
        new: Option<u64>,
    },
    /// An entry led out of the kernel from the start.
    Outside {
        table: &'static str,
        number: u32,
        to: u64,
    },
    /// A vCPU uses another table of interrupts.
    Moved { vcpu: u32, old: u64, new: u64 },
    /// A task that is in no list.
    Hidden(Task),
    /// Something is not guarded.
    Gap(String),
    /// Another kernel runs, or the same anew.
    Reboot(String),
}

type Fields = Vec<(&'static str, String)>;

impl News {
    /// How bad it is, the words, and the fields.
    fn words(&self, host: &mut impl GuestOs) -> (Severity, String, Fields) {
        match self {
            Self::Page(finding) => page(finding, host),
            Self::Entry {
                table,
                number,
                old,
                new,
            } => {
                let mut name = |at: &Option<u64>| at.map_or_else(none, |at| name_of(at, host));
                let fields = vec![
                    ("number", number.to_string()),
                    ("old", name(old)),
                    ("new", name(new)),
                ];
                let words = format!("{table}: entry {number} was changed");
                (Severity::Critical, words, fields)
            }
            Self::Outside { table, number, to } => {
                let fields = vec![("number", number.to_string()), ("new", name_of(*to, host))];
                let words = format!("{table}: entry {number} leads out of the kernel");
                (Severity::Critical, words, fields)
            }
            Self::Moved { vcpu, old, new } => {
                let fields = vec![
                    ("vcpu", vcpu.to_string()),
                    ("old", hex(*old).to_string()),
                    ("new", hex(*new).to_string()),
                ];
                let words = "a vCPU has another table of interrupts".to_owned();
                (Severity::Critical, words, fields)
            }
            Self::Hidden(task) => (Severity::High, "a task is hidden".to_owned(), hidden(task)),
            Self::Gap(what) => {
                let fields = vec![("what", what.clone())];
                (Severity::Low, "coverage is partial".to_owned(), fields)
            }
            Self::Reboot(banner) => {
                let words = "the guest has booted anew: a new baseline is made".to_owned();
                (Severity::Info, words, vec![("kernel", banner.clone())])
            }
        }
    }
}

fn none() -> String {
    "none".to_owned()
}

fn hidden(task: &Task) -> Fields {
    vec![
        ("pid", task.pid.to_string()),
        ("comm", task.comm.clone()),
        ("task", hex(task.address).to_string()),
    ]
}

fn page(finding: &Finding, host: &mut impl GuestOs) -> (Severity, String, Fields) {
    match finding {
        Finding::Changed {
            at,
            old,
            new,
            count,
            ..
        } => {
            let known = old.is_some();
            let words = if known {
                "memory that must not change was changed"
            } else {
                "a page that must not change was changed"
            };
            let unknown = || "unknown".to_owned();
            let new = if known { bytes(new) } else { unknown() };
            let fields = vec![
                ("address", hex(*at).to_string()),
                ("where", name_of(*at, host)),
                ("old", old.as_deref().map_or_else(unknown, bytes)),
                ("new", new),
                ("bytes", if known { count.to_string() } else { unknown() }),
            ];
            (Severity::Critical, words.to_owned(), fields)
        }
        Finding::Patched { site, new } => {
            let fields = vec![
                ("address", hex(site.at).to_string()),
                ("where", name_of(site.at, host)),
                ("site", site.kind.name().to_owned()),
                ("new", bytes(new)),
            ];
            let words = "a place that the kernel patches holds what it does not put there";
            (Severity::Critical, words.to_owned(), fields)
        }
        Finding::Gone { at, why } => {
            let fields = vec![
                ("address", hex(*at).to_string()),
                ("where", name_of(*at, host)),
                ("why", why.clone()),
            ];
            let words = "a guarded page cannot be read any more".to_owned();
            (Severity::Medium, words, fields)
        }
    }
}

/// Bytes as a person reads them.
pub(crate) fn bytes(bytes: &[u8]) -> String {
    let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
    digits.collect::<Vec<_>>().join(" ")
}

/// An address by its symbol, if one is near.
pub(crate) fn name_of(at: u64, host: &mut impl GuestOs) -> String {
    match host.symbol_at(at) {
        Ok(symbol) => match at.wrapping_sub(symbol.address) {
            0 => symbol.name,
            behind => format!("{}+{}", symbol.name, hex(behind)),
        },
        Err(_) => hex(at).to_string(),
    }
}

/// Tells all of it.
pub(crate) fn tell(news: &[News], host: &mut (impl Alert + GuestOs + Log)) {
    let (first, rest) = news.split_at(news.len().min(MOST));
    for one in first {
        let (severity, words, fields) = one.words(host);
        let fields: Vec<_> = fields
            .iter()
            .map(|(key, value)| (*key, value as &dyn Display))
            .collect();
        raise(severity, &words, &fields, host);
    }
    if !rest.is_empty() {
        let words = "more was found in the same look";
        raise(Severity::Critical, words, &[("count", &rest.len())], host);
    }
}

/// An operator who gets too many alerts is told in the log.
pub(crate) fn raise(
    severity: Severity,
    words: &str,
    fields: &[(&str, &dyn Display)],
    host: &mut (impl Alert + Log),
) {
    if let Err(refusal) = host.alert(severity, words, fields) {
        let fields = fields.iter().map(|(key, value)| format!("{key} {value}"));
        let fields = fields.collect::<Vec<_>>().join(", ");
        host.log(
            Level::Error,
            &format!("{words}: {fields} (no alert: {refusal})"),
        );
    }
}
