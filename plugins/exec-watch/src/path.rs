//! Where an open file is: its names up to the root of its mount, that mount's place, and on. Owns the
//! walk, as the kernel's `d_path` goes it; opens nothing.

use oriel_sdk::{MemoryRead, ReadStructures, Refusal};

use crate::layout::Tree;

/// The most names and mounts on the way. Each takes two commands, and one call has 1024 of them: the
/// others must be left for whoever refuses the exec.
const STEPS: u32 = 200;
/// The longest name that any file system has, and a memfd (Linux, `NAME_MAX`).
const NAME_MAX: u32 = 255;

/// The path of the `struct file` at an address. What hangs on no root, as a memfd, has `/` and its
/// name: `/memfd:x`.
///
/// # Errors
/// Something on the way cannot be read, or the way does not end.
pub(crate) fn of(
    file: u64,
    tree: &Tree,
    vcpu: u32,
    host: &mut impl MemoryRead,
) -> Result<Vec<u8>, Refusal> {
    let mut walk = Walk { tree, vcpu, host };
    let mount = walk.pointer(file, tree.file_mount)?;
    let entry = walk.pointer(file, tree.file_entry)?;
    walk.up(mount, entry)
}

struct Walk<'a, H> {
    tree: &'a Tree,
    vcpu: u32,
    host: &'a mut H,
}

/// A directory entry.
struct Entry {
    parent: u64,
    name: Vec<u8>,
}

impl<H: MemoryRead> Walk<'_, H> {
    fn up(&mut self, mut mount: u64, mut at: u64) -> Result<Vec<u8>, Refusal> {
        let mut path = Path::default();
        let mut root = self.pointer(mount, self.tree.root)?;
        for _ in 0..STEPS {
            if at == root {
                let Some((outer, place)) = self.outer(mount)? else {
                    return Ok(path.whole());
                };
                (mount, at) = (outer, place);
                root = self.pointer(mount, self.tree.root)?;
                continue;
            }
            let Entry { parent, name } = self.entry(at)?;
            if parent == at {
                return Ok(path.below(&name).whole());
            }
            // Only what hangs on no root can be called so.
            if name.contains(&b'/') {
                return Err(Refusal::Invalid);
            }
            path = path.below(&name);
            at = parent;
        }
        Err(Refusal::Limit)
    }

    /// The mount that this one lies in, and where; none for the first of all.
    fn outer(&mut self, mount: u64) -> Result<Option<(u64, u64)>, Refusal> {
        let own = mount.wrapping_sub(self.tree.mounted);
        let parent = self.pointer(own, self.tree.mount_parent)?;
        if parent == own {
            return Ok(None);
        }
        let place = self.pointer(own, self.tree.mount_point)?;
        Ok(Some((parent.wrapping_add(self.tree.mounted), place)))
    }

    fn entry(&mut self, at: u64) -> Result<Entry, Refusal> {
        let tree = self.tree;
        let record = self.host.read_record(self.vcpu, at, tree.entry_length)?;
        let pointer = |offset| record.get::<u64>(offset).filter(|pointer| *pointer != 0);
        let parent = pointer(tree.parent).ok_or(Refusal::NotFound)?;
        let name = pointer(tree.name).ok_or(Refusal::NotFound)?;
        let length = record.get::<u32>(tree.name_length);
        let length = length.filter(|length| (1..=NAME_MAX).contains(length));
        let length = length.ok_or(Refusal::Invalid)?;
        let name = self.host.read_virtual(self.vcpu, name, length)?;
        let is_name = !name.contains(&0);
        is_name
            .then_some(Entry { parent, name })
            .ok_or(Refusal::Invalid)
    }

    fn pointer(&mut self, base: u64, offset: u64) -> Result<u64, Refusal> {
        let pointer = self.host.read_value(self.vcpu, base.wrapping_add(offset))?;
        (pointer != 0).then_some(pointer).ok_or(Refusal::NotFound)
    }
}

/// The end of a path, which grows towards the root.
#[derive(Default)]
struct Path(Vec<u8>);

impl Path {
    fn below(mut self, name: &[u8]) -> Self {
        self.0.splice(0..0, [&b"/"[..], name].concat());
        self
    }

    fn whole(self) -> Vec<u8> {
        if self.0.is_empty() {
            b"/".to_vec()
        } else {
            self.0
        }
    }
}
