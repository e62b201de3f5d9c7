//! Tasks by their numbers: the tree in which the kernel looks a pid up (an IDR, which is an
//! XArray). Owns the walk over that tree, which goes down only and has a limit.

use oriel_protocol::Gva;

use super::{Listing, Task};
use crate::{
    answer::{Answer, Found, Source, Unknown},
    btf::Types,
    guest::Guest,
    lists::Ending,
    space::Space,
};

/// More nodes and numbers than a tree is walked for.
const MOST: usize = 1 << 19;
/// An entry of the tree with these low bits and above this is a node (Linux, `include/linux/xarray.h`).
const NODE: u64 = 2;
const LOW_BITS: u64 = 3;
const FIRST_NODE: u64 = 4096;
/// Bits of an index that one node can be responsible for; no tree is higher.
const HIGHEST: u8 = 60;

/// Offsets in the tree and in what it leads to.
struct Tree {
    root: u64,
    shift: u64,
    slots: u64,
    slot_count: u64,
    /// In `struct pid`: the tasks with this number.
    tasks: u64,
    /// In `task_struct`: its entry there.
    links: u64,
}

impl Tree {
    fn of(types: &Types, links: Option<u64>) -> Result<Self, Unknown> {
        let slots = types.field("xa_node.slots")?;
        let member = || Unknown::Member("task_struct.pid_links".to_owned());
        Ok(Self {
            root: types.offset("pid_namespace.idr.idr_rt.xa_head")?,
            shift: types.offset("xa_node.shift")?,
            slots: slots.offset,
            slot_count: (slots.size / 8).clamp(1, 256),
            tasks: types.offset("pid.tasks")?,
            links: links.ok_or_else(member)?,
        })
    }
}

/// A node that is still to be looked at, and what its first slot stands for.
struct Open {
    entry: u64,
    first: u64,
    /// The shift of the node above: this one's is smaller.
    above: u8,
}

/// The walk down.
struct Walk<'m> {
    space: Space<'m>,
    tree: Tree,
    open: Vec<Open>,
    found: Vec<(u32, Gva)>,
    ending: Ending,
}

impl Guest<'_> {
    /// Every task by its number, threads too: pid, and where its `task_struct` is.
    ///
    /// # Errors
    /// [`Unknown`] where the tree's place or layout is.
    pub fn pids(&self) -> Result<Listing<(u32, Gva)>, Unknown> {
        let namespace = self.symbol("init_pid_ns")?;
        let tree = Tree::of(self.types()?, self.layout()?.pid_links)?;
        let root = self.space().u64(namespace.wrapping_add(tree.root))?;
        let open = vec![Open {
            entry: root,
            first: 0,
            above: HIGHEST,
        }];
        let walk = Walk {
            space: self.space(),
            tree,
            open,
            found: Vec::new(),
            ending: Ending::Whole,
        };
        let (mut items, ending) = walk.all();
        items.sort_unstable();
        Ok(Listing {
            items,
            ending,
            source: Source::KallsymsAndBtf,
        })
    }
}

impl Guest<'_> {
    /// The process or thread of a number: by the tree of pids, where it is known, and so one that
    /// is in no list too.
    ///
    /// # Errors
    /// [`Unknown::Task`]; as [`tasks`](Self::tasks).
    pub fn task(&self, pid: u32) -> Answer<Task> {
        if let Ok(pids) = self.pids() {
            let place = pids.items.iter().find(|(number, _)| *number == pid);
            let (_, address) = place.ok_or(Unknown::Task(pid))?;
            let task = self.layout()?.task(self.space(), *address)?;
            return Ok(Found::new(task, pids.source));
        }
        let all = self.threads().or_else(|_| self.tasks())?;
        let task = all.items.into_iter().find(|task| task.pid == pid);
        Ok(Found::new(task.ok_or(Unknown::Task(pid))?, all.source))
    }
}

impl Walk<'_> {
    fn all(mut self) -> (Vec<(u32, Gva)>, Ending) {
        let mut looked = 0;
        while let Some(open) = self.open.pop() {
            looked += 1;
            if looked > MOST {
                return (self.found, Ending::Endless);
            }
            if is_node(open.entry) {
                self.node(&open);
            } else if open.entry & LOW_BITS == 0 && open.entry != 0 {
                self.leaf(&open);
            }
        }
        (self.found, self.ending)
    }

    /// Opens what is in a node.
    fn node(&mut self, open: &Open) {
        let at = open.entry & !LOW_BITS;
        let Some((shift, slots)) = self.slots(at).filter(|(shift, _)| *shift < open.above) else {
            self.ending = Ending::Broken;
            return;
        };
        let numbered = (0u64..).zip(slots).filter(|(_, entry)| *entry != 0);
        self.open.extend(numbered.map(|(slot, entry)| Open {
            entry,
            first: open.first.saturating_add(slot << shift),
            above: shift,
        }));
    }

    fn slots(&self, node: Gva) -> Option<(u8, Vec<u64>)> {
        let mut shift = [0];
        self.space
            .read(node.wrapping_add(self.tree.shift), &mut shift)
            .ok()?;
        let length = usize::try_from(self.tree.slot_count * 8).ok()?;
        let slots = self.space.bytes(node.wrapping_add(self.tree.slots), length);
        let slots = slots.ok()?;
        let words = slots
            .chunks_exact(8)
            .filter_map(|word| word.try_into().ok());
        Some((shift[0], words.map(u64::from_le_bytes).collect()))
    }

    /// The first task of a `struct pid`. A number that is kept without a task (of a group, of a
    /// session) has none.
    fn leaf(&mut self, open: &Open) {
        let Ok(pid) = u32::try_from(open.first) else {
            return;
        };
        match self.space.u64(open.entry.wrapping_add(self.tree.tasks)) {
            Ok(0) => {}
            Ok(link) => self.found.push((pid, link.wrapping_sub(self.tree.links))),
            Err(_) => self.ending = Ending::Broken,
        }
    }
}

const fn is_node(entry: u64) -> bool {
    entry & LOW_BITS == NODE && entry > FIRST_NODE
}
