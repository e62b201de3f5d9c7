//! How a policy becomes a plugin: found in its workspace, compiled for Wasm, made a component
//! with its manifest inside.
//!
//! `cargo xtask plugins` does it for this repository, `oriel plugin build` for anybody's. Depends
//! on no other crate of the workspace, and never looks into a manifest: what it must say is the
//! engine's business.

pub mod c;
pub mod cache;
pub mod child;
pub mod component;
pub mod javascript;
pub mod made;
pub mod python;
pub mod rust;
pub mod toolchain;
pub mod workspace;
