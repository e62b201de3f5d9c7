//! The one way to say no. What it is called elsewhere (an errno on the wire, an enum in WIT) is
//! said in one place each; the errno is here.

use serde::Serialize;
use thiserror::Error;

/// Why a command was not done.
#[derive(
    Clone, Copy, Debug, Error, PartialEq, Eq, Hash, Serialize, bincode::Encode, bincode::Decode,
)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// The grant, the manifest or the allow-mask forbids it.
    #[error("not granted")]
    Denied,
    /// This machine cannot do it at all.
    #[error("this machine cannot do it")]
    Unsupported,
    /// It exists but cannot be had now.
    #[error("not available now")]
    Unavailable,
    /// There is no such thing (memory, vCPU, MSR, leaf, key).
    #[error("no such thing")]
    NotFound,
    /// An argument is out of its range.
    #[error("invalid argument")]
    Invalid,
    /// Somebody else is at it.
    #[error("busy")]
    Busy,
    /// Another judge of the same event has already done something else to it.
    #[error("conflicts with what another judge has done")]
    Conflict,
    /// A limit is reached.
    #[error("over the limit")]
    Limit,
    /// The VM or the vCPU has ended.
    #[error("the VM has ended")]
    Gone,
}

impl Refusal {
    /// Every refusal.
    pub const ALL: [Self; 9] = [
        Self::Denied,
        Self::Unsupported,
        Self::Unavailable,
        Self::NotFound,
        Self::Invalid,
        Self::Busy,
        Self::Conflict,
        Self::Limit,
        Self::Gone,
    ];

    /// The number on a KVMI wire: negative, as in the kernel's ABI.
    ///
    /// Only numbers that KVMI itself defines: libkvmi turns any other into EPROTO, which tells its
    /// user nothing. So two refusals share a number with their nearest neighbour: a conflict is
    /// somebody else's work in the way, and what has ended cannot be had now.
    pub const fn errno(self) -> i32 {
        match self {
            Self::Denied => -1,                    // EPERM
            Self::NotFound => -2,                  // ENOENT
            Self::Unavailable | Self::Gone => -11, // EAGAIN
            Self::Limit => -12,                    // ENOMEM
            Self::Busy | Self::Conflict => -16,    // EBUSY
            Self::Invalid => -22,                  // EINVAL
            Self::Unsupported => -95,              // EOPNOTSUPP
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_errno_is_one_that_clients_know() {
        let known = [1, 2, 7, 11, 12, 14, 16, 22, 95, 1000];
        for no in Refusal::ALL {
            assert!(known.contains(&-no.errno()), "{no:?}");
        }
    }

    #[test]
    fn only_a_conflict_and_an_end_share_an_errno() {
        let mut numbers: Vec<_> = Refusal::ALL.iter().map(|no| no.errno()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), Refusal::ALL.len() - 2);
        assert_eq!(Refusal::Conflict.errno(), Refusal::Busy.errno());
        assert_eq!(Refusal::Gone.errno(), Refusal::Unavailable.errno());
    }
}
