//! What is found by how it looks: the banner, the types, the first task. Owns the searches through
//! bytes; each takes only what agrees with more than one thing.

use memchr::memmem;
use oriel_protocol::Gva;

use crate::{
    answer::{Found, Source},
    btf::{MAGIC, Types, claimed_length},
    kernel::Piece,
    space::Space,
    tasks::{self, Layout},
    words,
};

/// What every kernel's banner begins with, and the most that it has.
const BANNER: &[u8] = b"Linux version ";
const LONGEST: usize = 1024;
/// What the kernel's own types are at least: hundreds of kilobytes. A smaller one is something else.
const LEAST_TYPES: usize = 64 << 10;

/// The text up to the end of the line.
pub(super) fn line(bytes: &[u8]) -> Option<String> {
    let text = words::until_nul(bytes.get(..LONGEST).unwrap_or(bytes));
    let end = memchr::memchr(b'\n', text)?;
    let line = text.get(..end).filter(|line| line.starts_with(BANNER))?;
    std::str::from_utf8(line).ok().map(str::to_owned)
}

/// What stands in a banner's place, if it is none: whoever writes there does not hide a kernel whose
/// symbols say where that is. As far as it is text, and of one line.
pub(super) fn altered(bytes: &[u8]) -> Option<String> {
    let text = words::until_nul(bytes.get(..LONGEST).unwrap_or(bytes));
    let line = text.split(|byte| *byte == b'\n').next()?;
    let valid = line.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    Some(valid.to_owned())
}

/// The first banner that is a whole line; `%s` in one is a format, not a banner.
pub(super) fn banner(pieces: &[Piece]) -> Option<(Gva, Found<String>)> {
    pieces.iter().find_map(|piece| {
        let places = memmem::find_iter(&piece.bytes, BANNER);
        let lines = places.filter_map(|at| Some((at, line(piece.bytes.get(at..)?)?)));
        let mut real = lines.filter(|(_, line)| !line.contains('%'));
        let (at, line) = real.next()?;
        Some((piece.start + at as u64, Found::new(line, Source::Shape)))
    })
}

/// The largest description of types in these bytes that is whole.
pub(super) fn types(pieces: &[Piece]) -> Option<Found<Types>> {
    let places = pieces.iter().flat_map(|piece| {
        let places = memmem::find_iter(&piece.bytes, &MAGIC).filter(|at| at % 4 == 0);
        places.filter_map(|at| piece.bytes.get(at..))
    });
    let whole = places.filter_map(|bytes| bytes.get(..claimed_length(bytes)?));
    let mut large: Vec<_> = whole.filter(|bytes| bytes.len() >= LEAST_TYPES).collect();
    large.sort_by_key(|bytes| std::cmp::Reverse(bytes.len()));
    let mut types = large.into_iter().take(4);
    types
        .find_map(|bytes| Types::parse(bytes.to_vec()).ok())
        .map(|types| Found::new(types, Source::Shape))
}

/// Where the first task's name stands, in the kernel's data.
pub(super) fn first_names(data: &[Piece]) -> impl Iterator<Item = Gva> {
    data.iter().flat_map(|piece| {
        let places = tasks::first_names(&piece.bytes);
        places.map(|at| piece.start + at as u64)
    })
}

/// The first task: its name is in its place, its number is 0, and its list leads away and back.
pub(super) fn init_task(data: &[Piece], layout: &Layout, space: Space<'_>) -> Option<Gva> {
    let mut places = first_names(data).map(|at| at.wrapping_sub(layout.comm.0));
    places.find(|task| is_first(layout, space, *task))
}

fn is_first(layout: &Layout, space: Space<'_>, task: Gva) -> bool {
    let entry = task.wrapping_add(layout.tasks);
    let next = space.u64(entry).ok();
    let back = next.and_then(|next| space.u64(next.wrapping_add(8)).ok());
    let known = layout.task(space, task).ok();
    back == Some(entry) && known.is_some_and(|known| known.pid == 0 && known.tgid == 0)
}
