//! The form of a journal: what stands in it, its bytes, and reading them back. Knows neither policies
//! nor machines, writes no file and starts no thread: whoever reads journals needs nothing else.
//!
//! ```text
//!   ORIELJNL, version ── frame: length, checksum, content ── frame ── … ── frame
//!                               content: an Entry by bincode
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`entry`] | what stands in a journal |
//! | [`codec`] | the bytes of it: the only place that calls bincode |
//! | [`frame`] | lengths and checksums around it |
//! | [`recording`] | a journal that is read |

pub mod codec;
pub mod entry;
pub mod frame;
pub mod recording;

pub use entry::Entry;
pub use recording::{Ending, JournalError, Recording};
