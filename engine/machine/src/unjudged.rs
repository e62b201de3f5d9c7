//! Accesses that went through without a judgement: what a machine says of them. Whom that is told,
//! and how often, is the engine's business.

use std::fmt;

use oriel_protocol::Gpa;

/// Accesses to trapped pages that nobody could judge, with what is known of the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unjudged {
    /// How many.
    pub count: u64,
    /// Where the vCPU stood; none: not known.
    pub ip: Option<u64>,
    /// What was touched; none: not known.
    pub gpa: Option<Gpa>,
    /// Why nobody could judge it.
    pub why: Unseen,
}

/// Why an access could not be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unseen {
    /// What made it is not known: no instruction, but the processor by itself, or an instruction
    /// that cannot be read.
    Unknown,
    /// The page stays open until the vCPU comes out of the guest, as this host cannot stop it
    /// behind one instruction: there may have been more accesses than the one that was judged.
    Open,
}

impl Unjudged {
    /// One access.
    pub const fn one(ip: Option<u64>, gpa: Option<Gpa>, why: Unseen) -> Self {
        Self {
            count: 1,
            ip,
            gpa,
            why,
        }
    }

    /// These and then those: what is known is of the newest.
    #[must_use]
    pub fn after(self, earlier: Option<Self>) -> Self {
        let count = earlier.map_or(0, |earlier| earlier.count);
        Self {
            count: self.count.saturating_add(count),
            ..self
        }
    }
}

impl Unseen {
    /// Its word in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Open => "open",
        }
    }
}

impl fmt::Display for Unseen {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Unknown => "what makes the access is not known",
            Self::Open => "the page is open until the vCPU comes out of the guest",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_later_is_what_is_told_and_all_of_it_counts() {
        let first = Unjudged::one(Some(1), Some(2), Unseen::Open);
        let second = Unjudged::one(Some(3), None, Unseen::Unknown).after(Some(first));
        assert_eq!((second.count, second.ip, second.gpa), (2, Some(3), None));
    }
}
