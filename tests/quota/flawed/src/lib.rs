//! A policy with two bugs, which a replay has to find (`sight`). Never loaded outside tests; `mended`
//! beside it is what becomes of it.

#[path = "../../quota.rs"]
mod quota;
mod sight;

pub use quota::Quota;
