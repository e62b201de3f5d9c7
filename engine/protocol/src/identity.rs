//! Which VM is meant: on every event, log line, metric and record.

use serde::Serialize;
use uuid::Uuid;

/// The instruction set of a VM's vCPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Arch {
    /// 64-bit x86.
    #[serde(rename = "x86-64")]
    X86_64,
}

/// A VM's name, for people and for machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// Never that of another VM.
    pub uuid: Uuid,
    /// The operator's word for it.
    pub name: String,
    /// What its vCPUs run.
    pub arch: Arch,
}
