//! The manifest's section, written.

use wasm_encoder::{CustomSection, Encode};

use super::Manifest;
use crate::inspect::{
    LoadError,
    sections::{MANIFEST, Sections},
};

const CUSTOM: u8 = 0;

/// The component with this manifest in the place of any it had. A signature covers the manifest,
/// so an old signature is taken off.
///
/// # Errors
/// [`LoadError`] if it is no component, or the manifest contradicts itself.
pub fn write_manifest(component: &[u8], manifest: &Manifest) -> Result<Vec<u8>, LoadError> {
    manifest.check()?;
    let json = serde_json::to_vec(manifest).map_err(super::ManifestError::Json)?;
    let mut bytes = Sections::read(component)?.bare();
    bytes.push(CUSTOM);
    CustomSection {
        name: MANIFEST.into(),
        data: json.into(),
    }
    .encode(&mut bytes);
    Ok(bytes)
}
