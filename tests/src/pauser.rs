//! A policy that keeps another vCPU out of the guest while it observes, made of its text.

/// How its call ends after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallEnds {
    /// It returns.
    Return,
    /// It traps.
    Trap,
    /// It goes on until it is stopped.
    Deadline,
}

impl CallEnds {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Return, Self::Trap, Self::Deadline];

    /// What the policy is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Return => "pauser",
            Self::Trap => "pauser-traps",
            Self::Deadline => "pauser-loops",
        }
    }

    const fn code(self) -> &'static str {
        match self {
            Self::Return => "",
            Self::Trap => "unreachable",
            Self::Deadline => "(loop $on (br $on))",
        }
    }
}

/// The component.
///
/// # Panics
/// If its text is wrong, which a test would show.
pub fn pauser(ends: CallEnds) -> Vec<u8> {
    let text = include_str!("pauser.wat").replace("(; the end ;)", ends.code());
    wat::parse_str(text).expect("a component of ours is well formed")
}
