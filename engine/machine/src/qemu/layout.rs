//! Where registers lie in what QEMU's stub calls `g`: read from the target description that it
//! hands out (GDB manual, "Target Descriptions"), never assumed.

use std::collections::BTreeMap;

use thiserror::Error;

/// More registers than any description of a processor has.
const MOST: usize = 4096;

/// The description cannot be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum LayoutError {
    /// Another processor.
    #[error(
        "its vCPUs are {0}, and Oriel watches 64-bit x86: start the guest with qemu-system-x86_64"
    )]
    Architecture(String),
    /// A register that has to be there is not.
    #[error("the stub does not show the register {0}")]
    Missing(&'static str),
    /// Too many registers, or sizes that cannot be.
    #[error("the stub's description of its registers makes no sense")]
    Nonsense,
}

/// Where one register lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its number in `p` and `P` packets.
    pub number: u32,
    /// Its first byte.
    pub offset: usize,
    /// Its length in bytes.
    pub length: usize,
}

/// Where each register lies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    places: BTreeMap<String, Place>,
    length: usize,
}

/// What every event needs.
const NEEDED: [&str; 19] = [
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13",
    "r14", "r15", "rip", "eflags", "cs",
];

impl Layout {
    /// The layout that these descriptions give together, in order.
    ///
    /// # Errors
    /// [`LayoutError`] if they are not those of a 64-bit x86.
    pub fn read(descriptions: &[String]) -> Result<Self, LayoutError> {
        let mut layout = Self::default();
        let mut number = 0;
        for description in descriptions {
            layout.add(&without_comments(description), &mut number)?;
        }
        match NEEDED.iter().find(|name| layout.place(name).is_none()) {
            Some(missing) => Err(LayoutError::Missing(missing)),
            None => Ok(layout),
        }
    }

    fn add(&mut self, description: &str, number: &mut u32) -> Result<(), LayoutError> {
        for tag in tags(description, "reg") {
            let bits: usize = attribute(tag, "bitsize")
                .and_then(|bits| bits.parse().ok())
                .filter(|bits| (8..=4096).contains(bits))
                .ok_or(LayoutError::Nonsense)?;
            if let Some(given) = attribute(tag, "regnum") {
                *number = given.parse().map_err(|_| LayoutError::Nonsense)?;
            }
            let name = attribute(tag, "name").ok_or(LayoutError::Nonsense)?;
            let place = Place {
                number: *number,
                offset: self.length,
                length: bits / 8,
            };
            self.places.insert(name.to_owned(), place);
            self.length += bits / 8;
            *number = number.checked_add(1).ok_or(LayoutError::Nonsense)?;
            if self.places.len() > MOST {
                return Err(LayoutError::Nonsense);
            }
        }
        Ok(())
    }

    /// Where a register lies, if the stub shows it.
    pub fn place(&self, name: &str) -> Option<Place> {
        self.places.get(name).copied()
    }

    /// The value of a register of up to 64 bits in the bytes of `g`; none: the stub does not show
    /// it.
    pub fn value(&self, all: &[u8], name: &str) -> Option<u64> {
        let place = self.place(name).filter(|place| place.length <= 8)?;
        let bytes = all.get(place.offset..place.offset + place.length)?;
        Some(number(bytes))
    }
}

/// The number in up to eight bytes, in the order in which the stub sends them.
pub(super) fn number(bytes: &[u8]) -> u64 {
    let bytes = bytes.iter().rev();
    bytes.fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// Which other descriptions a target description is made of, in order.
///
/// # Errors
/// [`LayoutError::Architecture`] if it is not that of a 64-bit x86.
pub fn parts(target: &str) -> Result<Vec<String>, LayoutError> {
    let target = without_comments(target);
    let architecture = between(&target, "<architecture>", "</architecture>").unwrap_or_default();
    if architecture.trim() != "i386:x86-64" {
        return Err(LayoutError::Architecture(architecture.trim().to_owned()));
    }
    let parts = tags(&target, "xi:include").filter_map(|tag| attribute(tag, "href"));
    Ok(parts.take(16).map(str::to_owned).collect())
}

/// What stands between two marks.
fn between<'a>(text: &'a str, from: &str, to: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(from)?;
    rest.split_once(to).map(|(inner, _)| inner)
}

fn without_comments(text: &str) -> String {
    let mut pieces = text.split("<!--");
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        plain.push_str(piece.split_once("-->").map_or("", |(_, rest)| rest));
    }
    plain
}

/// The attributes of each tag of this name.
fn tags<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    text.split('<').filter_map(move |tag| {
        let rest = tag.strip_prefix(name)?;
        let rest = rest.strip_prefix(char::is_whitespace)?;
        rest.split_once('>').map(|(inner, _)| inner)
    })
}

/// The value of `NAME="VALUE"`.
fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    tag.split_whitespace().find_map(|word| {
        let value = word.strip_prefix(name)?.strip_prefix("=\"")?;
        value.split_once('"').map(|(value, _)| value)
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::qemu) const TARGET: &str = r#"<?xml version="1.0"?><target>
<architecture>i386:x86-64</architecture><xi:include href="core.xml"/></target>"#;

    /// The registers of [`NEEDED`] and some more, in an order of its own.
    pub(in crate::qemu) fn description() -> String {
        let mut text = String::from("<feature><!-- <reg name=\"gone\" bitsize=\"64\"/> -->");
        for name in NEEDED
            .iter()
            .filter(|name| !["eflags", "cs"].contains(name))
        {
            text += &format!("<reg name=\"{name}\" bitsize=\"64\" type=\"int64\"/>\n");
        }
        for name in ["eflags", "cs", "ss"] {
            text += &format!("<reg name=\"{name}\" bitsize=\"32\"/>\n");
        }
        for name in [
            "fs_base",
            "gs_base",
            "k_gs_base",
            "cr0",
            "cr2",
            "cr3",
            "cr4",
            "cr8",
            "efer",
        ] {
            text += &format!("<reg name=\"{name}\" bitsize=\"64\"/>\n");
        }
        text + "<reg name=\"st0\" bitsize=\"80\" regnum=\"99\"/></feature>"
    }

    #[test]
    fn registers_lie_where_the_description_says() {
        assert_eq!(parts(TARGET).unwrap(), ["core.xml"]);
        let layout = Layout::read(&[description()]).unwrap();
        let place = layout.place("eflags").unwrap();
        assert_eq!((place.number, place.offset, place.length), (17, 17 * 8, 4));
        assert_eq!(layout.place("gone"), None, "it is in a comment");
        assert_eq!(layout.place("st0").unwrap().number, 99);
        let mut all = vec![0; layout.length];
        all[8..16].copy_from_slice(&0x1234_5678_9abc_def0_u64.to_le_bytes());
        assert_eq!(layout.value(&all, "rbx"), Some(0x1234_5678_9abc_def0));
        assert_eq!(layout.value(&all[..10], "rbx"), None);
        assert_eq!(layout.value(&all, "st0"), None, "no number of 64 bits");
    }

    #[test]
    fn another_processor_is_refused_by_name() {
        let arm = "<target><architecture>aarch64</architecture></target>";
        let error = parts(arm).unwrap_err();
        assert!(error.to_string().contains("aarch64"), "{error}");
        let error = Layout::read(&["<reg name=\"rax\" bitsize=\"64\"/>".to_owned()]).unwrap_err();
        assert_eq!(error, LayoutError::Missing("rbx"));
    }

    #[test]
    fn nonsense_is_an_error() {
        for text in [
            "<reg name=\"rax\"/>",
            "<reg name=\"rax\" bitsize=\"0\"/>",
            "<reg name=\"rax\" bitsize=\"99999999\"/>",
            "<reg bitsize=\"64\"/>",
            "<reg name=\"a\" bitsize=\"8\" regnum=\"4294967295\"/>",
            "<reg name=\"a\" bitsize=\"8\" regnum=\"x\"/>",
        ] {
            let error = Layout::read(&[text.to_owned()]).unwrap_err();
            assert_eq!(error, LayoutError::Nonsense, "{text}");
        }
    }
}
