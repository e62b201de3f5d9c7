//! The four KVMI dialects, which share frames but not numbers.

use serde::{Deserialize, Serialize};

/// A dialect of the KVMI wire protocol. The protocol's own version field is 1 in all of them.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// The RFC v6 patch series as posted.
    Rfc6,
    /// The `kvmi-v6` branch of KVM-VMI.
    V6,
    /// The `kvmi-v7` branch of KVM-VMI, which nearly every live client speaks.
    #[default]
    V7,
    /// The v10 to v12 patch series: even numbers for the VM, odd ones for vCPUs.
    V12,
}

impl Dialect {
    /// Every dialect.
    pub const ALL: [Self; 4] = [Self::Rfc6, Self::V6, Self::V7, Self::V12];

    /// Its word in config, on the command line and in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rfc6 => "rfc6",
            Self::V6 => "v6",
            Self::V7 => "v7",
            Self::V12 => "v12",
        }
    }
}

/// A row's number in each dialect; none where the dialect lacks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers(pub(crate) [Option<u16>; 4]);

impl Numbers {
    /// The row's number on the wire of this dialect.
    pub const fn of(self, dialect: Dialect) -> Option<u16> {
        self.0[dialect as usize]
    }

    /// Whether no dialect has it: a row of Oriel's own.
    pub fn is_ours(self) -> bool {
        self.0.iter().all(Option::is_none)
    }
}
