//! Guest addresses, and the kinds of access to a page.

use crate::set::flags;

/// A guest-physical address.
pub type Gpa = u64;

/// A guest-virtual address.
pub type Gva = u64;

/// Bytes in a page of the smallest size.
pub const PAGE_SIZE: u64 = 4096;

/// The number of the page that holds this address.
pub const fn frame(gpa: Gpa) -> u64 {
    gpa / PAGE_SIZE
}

flags! {
    /// Kinds of access to memory. The bits are KVMI's (`KVMI_PAGE_ACCESS_R`, `_W`, `_X`).
    pub struct Access: u8 {
        /// Reading.
        READ = 1, "read";
        /// Writing.
        WRITE = 2, "write";
        /// Executing.
        EXECUTE = 4, "execute";
    }
}
