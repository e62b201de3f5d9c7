//! Which VM is meant: on every event, log line, metric and record.

use bincode::{
    Decode, Encode,
    de::Decoder,
    enc::Encoder,
    error::{DecodeError, EncodeError},
};
use serde::Serialize;
use uuid::Uuid;

/// The instruction set of a VM's vCPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, bincode::Encode, bincode::Decode)]
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

/// A `Uuid` is its sixteen bytes in a journal.
impl Encode for Identity {
    fn encode<E: Encoder>(&self, to: &mut E) -> Result<(), EncodeError> {
        (self.uuid.as_bytes(), &self.name, self.arch).encode(to)
    }
}

impl<Context> Decode<Context> for Identity {
    fn decode<D: Decoder<Context = Context>>(from: &mut D) -> Result<Self, DecodeError> {
        let (uuid, name, arch) = Decode::decode(from)?;
        let uuid = Uuid::from_bytes(uuid);
        Ok(Self { uuid, name, arch })
    }
}
