//! Why a file is not a policy.

use oriel_protocol::Right;
use thiserror::Error;

use crate::manifest::ManifestError;

/// Why some bytes cannot be loaded as a policy. Each says what they are instead, and what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoadError {
    /// There are no bytes.
    #[error("the file is empty; build the policy again")]
    Empty,
    /// It is WebAssembly text.
    #[error("this is WebAssembly text, not a binary; translate it with `wasm-tools parse`")]
    Text,
    /// It is something else altogether.
    #[error("this is not WebAssembly; a policy is a component, built with `oriel plugin build`")]
    NotWasm,
    /// It is a module, not a component.
    #[error(
        "this is a core module, not a component; make one with `oriel plugin build` or \
         `wasm-tools component new`"
    )]
    CoreModule,
    /// It is of a kind that is not known.
    #[error("this is WebAssembly of an unknown version ({0:#010x}); build it with other tools")]
    UnknownVersion(u32),
    /// It breaks off.
    #[error("the file is cut off: section {section} at byte {at} is not all there; copy it again")]
    CutOff {
        /// Its number.
        section: u8,
        /// Where it begins.
        at: usize,
    },
    /// It is not valid.
    #[error("the component is not valid; build it again")]
    Invalid(#[source] wasmparser::Error),
    /// It cannot be compiled.
    #[error("the component cannot be compiled: {0}")]
    Compile(String),
    /// It asks for something that Oriel does not have.
    #[error(
        "it imports `{0}`, which Oriel does not have: a policy may import interfaces of \
         `oriel:introspection` only; build it without WASI, or stub WASI out"
    )]
    ForeignImport(String),
    /// It asks for an interface of ours that does not exist.
    #[error(
        "it imports `oriel:introspection/{0}`, which this Oriel does not know; it may be newer \
         than this Oriel"
    )]
    UnknownImport(String),
    /// It expects to be called through an interface of ours that does not exist.
    #[error(
        "it exports `oriel:introspection/{0}`, which this Oriel would never call; it may be newer \
         than this Oriel"
    )]
    UnknownExport(String),
    /// It speaks another version.
    #[error(
        "`{name}`: this Oriel speaks oriel:introspection {ours}; build the policy with an SDK of \
         that version"
    )]
    AnotherVersion {
        /// The whole name of the interface.
        name: String,
        /// Our own version.
        ours: &'static str,
    },
    /// Nothing in it is meant for Oriel.
    #[error(
        "it is a component of another world: none of its exports ({}) is an interface of \
         `oriel:introspection`", list(.exports)
    )]
    AnotherWorld {
        /// What it exports.
        exports: Vec<String>,
    },
    /// There is no way to begin an instance.
    #[error(
        "it does not export `oriel:introspection/lifecycle`; every policy does, so that it can be begun"
    )]
    NoLifecycle,
    /// There is more than one manifest.
    #[error("it has {0} sections `oriel:manifest`; keep one")]
    Manifests(usize),
    /// The manifest cannot be understood.
    #[error("its manifest (section `oriel:manifest`) is wrong")]
    Manifest(#[from] ManifestError),
    /// It uses a right that its manifest keeps silent about.
    #[error(
        "it imports `{}`, which its manifest does not declare; add it to `rights` in the \
         manifest, or do without it", .0.name()
    )]
    Undeclared(Right),
    /// There is something behind the signature.
    #[error("there are bytes behind its signature, at {0}; sign it again")]
    BehindSignature(usize),
}

/// The first few of a list of names.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown = names.iter().take(SHOWN).map(String::as_str);
    let more = (names.len() > SHOWN).then_some("…");
    let shown: Vec<_> = shown.chain(more).collect();
    if shown.is_empty() {
        return "none".into();
    }
    shown.join(", ")
}
