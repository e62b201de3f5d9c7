//! Small kernels for tests: tables of symbols in every layout, descriptions of types, and a guest's
//! memory with tasks, modules and tables. Owns what a test needs to be sure of what is there; it is
//! no part of a program that looks at guests, and is left out of one.

mod btf;
mod guest;
mod kallsyms;
mod types;
mod vmlinux;

pub use btf::Blob;
pub use guest::Forged;
pub use kallsyms::{Entry, FORMS, Form};
pub use vmlinux::{Section, Vmlinux};
