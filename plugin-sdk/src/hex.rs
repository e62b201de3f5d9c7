//! Numbers as people who read registers want them. Formats; parses nothing.

use std::fmt;

/// A number that shows itself as `0x…`, made by [`hex`].
///
/// ```
/// let address: oriel_sdk::Hex = oriel_sdk::hex(0xffff_ffff_81e0_0080_u64);
/// assert_eq!(format!("at {address}"), "at 0xffffffff81e00080");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hex(u64);

/// The number, to be shown in hexadecimal.
///
/// ```
/// assert_eq!(oriel_sdk::hex(0xC000_0082_u32).to_string(), "0xc0000082");
/// ```
pub fn hex(number: impl Into<u64>) -> Hex {
    Hex(number.into())
}

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}
