//! Where the members that this policy reads are in the kernel's types, as its BTF says. Owns the
//! offsets, asked for once a kernel; reads no memory.

use oriel_sdk::GuestOs;
use oriel_sdk::linux::{Absence, Field};

/// Larger than any structure that is read here.
const MOST: u64 = 4096;

/// What is needed of the kernel's types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) binprm: Binprm,
    /// Where the new memory's page tables are said: `mm_struct.pgd`.
    pub(crate) pgd: Option<u64>,
    /// How the path of an open file is found; not everywhere can it be.
    pub(crate) tree: Option<Tree>,
}

/// Members of `linux_binprm`, in bytes from its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binprm {
    /// How many bytes hold all of them.
    pub(crate) length: u32,
    /// `const char *`: the path that was asked for.
    pub(crate) filename: usize,
    /// `const char *`: the same pointer, or the path of the interpreter that it is about now.
    pub(crate) interp: usize,
    /// `int`: how many arguments, and how many variables of the environment.
    pub(crate) argc: usize,
    pub(crate) envc: usize,
    /// `unsigned long`: where in the new memory the first argument begins.
    pub(crate) p: Option<usize>,
    /// `struct mm_struct *`: the new memory, until it is the current one.
    pub(crate) mm: Option<usize>,
    /// `struct file *`.
    pub(crate) file: Option<usize>,
}

/// Members of what leads from an open file to its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tree {
    /// `file.f_path.mnt`, `file.f_path.dentry`.
    pub(crate) file_mount: u64,
    pub(crate) file_entry: u64,
    /// `dentry.d_parent`, `dentry.d_name.name`, `dentry.d_name.len`, and how many bytes hold them.
    pub(crate) parent: usize,
    pub(crate) name: usize,
    pub(crate) name_length: usize,
    pub(crate) entry_length: u32,
    /// `vfsmount.mnt_root`, and where in `mount` that structure is.
    pub(crate) root: u64,
    pub(crate) mounted: u64,
    /// `mount.mnt_parent`, `mount.mnt_mountpoint`.
    pub(crate) mount_parent: u64,
    pub(crate) mount_point: u64,
}

impl Layout {
    /// Asks the kernel's types.
    ///
    /// # Errors
    /// A member that nothing goes without is not known, or the right was not granted.
    pub(crate) fn find(host: &mut impl GuestOs) -> Result<Self, Absence> {
        Ok(Self {
            binprm: Binprm::find(host)?,
            pgd: known(offset(host, "mm_struct.pgd", 8))?,
            tree: known(Tree::find(host))?,
        })
    }
}

/// Members of one structure, which is read at once.
struct Members<'a, H> {
    host: &'a mut H,
    of: &'static str,
    length: u32,
}

impl<'a, H: GuestOs> Members<'a, H> {
    fn of(of: &'static str, host: &'a mut H) -> Self {
        let length = 0;
        Self { host, of, length }
    }

    fn at(&mut self, name: &str, size: u32) -> Result<usize, Absence> {
        let path = format!("{}.{name}", self.of);
        let offset = offset(self.host, &path, size.into())?;
        let offset = u32::try_from(offset).map_err(|_| strange(&path))?;
        self.length = self.length.max(offset + size);
        usize::try_from(offset).map_err(|_| strange(&path))
    }
}

impl Binprm {
    fn find(host: &mut impl GuestOs) -> Result<Self, Absence> {
        let mut members = Members::of("linux_binprm", host);
        Ok(Self {
            filename: members.at("filename", 8)?,
            interp: members.at("interp", 8)?,
            argc: members.at("argc", 4)?,
            envc: members.at("envc", 4)?,
            p: known(members.at("p", 8))?,
            mm: known(members.at("mm", 8))?,
            file: known(members.at("file", 8))?,
            length: members.length,
        })
    }
}

impl Tree {
    fn find(host: &mut impl GuestOs) -> Result<Self, Absence> {
        let mut entry = Members::of("dentry", host);
        Ok(Self {
            parent: entry.at("d_parent", 8)?,
            name: entry.at("d_name.name", 8)?,
            name_length: entry.at("d_name.len", 4)?,
            entry_length: entry.length,
            file_mount: offset(host, "file.f_path.mnt", 8)?,
            file_entry: offset(host, "file.f_path.dentry", 8)?,
            root: offset(host, "vfsmount.mnt_root", 8)?,
            mounted: host.find_field("mount.mnt", None)?.offset,
            mount_parent: offset(host, "mount.mnt_parent", 8)?,
            mount_point: offset(host, "mount.mnt_mountpoint", 8)?,
        })
    }
}

/// Where a member of this size is in its own structure.
fn offset(host: &mut impl GuestOs, path: &str, size: u64) -> Result<u64, Absence> {
    let field = host.find_field(path, None)?;
    let is_plain = field.hops.is_empty() && field.bits.is_none() && field.size == size;
    let Field { offset, .. } = field;
    if is_plain && offset <= MOST - size {
        Ok(offset)
    } else {
        Err(strange(path))
    }
}

fn strange(path: &str) -> Absence {
    Absence::Unknown(format!("{path} is no member as any Linux has it"))
}

/// What one kernel may lack; a right that was not granted is no lack of the kernel's.
fn known<T>(found: Result<T, Absence>) -> Result<Option<T>, Absence> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(Absence::Unknown(_)) => Ok(None),
        Err(refused @ Absence::Refused(_)) => Err(refused),
    }
}
