//! The one way to say no. What it is called elsewhere (an errno on the wire, an enum in WIT) is
//! said in one place each; the errno is here.

use serde::Serialize;
use thiserror::Error;

/// Why a command was not done.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, Hash, Serialize)]
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
    pub const fn errno(self) -> i32 {
        match self {
            Self::Denied => -1,       // EPERM
            Self::NotFound => -2,     // ENOENT
            Self::Limit => -12,       // ENOMEM
            Self::Busy => -16,        // EBUSY
            Self::Conflict => -17,    // EEXIST
            Self::Gone => -19,        // ENODEV
            Self::Invalid => -22,     // EINVAL
            Self::Unavailable => -11, // EAGAIN
            Self::Unsupported => -95, // EOPNOTSUPP
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_an_errno_of_its_own() {
        let mut numbers: Vec<_> = Refusal::ALL.iter().map(|no| no.errno()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), Refusal::ALL.len());
        assert!(numbers.iter().all(|&number| number < 0));
    }
}
