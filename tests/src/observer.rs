//! A policy that only observes, made of its text: it counts what it sees, and carries the count.

/// What it does when it sees an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It counts it.
    Count,
    /// It traps.
    Trap,
    /// It traps unless somebody before it had counted.
    Heir,
}

impl Seen {
    /// What the policy is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Count => "observer",
            Self::Trap => "observer-traps",
            Self::Heir => "observer-inherits",
        }
    }

    const fn code(self) -> &'static str {
        match self {
            Self::Count => "",
            Self::Trap => "unreachable",
            Self::Heir => "(if (i64.eqz (i64.load (i32.const 264))) (then unreachable))",
        }
    }
}

/// The component.
///
/// # Panics
/// If its text is wrong, which a test would show.
pub fn observer(seen: Seen) -> Vec<u8> {
    let text = include_str!("observer.wat").replace("(; an event ;)", seen.code());
    wat::parse_str(text).expect("a component of ours is well formed")
}
