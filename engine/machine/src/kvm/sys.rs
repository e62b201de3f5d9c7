//! What needs `unsafe`: memory that KVM shares with us, and a signal to one thread. Nothing
//! outside these modules needs any.

mod exit;
pub(super) mod files;
pub(super) mod page;
pub(super) mod signal;
pub(super) mod vm;
pub(super) mod xsave;
