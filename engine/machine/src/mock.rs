//! A script.
