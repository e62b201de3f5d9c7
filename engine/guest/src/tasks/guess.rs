//! Where what is in tasks, where no types say so: by what is known of the first tasks of every
//! kernel. Owns the clues, and takes none that fits in two ways.
//!
//! The first task has number 0 and a name that begins with `swapper`; the next in the list has
//! number 1 and is the first process; the one after it has number 2 and is called `kthreadd`. All
//! three have the first one for a parent. The names of members are those of `task_struct`.

use memchr::memmem;
use oriel_protocol::Gva;

use super::layout::{Credentials, Layout};
use crate::{space::Space, words};

/// Where names are in what is read of each task, and how much that is: more than is before and
/// behind them among the members that are looked for. Where a task begins shows only at the end.
const COMM: usize = 0x1800;
const SPAN: usize = 0x2000;
/// How long a name is (`TASK_COMM_LEN`).
const NAME: u64 = 16;
/// Kernel addresses are in the upper half.
const KERNEL: u64 = 1 << 63;
/// The first task's name, with a CPU's number where there are several.
const FIRST_NAMES: [&[u8]; 2] = [b"swapper/0\0", b"swapper\0"];

/// The first three tasks, as bytes and the addresses of those.
struct First {
    tasks: [(Gva, Vec<u8>); 3],
}

/// Places in these bytes where the first task's name stands.
pub(crate) fn first_names(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let names = FIRST_NAMES.into_iter();
    names.flat_map(move |name| memmem::find_iter(bytes, name))
}

/// Where the first task is, and how all are laid out, if its name is here.
pub(crate) fn guess(space: Space<'_>, name: Gva) -> Option<(Gva, Layout)> {
    let init = name.wrapping_sub(COMM as u64);
    let (tasks, first) = (0..COMM)
        .step_by(8)
        .find_map(|tasks| Some((tasks, First::by(space, init, tasks)?)))?;
    let pid = first.pid()?;
    let (parent, begin) = first.parent(pid)?;
    let (mm, cred) = (first.mm(tasks), first.credentials(space));
    // From the beginning of a task, not of what was read.
    let before = usize::try_from(begin.wrapping_sub(init)).ok()?;
    let offset = |at: usize| at.checked_sub(before).map(|at| at as u64);
    let layout = Layout {
        tasks: offset(tasks)?,
        pid: offset(pid)?,
        tgid: offset(pid)? + 4,
        comm: (offset(COMM)?, NAME),
        real_parent: offset(parent),
        mm: mm.and_then(offset),
        pgd: mm.and_then(|mm| first.pgd(space, mm)),
        cred: cred.and_then(|(cred, _)| offset(cred)),
        credentials: cred.map(|(_, credentials)| credentials),
        is_guessed: true,
        ..Layout::default()
    };
    Some((begin, layout.finished()))
}

impl First {
    /// The three, if their list's entries are at `tasks`.
    fn by(space: Space<'_>, init: Gva, tasks: usize) -> Option<Self> {
        let second = next(space, init, tasks)?;
        let third = next(space, second, tasks)?;
        let name = space.text(third.wrapping_add(COMM as u64), 16).ok()?;
        if name != "kthreadd" {
            return None;
        }
        let read = |task| Some((task, space.bytes(task, SPAN).ok()?));
        let tasks = [read(init)?, read(second)?, read(third)?];
        Some(Self { tasks })
    }

    /// The words at one offset in all three.
    fn words(&self, at: usize) -> Option<[u64; 3]> {
        let [a, b, c] = &self.tasks;
        let word = |bytes| words::u64_at(bytes, at);
        Some([word(&a.1)?, word(&b.1)?, word(&c.1)?])
    }

    /// Number and process number follow each other, and are 0, 1 and 2.
    fn pid(&self) -> Option<usize> {
        let both = |number: u64| number | number << 32;
        let mut places = (0..SPAN - 8).step_by(4);
        places.find(|at| self.words(*at) == Some([both(0), both(1), both(2)]))
    }

    /// Behind the numbers, maybe behind a canary: who the parent is, twice. It is the first task for
    /// all three, and says where that begins.
    fn parent(&self, pid: usize) -> Option<(usize, Gva)> {
        let (init, end) = (self.tasks[0].0, self.tasks[0].0.wrapping_add(COMM as u64));
        let mut places = (pid + 8..pid + 40).step_by(8);
        places.find_map(|at| {
            let [first, others @ ..] = self.words(at)?;
            let same = others == [first; 2] && self.words(at + 8)? == [first; 3];
            let begins = (init..end).contains(&first) && first % 8 == 0;
            (same && begins).then_some((at, first))
        })
    }

    /// Behind the list's entry: user memory, which only the first process has, and which it uses.
    fn mm(&self, tasks: usize) -> Option<usize> {
        let mut places = (tasks + 16..tasks + 160).step_by(8);
        places.find(|at| {
            let (own, used) = (self.words(*at), self.words(at + 8));
            own.zip(used).is_some_and(|(own, used)| {
                own[0] == 0 && own[2] == 0 && own[1] & KERNEL != 0 && used[1] == own[1]
            })
        })
    }

    /// In user memory's structure: a page of tables that map the kernel as the kernel's do.
    fn pgd(&self, space: Space<'_>, mm: usize) -> Option<u64> {
        let memory = self.words(mm)?[1];
        let here = space.translate(self.tasks[0].0).ok()?;
        let mut places = (0u64..0x200).step_by(8);
        places.find(|offset| {
            let tables = space.u64(memory.wrapping_add(*offset)).ok();
            let tables = tables.filter(|tables| tables & KERNEL != 0 && tables & 0xfff == 0);
            let page = tables.and_then(|tables| space.translate(tables).ok());
            let there = page.and_then(|page| {
                let own = space.with_cr3(page.gpa);
                own.translate(self.tasks[0].0).ok()
            });
            there.is_some_and(|there| there.gpa == here.gpa)
        })
    }

    /// Before the name: the pointer to who a task is, which for the first one is nobody but root
    /// with every capability.
    fn credentials(&self, space: Space<'_>) -> Option<(usize, Credentials)> {
        let places = [COMM - 8, COMM - 16];
        places.into_iter().find_map(|at| {
            let cred = words::u64_at(&self.tasks[0].1, at)?;
            let bytes = space.bytes(cred, 128).ok()?;
            let known = [4usize, 8].into_iter().find_map(|uid| roots(&bytes, uid));
            Some((at, known?))
        })
    }
}

/// The next task, if the list leads there and back.
fn next(space: Space<'_>, task: Gva, tasks: usize) -> Option<Gva> {
    let entry = task.wrapping_add(tasks as u64);
    let next = space.u64(entry).ok().filter(|next| next & KERNEL != 0)?;
    let back = space.u64(next.wrapping_add(8)).ok()?;
    (back == entry && next != entry).then(|| next.wrapping_sub(tasks as u64))
}

/// Eight ids that are 0, no secure bits, nothing to inherit, and three times the same full set.
fn roots(bytes: &[u8], uid: usize) -> Option<Credentials> {
    let ids = bytes.get(uid..uid + 36)?;
    let sets = (uid + 36).next_multiple_of(8);
    let set = |number: usize| words::u64_at(bytes, sets + number * 8);
    let full = set(1)?;
    let is_full = full.count_ones() >= 32 && full & full.wrapping_add(1) == 0;
    let fits = ids.iter().all(|byte| *byte == 0) && set(0)? == 0 && is_full;
    let same = set(2)? == full && set(3)? == full;
    (fits && same).then_some(Credentials {
        uid: uid as u64,
        gid: uid as u64 + 4,
        euid: uid as u64 + 16,
        egid: uid as u64 + 20,
        permitted: sets as u64 + 8,
        effective: sets as u64 + 16,
    })
}
