//! The numbers that say no on the wire. It owns their values; which refusal is which number is
//! said by [`Refusal::errno`].

use crate::Refusal;

/// An error number as a KVMI reply carries it: negative, from the kernel's ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Errno(pub i32);

impl Errno {
    /// Not granted.
    pub const PERM: Self = Self(-1);
    /// No such thing.
    pub const NOENT: Self = Self(-2);
    /// Too long.
    pub const BIG: Self = Self(-7);
    /// Not now.
    pub const AGAIN: Self = Self(-11);
    /// No room.
    pub const NOMEM: Self = Self(-12);
    /// A bad address.
    pub const FAULT: Self = Self(-14);
    /// Somebody is at it.
    pub const BUSY: Self = Self(-16);
    /// A bad argument.
    pub const INVAL: Self = Self(-22);
    /// Cannot be done here.
    pub const OPNOTSUPP: Self = Self(-95);
    /// No such command (`KVM_ENOSYS`, which is not the kernel's own 38).
    pub const NOSYS: Self = Self(-1000);
}

impl From<Refusal> for Errno {
    fn from(refusal: Refusal) -> Self {
        Self(refusal.errno())
    }
}
