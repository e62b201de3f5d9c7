//! Saying which accesses to a page are let through without an event.

use crate::bindings::rights::oriel::introspection::page_access as wit;
use crate::{Access, Engine, Refusal};

/// The right to trap accesses to pages.
///
/// ```
/// use oriel_sdk::{Access, PageAccess, Refusal};
///
/// /// Every write to this page becomes an event, with this tag.
/// fn protect(host: &mut impl PageAccess, gpa: u64, tag: u64) -> Result<(), Refusal> {
///     host.set_page_access(gpa, Access::READ | Access::EXECUTE, tag)
/// }
///
/// # use oriel_sdk::testing::MockEngine;
/// let mut host = MockEngine::default();
/// protect(&mut host, 0x5000, 1)?;
/// assert_eq!(host.get_page_access(0x5fff)?, Access::READ | Access::EXECUTE);
/// # Ok::<(), Refusal>(())
/// ```
pub trait PageAccess {
    /// What this policy lets through; all three kinds where it never said.
    ///
    /// # Errors
    /// Denied; `not-found`, if there is no such page.
    fn get_page_access(&mut self, gpa: u64) -> Result<Access, Refusal>;

    /// What it lets through from now on, for the page of `gpa`. All three kinds end this
    /// policy's trap. The tag comes back in the event.
    ///
    /// # Errors
    /// Denied; `not-found`, if there is no such page; `unsupported`, if the machine has no such
    /// trap.
    fn set_page_access(&mut self, gpa: u64, allowed: Access, tag: u64) -> Result<(), Refusal>;
}

impl PageAccess for Engine {
    fn get_page_access(&mut self, gpa: u64) -> Result<Access, Refusal> {
        wit::get(gpa)
    }

    fn set_page_access(&mut self, gpa: u64, allowed: Access, tag: u64) -> Result<(), Refusal> {
        wit::set(gpa, allowed, tag)
    }
}
