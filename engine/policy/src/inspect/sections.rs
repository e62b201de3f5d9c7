//! The sections of a component, from outside: where its manifest and its signature are.

use super::LoadError;

/// The section that holds the manifest.
pub(crate) const MANIFEST: &str = "oriel:manifest";
/// The section that holds the signature: the last one.
pub(crate) const SIGNATURE: &str = "oriel:signature";

const MAGIC: &[u8] = b"\0asm";
const PREAMBLE: usize = 8;
/// Version 1, layer 0.
const MODULE: u32 = 1;
/// Version 13, layer 1.
const COMPONENT: u32 = 0x0001_000d;
const CUSTOM: u8 = 0;

/// A component as a list of sections; what is nested in one is not looked at.
#[derive(Debug)]
pub(crate) struct Sections<'a> {
    bytes: &'a [u8],
    list: Vec<Section<'a>>,
}

#[derive(Debug)]
struct Section<'a> {
    id: u8,
    start: usize,
    content: &'a [u8],
}

impl<'a> Sections<'a> {
    /// Reads the preamble and the length of each section.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, LoadError> {
        preamble(bytes)?;
        let mut list = Vec::new();
        let mut at = PREAMBLE;
        while at < bytes.len() {
            let (section, end) = Section::read(bytes, at).ok_or(LoadError::CutOff {
                section: bytes[at],
                at,
            })?;
            list.push(section);
            at = end;
        }
        let all = Self { bytes, list };
        all.check_signature()?;
        Ok(all)
    }

    fn check_signature(&self) -> Result<(), LoadError> {
        let signature = self.list.iter().position(|section| section.is(SIGNATURE));
        let behind = signature.and_then(|at| self.list.get(at + 1));
        behind.map_or(Ok(()), |section| {
            Err(LoadError::BehindSignature(section.start))
        })
    }

    /// What the manifest's section holds; none if there is no such section.
    pub(crate) fn manifest(&self) -> Result<Option<&'a [u8]>, LoadError> {
        let named = |section: &&Section<'_>| section.is(MANIFEST);
        match self.list.iter().filter(named).count() {
            0 | 1 => Ok(self
                .list
                .iter()
                .find_map(|section| section.custom(MANIFEST))),
            many => Err(LoadError::Manifests(many)),
        }
    }

    /// Whether the last section is a signature.
    pub(crate) fn is_signed(&self) -> bool {
        self.list.last().is_some_and(|last| last.is(SIGNATURE))
    }

    /// What a signature covers: everything before it.
    pub(crate) fn content(&self) -> &'a [u8] {
        let signature = self.list.iter().find(|section| section.is(SIGNATURE));
        signature.map_or(self.bytes, |section| &self.bytes[..section.start])
    }

    /// The component without its manifest and its signature, which covers the manifest.
    pub(crate) fn bare(&self) -> Vec<u8> {
        let mut bare = self.bytes[..PREAMBLE].to_vec();
        let ends = self.list.iter().skip(1).map(|next| next.start);
        let ends = ends.chain([self.bytes.len()]);
        for (section, end) in self.list.iter().zip(ends) {
            if !section.is(MANIFEST) && !section.is(SIGNATURE) {
                bare.extend_from_slice(&self.bytes[section.start..end]);
            }
        }
        bare
    }
}

impl<'a> Section<'a> {
    /// The section at `at`, and where it ends.
    fn read(bytes: &'a [u8], at: usize) -> Option<(Self, usize)> {
        let mut rest = bytes.get(at + 1..)?;
        let length = usize::try_from(leb128(&mut rest)?).ok()?;
        let content = rest.get(..length)?;
        let section = Self {
            id: bytes[at],
            start: at,
            content,
        };
        Some((section, bytes.len() - rest.len() + length))
    }

    /// The content behind the name, if this is the custom section of that name.
    fn custom(&self, name: &str) -> Option<&'a [u8]> {
        let mut rest = self.content;
        let length = usize::try_from(leb128(&mut rest)?).ok()?;
        let (own, content) = rest.split_at_checked(length)?;
        (self.id == CUSTOM && own == name.as_bytes()).then_some(content)
    }

    fn is(&self, name: &str) -> bool {
        self.custom(name).is_some()
    }
}

fn preamble(bytes: &[u8]) -> Result<(), LoadError> {
    if bytes.is_empty() {
        return Err(LoadError::Empty);
    }
    let Some(version) = bytes.strip_prefix(MAGIC) else {
        return Err(if bytes.trim_ascii_start().starts_with(b"(") {
            LoadError::Text
        } else {
            LoadError::NotWasm
        });
    };
    let cut = LoadError::CutOff { section: 0, at: 0 };
    match version
        .first_chunk()
        .map(|version| u32::from_le_bytes(*version))
    {
        Some(COMPONENT) => Ok(()),
        Some(MODULE) => Err(LoadError::CoreModule),
        Some(other) => Err(LoadError::UnknownVersion(other)),
        None => Err(cut),
    }
}

/// An unsigned number of at most 32 bits, seven bits a byte, lowest first.
fn leb128(rest: &mut &[u8]) -> Option<u32> {
    let mut value: u64 = 0;
    for shift in [0, 7, 14, 21, 28] {
        let (byte, tail) = rest.split_first()?;
        *rest = tail;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return u32::try_from(value).ok();
        }
    }
    None
}

#[cfg(test)]
mod tests;
