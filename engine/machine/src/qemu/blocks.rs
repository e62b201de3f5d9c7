//! Where guest RAM lies, guest-physical, and where in its memory backend: read from what QEMU's
//! monitor answers to `info mtree -f`. RAM is split around 4 GiB, so this is asked, never computed.

use oriel_protocol::Gpa;
use thiserror::Error;

/// More pieces than any guest has.
const MOST: usize = 4096;

/// A piece of RAM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// Its first guest-physical address.
    pub gpa: Gpa,
    /// Its length in bytes.
    pub length: u64,
    /// Where it begins in its region.
    pub offset: u64,
    /// The region: the id of a memory backend, or QEMU's own name.
    pub region: String,
}

impl Block {
    const fn end(&self) -> Gpa {
        self.gpa.saturating_add(self.length)
    }
}

/// What QEMU says of its memory makes no sense.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BlocksError {
    /// There is no address space of that name.
    #[error("QEMU's answer to `info mtree -f` has no address space \"memory\" with RAM in it")]
    None,
    /// Too many pieces, or pieces that lie over each other.
    #[error("QEMU's answer to `info mtree -f` makes no sense at {0:?}")]
    Nonsense(String),
}

/// The RAM of the address space that vCPUs see, in order. ROM that lies in a RAM region (the
/// firmware's copy of itself) is RAM here: it is only written by the firmware.
///
/// # Errors
/// [`BlocksError`] if there is none, or if it makes no sense.
pub(super) fn read(text: &str) -> Result<Vec<Block>, BlocksError> {
    let view = text
        .split("FlatView #")
        .find(|view| {
            view.lines()
                .any(|line| line.trim_start().starts_with("AS \"memory\""))
        })
        .ok_or(BlocksError::None)?;
    let mut blocks: Vec<Block> = Vec::new();
    for line in view.lines() {
        let Some(block) = block(line)? else { continue };
        let follows = blocks.last().is_none_or(|last| last.end() <= block.gpa);
        if !follows || blocks.len() > MOST {
            return Err(BlocksError::Nonsense(line.trim().to_owned()));
        }
        add(&mut blocks, block);
    }
    if blocks.is_empty() {
        return Err(BlocksError::None);
    }
    Ok(blocks)
}

/// Adds a piece, or makes the last one longer.
fn add(blocks: &mut Vec<Block>, block: Block) {
    if let Some(last) = blocks.last_mut()
        && last.region == block.region
        && last.end() == block.gpa
        && last.offset.checked_add(last.length) == Some(block.offset)
    {
        last.length += block.length;
    } else {
        blocks.push(block);
    }
}

/// `FIRST-LAST (prio N, KIND): REGION[ @OFFSET]`; none: it is something else, or no RAM.
fn block(line: &str) -> Result<Option<Block>, BlocksError> {
    let nonsense = || BlocksError::Nonsense(line.trim().to_owned());
    let Some((range, rest)) = line.trim().split_once(" (prio ") else {
        return Ok(None);
    };
    let Some((_, rest)) = rest.split_once(", ") else {
        return Ok(None);
    };
    let Some((kind, region)) = rest.split_once("): ") else {
        return Ok(None);
    };
    if !matches!(kind, "ram" | "rom") {
        return Ok(None);
    }
    let (first, last) = range.split_once('-').ok_or_else(nonsense)?;
    let (gpa, last) = (
        hex(first).ok_or_else(nonsense)?,
        hex(last).ok_or_else(nonsense)?,
    );
    let (region, offset) = match region.split_once(" @") {
        Some((region, offset)) => (
            region,
            first_word(offset).and_then(hex).ok_or_else(nonsense)?,
        ),
        None => (first_word(region).unwrap_or_default(), 0),
    };
    let length = last
        .checked_sub(gpa)
        .and_then(|length| length.checked_add(1));
    let length = length.ok_or_else(nonsense)?;
    offset.checked_add(length).ok_or_else(nonsense)?;
    Ok(Some(Block {
        gpa,
        length,
        offset,
        region: region.to_owned(),
    }))
}

fn first_word(text: &str) -> Option<&str> {
    text.split_whitespace().next()
}

fn hex(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::qemu) const MTREE: &str = "FlatView #0
 AS \"I/O\", root: io
 Root memory region: io
  0000000000000000-0000000000000007 (prio 0, i/o): dma-chan

FlatView #4
 AS \"memory\", root: system
 AS \"cpu-memory-0\", root: system
 Root memory region: system
  0000000000000000-00000000000c2fff (prio 0, ram): mem0
  00000000000c3000-00000000000e7fff (prio 0, rom): mem0 @00000000000c3000
  00000000000e8000-00000000bfffffff (prio 0, ram): mem0 @00000000000e8000
  00000000fec00000-00000000fec00fff (prio 0, i/o): ioapic
  00000000fffc0000-00000000ffffffff (prio 0, rom): pc.bios
  0000000100000000-000000013fffffff (prio 0, ram): mem0 @00000000c0000000 KVM

";

    #[test]
    fn ram_is_found_on_both_sides_of_the_hole() {
        let block = |gpa, length, offset, region: &str| Block {
            gpa,
            length,
            offset,
            region: region.to_owned(),
        };
        let expected = [
            block(0, 0xc000_0000, 0, "mem0"),
            block(0xfffc_0000, 0x4_0000, 0, "pc.bios"),
            block(0x1_0000_0000, 0x4000_0000, 0xc000_0000, "mem0"),
        ];
        assert_eq!(read(MTREE).unwrap(), expected);
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        assert_eq!(read("unknown command"), Err(BlocksError::None));
        let view = |lines: &str| format!("FlatView #1\n AS \"memory\", root: system\n{lines}");
        for lines in [
            " 0000-0fff (prio 0, ram): a\n 0000-1fff (prio 0, ram): a\n",
            " 1000-0000 (prio 0, ram): a\n",
            " 0000-ffffffffffffffff (prio 0, ram): a\n",
            " 0000-0fff (prio 0, ram): a @ffffffffffffffff\n",
            " zz-0fff (prio 0, ram): a\n",
        ] {
            let error = read(&view(lines)).unwrap_err();
            assert!(matches!(error, BlocksError::Nonsense(_)), "{lines}");
        }
    }
}
