//! The kinds of event that a policy can begin with: what each is called in the SDK, an event of
//! it, and a step of a scenario that raises it.

use crate::plan::Usage;

/// One kind.
#[derive(Debug)]
pub(super) struct Kind {
    /// Its canonical name.
    pub(super) name: &'static str,
    /// Its module in the SDK, and the event in that.
    pub(super) module: &'static str,
    pub(super) event: &'static str,
    /// An event, in Rust.
    pub(super) literal: &'static str,
    /// The keys of a step.
    step: &'static str,
    /// What its `judge` gets in C besides the moment; `~` begins the names of its own types.
    pub(super) parameters: &'static str,
}

/// The kind that the example is about.
pub(super) const GUARDED: &str = "msr";

/// All of them, in the order of the WIT.
pub(super) const KINDS: [Kind; 15] = [
    Kind::of([
        "cr",
        "cr",
        "Write",
        "cr::Write::new(4, 0, 0x20)",
        "cr = 4\nvalue = 0x1406a0",
        ", uint8_t cr, uint64_t old, uint64_t new_, uint64_t proposed",
    ]),
    Kind::of([
        "msr",
        "msr",
        "Write",
        "msr::Write::new(0x10, 0, 1)",
        "msr = \"lstar\"\nvalue = 1",
        ", uint32_t msr, uint64_t old, uint64_t new_, uint64_t proposed",
    ]),
    Kind::of([
        "msr-read",
        "msr_read",
        "Read",
        "msr_read::Read::new(0x10, 1)",
        "msr = \"lstar\"",
        ", uint32_t msr, uint64_t value, uint64_t proposed",
    ]),
    Kind::of([
        "xsetbv",
        "xsetbv",
        "Write",
        "xsetbv::Write::new(0, 1, 7)",
        "value = 7",
        ", uint8_t xcr, uint64_t old, uint64_t new_, uint64_t proposed",
    ]),
    Kind::of([
        "breakpoint",
        "breakpoint",
        "Hit",
        "breakpoint::Hit { gva: 0x1000, gpa: 0x1000, length: 1, managed: false, tag: 0 }",
        "",
        ", uint64_t gva, uint64_t gpa, uint8_t length, bool managed, uint64_t tag",
    ]),
    Kind::of([
        "hypercall",
        "hypercall",
        "Call",
        "hypercall::Call { number: 34, a: 24, b: 0, c: 0 }",
        "number = 34\na = 24",
        ", uint64_t number, uint64_t a, uint64_t b, uint64_t c",
    ]),
    Kind::of([
        "page",
        "page",
        "Touch",
        "page::Touch {\n            gva: None,\n            gpa: 0x5000,\n            \
         access: oriel_sdk::Access::WRITE,\n            size: 8,\n            value: Some(1),\n            \
         proposed: 1,\n            tag: 0,\n        }",
        "access = \"write\"\ngpa = 0x5000\nvalue = 1",
        ", uint64_t gva, uint64_t gpa, ~touch_t touch, uint8_t size, uint64_t value, uint64_t proposed, uint64_t tag",
    ]),
    Kind::of([
        "trap",
        "trap",
        "Delivery",
        "trap::Delivery { vector: 6, error_code: None, address: 0 }",
        "vector = 6",
        ", uint8_t vector, uint32_t *maybe_error_code, uint64_t address",
    ]),
    Kind::of([
        "descriptor",
        "descriptor",
        "Use",
        "descriptor::Use { table: descriptor::Table::Idtr, write: true }",
        "table = \"idtr\"\nwrite = true\nvalue = \"0xfffffe0000000000\"\nlimit = 0xfff",
        ", ~table_t table, bool write",
    ]),
    Kind::of([
        "singlestep",
        "singlestep",
        "Step",
        "singlestep::Step { failed: false }",
        "",
        ", bool failed",
    ]),
    Kind::of([
        "cpuid",
        "cpuid",
        "Query",
        "cpuid::Query {\n            function: 1,\n            index: 0,\n            \
         proposed: oriel_sdk::CpuidLeaf { eax: 0, ebx: 0, ecx: 0, edx: 0 },\n        }",
        "function = 1",
        ", uint32_t function, uint32_t index, ~cpuid_leaf_t *proposed",
    ]),
    Kind::of([
        "pio",
        "pio",
        "Transfer",
        "pio::Transfer { port: 0x60, write: true, size: 1, count: 1, value: 1, proposed: 1 }",
        "port = 0x60\nwrite = true\nvalue = 1",
        ", uint16_t port, bool write, uint8_t size, uint32_t count, uint64_t value, uint64_t proposed",
    ]),
    Kind::of([
        "mmio",
        "mmio",
        "Transfer",
        "mmio::Transfer { gpa: 0xfed0_0000, write: true, size: 4, value: 1, proposed: 1 }",
        "gpa = 0xfed00000\nwrite = true\nvalue = 1",
        ", uint64_t gpa, bool write, uint8_t size, uint64_t value, uint64_t proposed",
    ]),
    Kind::of(["reset", "reset", "Reset", "reset::Reset", "", ""]),
    Kind::of([
        "shutdown",
        "shutdown",
        "Shutdown",
        "shutdown::Shutdown { cause: shutdown::Cause::Request }",
        "cause = \"request\"",
        ", ~cause_t cause",
    ]),
];

impl Kind {
    /// A row of the table, its columns in the order of the fields.
    const fn of(row: [&'static str; 6]) -> Self {
        let [name, module, event, literal, step, parameters] = row;
        Self {
            name,
            module,
            event,
            literal,
            step,
            parameters,
        }
    }
}

impl Kind {
    /// The names of what its `judge` gets besides the moment, as the WIT has them.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        let parameters = self.parameters.split(',').map(str::trim);
        let names = parameters.filter_map(|one| one.rsplit([' ', '*']).next());
        let names = names.filter(|name| !name.is_empty());
        names.map(|name| {
            let name = name.trim_start_matches("maybe_").trim_end_matches('_');
            name.replace('_', "-")
        })
    }
}

/// The kinds of a list with commas.
pub(super) fn listed(list: &str) -> Result<Vec<&'static Kind>, Usage> {
    let words = list
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty());
    let mut found: Vec<&'static Kind> = Vec::new();
    for word in words {
        let word = word.replace('_', "-");
        let kind = KINDS
            .iter()
            .find(|kind| kind.name == word)
            .ok_or_else(|| unknown(&word))?;
        if found.iter().all(|known| known.name != kind.name) {
            found.push(kind);
        }
    }
    if found.is_empty() {
        return Err(unknown(list));
    }
    Ok(found)
}

fn unknown(word: &str) -> Usage {
    let names: Vec<_> = KINDS.iter().map(|kind| kind.name).collect();
    Usage::new(&format!(
        "{word:?} is no kind of event that can be judged; there are {}",
        names.join(", ")
    ))
}

const GUARDED_STEPS: &str = r#"
[[step]]
event = "msr"
msr = "lstar"
value = "0xffffffff81e00080"
expect = { verdict = "continue", value = "0xffffffff81e00080" }

# An attacker's: it is denied, and the first value stays.
[[step]]
event = "msr"
msr = "lstar"
value = "0xffffffffc0de0000"
expect = { verdict = "deny", value = "0xffffffff81e00080" }
"#;

/// A scenario with each of these kinds. What is expected holds whether or not it is an event: a
/// page and a breakpoint, for instance, are one only where something is armed.
pub(super) fn scenario(name: &str, kinds: &[&Kind]) -> String {
    let mut text = format!("# What a guest does, and what should come of it.\nname = \"{name}\"\n");
    for kind in kinds {
        if kind.name == GUARDED {
            text += GUARDED_STEPS;
            continue;
        }
        let step = if kind.step.is_empty() {
            String::new()
        } else {
            format!("{}\n", kind.step)
        };
        text += &format!(
            "\n[[step]]\nevent = \"{}\"\n{step}expect = {{ verdict = \"continue\" }}\n",
            kind.name
        );
    }
    text + "\n[[step]]\nfinish = 0\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use oriel_machine::mock::Scenario;
    use oriel_protocol::{EventKind, events::EventClass};

    #[test]
    fn every_kind_that_can_be_judged_is_in_the_table() {
        let judged = EventKind::ALL
            .iter()
            .filter(|kind| kind.class() == EventClass::Vcpu);
        let mut names: Vec<_> = judged.map(|kind| kind.name()).collect();
        let mut known: Vec<_> = KINDS.iter().map(|kind| kind.name).collect();
        names.sort_unstable();
        known.sort_unstable();
        assert_eq!(known, names);
    }

    #[test]
    fn the_scenario_of_all_kinds_is_one() {
        let all: Vec<_> = KINDS.iter().collect();
        let text = scenario("all", &all);
        let scenario = Scenario::parse(&text, "all").expect("it is well formed");
        assert_eq!(scenario.steps().len(), KINDS.len() + 2);
    }

    #[test]
    fn a_list_names_kinds_once_and_nothing_else() {
        let names =
            |list| listed(list).map(|all| all.iter().map(|kind| kind.name).collect::<Vec<_>>());
        assert_eq!(
            names("msr, page,msr_read,msr").ok(),
            Some(vec!["msr", "page", "msr-read"])
        );
        for wrong in ["", "mrs", "pause", "msr,fly"] {
            assert!(names(wrong).is_err(), "{wrong}");
        }
    }
}
