//! The policy of `flawed` beside it, put right. Never loaded outside tests.

#[path = "../../quota.rs"]
mod quota;
mod sight;

pub use quota::Quota;
