//! Reading the guarded pages, many with one command. Owns where each of them lies; judges none.

use std::ops::Range;

use oriel_sdk::linux::{Absence, ReadKernel};
use oriel_sdk::{MemoryRange, Refusal};

use crate::image::{Image, PAGE};
use crate::sites::LONGEST;

/// Pages that are read together: with the bytes behind them they stay below what one command reads.
const TOGETHER: u32 = 15;

/// A page as it is now.
#[derive(Clone, Debug)]
pub(crate) struct Sheet {
    /// The guarded bytes, and where they begin.
    pub(crate) start: u64,
    pub(crate) length: usize,
    /// Where that is in the guest's physical memory.
    pub(crate) gpa: u64,
    /// They, and up to a site's length of what follows.
    pub(crate) bytes: Vec<u8>,
}

/// Up to so many pages from one on, as far as they lie behind each other; each by itself, if one of
/// them cannot be read.
pub(crate) fn read(
    image: &Image,
    first: u32,
    most: u32,
    host: &mut impl ReadKernel,
) -> Vec<(u32, Result<Sheet, Absence>)> {
    let Some(run) = image.run(first, most.min(TOGETHER)) else {
        return Vec::new();
    };
    let numbers = (first..).map_while(|number| {
        let page = image.page(number).filter(|page| page.end <= run.end)?;
        (page.start >= run.start).then_some((number, page))
    });
    match Block::read(image, &run, host) {
        Ok(block) => {
            let sheets = numbers.map(|(number, page)| (number, block.sheet(&page)));
            return sheets.collect();
        }
        // The engine says no to all of them alike: asking for each would be a flood of commands.
        Err(Absence::Refused(refusal)) if refusal != Refusal::NotFound => {
            return numbers
                .map(|(number, _)| (number, Err(refusal.into())))
                .collect();
        }
        Err(_) => {}
    }
    numbers
        .map(|(number, page)| {
            let block = Block::read(image, &page, host).or_else(|_| Block::bare(&page, host));
            (number, block.and_then(|block| block.sheet(&page)))
        })
        .collect()
}

/// Memory that was read in one piece.
struct Block {
    start: u64,
    /// The physical address of each page of it.
    gpas: Vec<u64>,
    bytes: Vec<u8>,
}

impl Block {
    /// A range, and what follows it in the image.
    fn read(
        image: &Image,
        range: &Range<u64>,
        host: &mut impl ReadKernel,
    ) -> Result<Self, Absence> {
        let behind = (1..=LONGEST as u64).rev();
        let mut behind = behind.map(|length| range.end.saturating_add(length));
        let end = behind.find(|end| image.page_at(end - 1).is_some());
        Self::bare(&(range.start..end.unwrap_or(range.end)), host)
    }

    fn bare(range: &Range<u64>, host: &mut impl ReadKernel) -> Result<Self, Absence> {
        let length = range.end.saturating_sub(range.start);
        let length = u32::try_from(length).map_err(|_| Refusal::Invalid)?;
        let (mut ranges, mut gpas) = (Vec::new(), Vec::new());
        let mut at = range.start;
        for piece in host.locate(range.start, length)? {
            gpas.extend(pages(at, piece.gpa, piece.length));
            at = at.saturating_add(piece.length.into());
            ranges.push(MemoryRange {
                gpa: piece.gpa,
                length: piece.length,
            });
        }
        let mut bytes = Vec::new();
        for piece in host.read_scattered(&ranges)? {
            bytes.extend(piece?);
        }
        let start = range.start;
        Ok(Self { start, gpas, bytes })
    }

    fn sheet(&self, page: &Range<u64>) -> Result<Sheet, Absence> {
        let cut = || {
            let from = usize::try_from(page.start.checked_sub(self.start)?).ok()?;
            let length = usize::try_from(page.end - page.start).ok()?;
            let frame = page.start / PAGE - self.start / PAGE;
            let rest = self.bytes.get(from..)?;
            Some(Sheet {
                start: page.start,
                length,
                gpa: *self.gpas.get(usize::try_from(frame).ok()?)?,
                bytes: rest.get(..rest.len().min(length + LONGEST))?.to_vec(),
            })
        };
        let sheet = cut().filter(|sheet| sheet.bytes.len() >= sheet.length);
        sheet.ok_or_else(|| Refusal::NotFound.into())
    }
}

/// The physical address of each page that begins in a piece, and of the first.
fn pages(gva: u64, gpa: u64, length: u32) -> impl Iterator<Item = u64> {
    let end = gva.saturating_add(length.into());
    let first = gva.is_multiple_of(PAGE).then_some(gva);
    let aligned = first.unwrap_or_else(|| (gva & !(PAGE - 1)).saturating_add(PAGE));
    let starts = (aligned..end).step_by(4096);
    starts.map(move |at| gpa.wrapping_add(at - gva))
}
