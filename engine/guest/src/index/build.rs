//! How an index is made. Owns the order: each step uses what the ones before have found, and none
//! fails because another has.

use std::{ops::Range, sync::Arc};

use oriel_machine::GuestMemory;
use oriel_protocol::Gva;

use super::{Index, find};
use crate::{
    answer::{Answer, Found, Source, Unknown},
    btf::Types,
    kallsyms::{self, Haystack, Kallsyms},
    kernel::{self, Kernel, Piece, Run},
    sight::Sight,
    space::Space,
    tasks::{self, Layout},
    vmcoreinfo::Vmcoreinfo,
};

/// Where x86-64 kernels are linked unless `CONFIG_PHYSICAL_START` says otherwise.
const LINKED_AT: Gva = 0xffff_ffff_8100_0000;
/// The page that the note is in.
const NOTE: usize = 0x1000;

pub(super) fn build(memory: &dyn GuestMemory, sights: &[Sight]) -> Result<Index, Unknown> {
    let (kernel, first) = Kernel::find(memory, sights)?;
    let image = Image::read(&kernel, first);
    let symbols = image.symbols(&kernel);
    let (banner_at, banner) = image.banner(symbols.as_ref()).ok_or(Unknown::NoKernel)?;
    let tables = tables(first, symbols.as_ref(), banner_at);
    let space = first.with_cr3(tables.value);
    let types = image.types(symbols.as_ref());
    let note = note(space, symbols.as_ref());
    let (layout, init_task) = first_task(&kernel, space, symbols.as_ref(), types.as_ref());
    Ok(Index {
        slide: slide(note.as_ref(), symbols.as_ref()),
        layout,
        init_task,
        mode: space.mode(),
        tables,
        banner,
        banner_at,
        symbols,
        types,
        note,
        kernel,
    })
}

/// The bytes in which tables are looked for, the likelier first.
struct Image {
    pieces: Vec<Piece>,
}

impl Image {
    /// Read-only data, once the kernel has made it so; all of it before.
    fn read(kernel: &Kernel, space: Space<'_>) -> Self {
        let constant: fn(&Run) -> bool = |run| !run.writable && !run.executable;
        let mut pieces = kernel::pieces(kernel, space, constant);
        if find::banner(&pieces).is_none() {
            pieces = kernel::pieces(kernel, space, |_| true);
        }
        Self { pieces }
    }

    fn symbols(&self, kernel: &Kernel) -> Option<Kallsyms> {
        let image = kernel.start()..kernel.end();
        self.pieces.iter().find_map(|piece| {
            kallsyms::decode(&Haystack {
                start: piece.start,
                bytes: &piece.bytes,
                image: image.clone(),
            })
        })
    }

    fn banner(&self, symbols: Option<&Kallsyms>) -> Option<(Gva, Found<String>)> {
        let named = symbols.and_then(|known| known.symbols.address("linux_banner"));
        let read = |text: fn(&[u8]) -> Option<String>| {
            let at = named?;
            let text = text(self.from(at)?)?;
            Some((at, Found::new(text, Source::Kallsyms)))
        };
        let shown = read(find::line).or_else(|| find::banner(&self.pieces));
        shown.or_else(|| read(find::altered))
    }

    fn types(&self, symbols: Option<&Kallsyms>) -> Option<Found<Arc<Types>>> {
        let named = symbols.and_then(|known| {
            let of = |name| known.symbols.address(name);
            Some(of("__start_BTF")?..of("__stop_BTF")?)
        });
        let bytes = named.and_then(|range| self.part(range));
        let types = bytes.and_then(|bytes| Types::parse(bytes.to_vec()).ok());
        let found = types.map(|types| Found::new(types, Source::Kallsyms));
        let found = found.or_else(|| find::types(&self.pieces));
        found.map(|found| found.map(Arc::new))
    }

    fn part(&self, range: Range<Gva>) -> Option<&[u8]> {
        self.pieces
            .iter()
            .find_map(|piece| piece.part(range.clone()))
    }

    fn from(&self, at: Gva) -> Option<&[u8]> {
        let behind = |piece: &Piece| piece.start.saturating_add(piece.bytes.len() as u64);
        let parts = self.pieces.iter();
        parts
            .filter_map(|piece| piece.part(at..behind(piece)))
            .find(|part| !part.is_empty())
    }
}

/// The kernel's own page tables. They are believed if they lead to the banner as those do by which
/// the kernel was found.
fn tables(first: Space<'_>, symbols: Option<&Kallsyms>, banner: Gva) -> Found<u64> {
    let names = ["init_top_pgt", "swapper_pg_dir"];
    let named = names.iter().find_map(|name| symbols?.symbols.address(name));
    let physical = |gva| first.translate(gva).ok().map(|page| page.gpa);
    let own = named.and_then(physical).filter(|cr3| {
        let there = first.with_cr3(*cr3).translate(banner);
        there.is_ok_and(|page| Some(page.gpa) == physical(banner))
    });
    own.map_or(Found::new(first.cr3(), Source::Register), |cr3| {
        Found::new(cr3, Source::Kallsyms)
    })
}

/// By its symbol; if there are no symbols at all, from all of RAM, because it is all there is.
fn note(space: Space<'_>, symbols: Option<&Kallsyms>) -> Option<Vmcoreinfo> {
    let Some(known) = symbols else {
        return Vmcoreinfo::search(space.memory());
    };
    let pointer = known.symbols.address("vmcoreinfo_data")?;
    let text = space.text(space.u64(pointer).ok()?, NOTE).ok()?;
    let note = Vmcoreinfo::parse(&text);
    note.release().is_some().then_some(note)
}

fn slide(note: Option<&Vmcoreinfo>, symbols: Option<&Kallsyms>) -> Answer<u64> {
    if let Some(slide) = note.and_then(Vmcoreinfo::slide) {
        return Ok(Found::new(slide, Source::Vmcoreinfo));
    }
    let text = symbols.ok_or(Unknown::NoSymbols)?.symbols.address("_text");
    let text = text.ok_or_else(|| Unknown::Symbol("_text".to_owned()))?;
    Ok(Found::new(text.wrapping_sub(LINKED_AT), Source::Convention))
}

type FirstTask = (Result<Layout, Unknown>, Answer<Gva>);

/// How tasks are laid out, and where the first one is: by types and symbols, and what is missing
/// by how it looks.
fn first_task(
    kernel: &Kernel,
    space: Space<'_>,
    symbols: Option<&Kallsyms>,
    types: Option<&Found<Arc<Types>>>,
) -> FirstTask {
    let named = symbols.and_then(|known| known.symbols.address("init_task"));
    let named = named.map(|at| Found::new(at, Source::Kallsyms));
    let missing = Unknown::Symbol("init_task".to_owned());
    let known = types.ok_or(Unknown::NoTypes);
    let known = known.and_then(|types| Layout::of(&types.value));
    if let (Ok(layout), Some(at)) = (&known, &named) {
        return (Ok(layout.clone()), Ok(at.clone()));
    }
    let data = kernel::pieces(kernel, space, |run| run.writable);
    let shaped = |at| Found::new(at, Source::Shape);
    match known {
        Ok(layout) => {
            let at = find::init_task(&data, &layout, space);
            (Ok(layout), at.map(shaped).ok_or(missing))
        }
        Err(unknown) => {
            let mut names = find::first_names(&data);
            let guessed = names.find_map(|name| tasks::guess(space, name));
            let fits =
                |(at, _): &(Gva, Layout)| named.as_ref().is_none_or(|named| named.value == *at);
            match guessed.filter(fits) {
                Some((at, layout)) => (Ok(layout), Ok(named.clone().unwrap_or(shaped(at)))),
                None => (Err(unknown), named.clone().ok_or(missing)),
            }
        }
    }
}
