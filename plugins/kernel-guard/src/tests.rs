//! The policy on the bench.
