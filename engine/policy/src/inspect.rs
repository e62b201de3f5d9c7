//! What a component says of itself, read from its bytes without compiling them.
//!
//! Exports are what it hears, imports are what it may do. Both are what the linker will act on
//! later, so a list printed from here cannot lie.

mod component;
mod digest;
mod interface;
mod load_error;
pub(crate) mod sections;
pub(crate) mod walk;

use std::collections::BTreeMap;

use oriel_protocol::{EventSet, Right};
use serde::Serialize;

pub use digest::Digest;
pub(crate) use interface::Export;
pub use load_error::LoadError;

use crate::Manifest;
use component::Component;
use interface::Import;
use sections::Sections;

/// What a component hears, what it may do, and who says that it is from whom.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// The kinds of event that it judges or is told of.
    pub hears: EventSet,
    /// Every interface of ours that it exports, by name.
    pub exports: Vec<String>,
    /// The functions of each.
    #[serde(skip)]
    pub provides: Vec<(String, Vec<String>)>,
    /// The rights that it asks for.
    pub asks: Vec<Right>,
    /// The functions that it uses of each right.
    pub functions: Vec<(Right, Vec<String>)>,
    /// What it declares about itself; defaults where it declares nothing.
    pub manifest: Manifest,
    /// Whether it has a manifest.
    pub has_manifest: bool,
    /// Who it is, whatever its name.
    pub digest: Digest,
    /// Bytes.
    pub size: usize,
    /// Whether there is a signature. Whose it is has not been looked at.
    pub signed: bool,
    #[serde(skip)]
    pub(crate) interfaces: Vec<Export>,
    #[serde(skip)]
    pub(crate) footprint: Footprint,
}

/// What an instance takes up in the pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Footprint {
    pub(crate) modules: usize,
    pub(crate) memories: usize,
    pub(crate) tables: usize,
    /// Of the largest memory, at the start.
    pub(crate) memory_bytes: u64,
    /// Of the largest table, at the start.
    pub(crate) table_elements: u64,
}

/// Reads what a component says of itself. Cheap: no code of it is looked at.
///
/// # Errors
/// [`LoadError`] says what it is instead of a policy, and what to do.
pub fn inspect(bytes: &[u8]) -> Result<Inspection, LoadError> {
    let sections = Sections::read(bytes)?;
    let manifest = sections.manifest()?.map(Manifest::read).transpose()?;
    let component = Component::read(bytes)?;
    let interfaces = exports(&component)?;
    let (asks, functions) = imports(&component)?;
    let names = interfaces
        .iter()
        .map(|export| export.interface().to_owned());
    Ok(Inspection {
        hears: interfaces.iter().filter_map(Export::kind).collect(),
        exports: names.collect(),
        provides: provides(&component)?,
        asks,
        functions,
        has_manifest: manifest.is_some(),
        manifest: manifest.unwrap_or_default(),
        digest: Digest::of(sections.content()),
        size: bytes.len(),
        signed: sections.is_signed(),
        interfaces,
        footprint: component.footprint,
    })
}

/// What its manifest's section holds, byte for byte; none if it has no such section.
///
/// # Errors
/// [`LoadError`] if it is no component, or has several.
pub fn manifest_json(bytes: &[u8]) -> Result<Option<&[u8]>, LoadError> {
    Sections::read(bytes)?.manifest()
}

/// The functions of the interfaces of ours that it exports.
fn provides(component: &Component) -> Result<Vec<(String, Vec<String>)>, LoadError> {
    let mut provided = Vec::new();
    for (name, functions) in &component.exports {
        let export = Export::named(name)?;
        provided.extend(export.map(|export| (export.interface(), functions.clone())));
    }
    Ok(provided)
}

/// The interfaces of ours among the exports. What else a component exports concerns nobody here.
fn exports(component: &Component) -> Result<Vec<Export>, LoadError> {
    let mut found = Vec::new();
    for (name, _) in &component.exports {
        found.extend(Export::named(name)?);
    }
    if found.is_empty() {
        return Err(LoadError::AnotherWorld {
            exports: component
                .exports
                .iter()
                .map(|(name, _)| name.clone())
                .collect(),
        });
    }
    if !found.contains(&Export::Lifecycle) {
        return Err(LoadError::NoLifecycle);
    }
    Ok(found)
}

type Asked = (Vec<Right>, Vec<(Right, Vec<String>)>);

/// The rights among the imports. Anything else with functions in it is refused.
fn imports(component: &Component) -> Result<Asked, LoadError> {
    let mut functions = BTreeMap::<Right, Vec<String>>::new();
    for (name, used) in &component.imports {
        match Import::named(name, used)? {
            Import::Words => {}
            Import::Right(right) => functions.entry(right).or_default().extend_from_slice(used),
        }
    }
    Ok((
        functions.keys().copied().collect(),
        functions.into_iter().collect(),
    ))
}

#[cfg(test)]
mod tests;
