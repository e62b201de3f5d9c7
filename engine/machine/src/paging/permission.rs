//! Whether an access that the tables translate is also one that they allow (SDM vol. 3, 4.6).

use oriel_protocol::{Access, x86::Special};

use super::Translation;

const CR0_PG: u64 = 1 << 31;
const CR0_WP: u64 = 1 << 16;
const CR4_SMEP: u64 = 1 << 20;
const CR4_SMAP: u64 = 1 << 21;
const RFLAGS_AC: u64 = 1 << 18;

/// Who makes an access, as far as its right to it depends on that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accessor {
    /// At privilege level 3.
    pub user: bool,
    /// CR0.WP: read-only pages are so for the kernel too.
    pub write_protect: bool,
    /// CR4.SMEP: the kernel does not execute user pages.
    pub smep: bool,
    /// CR4.SMAP, and EFLAGS.AC does not lift it: the kernel does not touch user pages.
    pub smap: bool,
}

impl Accessor {
    /// A vCPU with these registers, by an instruction of its own. What the processor does on the
    /// guest's behalf (descriptor tables, stacks of faults) is a kernel's access at any level.
    pub const fn of(special: &Special, rflags: u64) -> Self {
        let paging = special.cr0 & CR0_PG != 0;
        Self {
            user: paging && special.cpl() == 3,
            write_protect: special.cr0 & CR0_WP != 0,
            smep: paging && special.cr4 & CR4_SMEP != 0,
            smap: paging && special.cr4 & CR4_SMAP != 0 && rflags & RFLAGS_AC == 0,
        }
    }
}

impl Translation {
    /// Whether the tables allow all of these kinds of access. Protection keys are not looked at.
    pub const fn permits(&self, access: Access, by: Accessor) -> bool {
        let (reads, writes) = (
            access.contains(Access::READ),
            access.contains(Access::WRITE),
        );
        let executes = access.contains(Access::EXECUTE);
        if (writes && !self.writable && (by.user || by.write_protect))
            || (executes && !self.executable)
        {
            return false;
        }
        if by.user {
            return self.user;
        }
        !self.user || !((executes && by.smep) || ((reads || writes) && by.smap))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KERNEL: Accessor = Accessor {
        user: false,
        write_protect: true,
        smep: true,
        smap: true,
    };
    const USER: Accessor = Accessor {
        user: true,
        ..KERNEL
    };

    fn page(writable: bool, user: bool, executable: bool) -> Translation {
        Translation {
            gpa: 0,
            page_size: 4096,
            writable,
            user,
            executable,
        }
    }

    #[test]
    fn user_mode_stays_out_of_the_kernels_pages() {
        for access in [Access::READ, Access::WRITE, Access::EXECUTE] {
            assert!(page(true, true, true).permits(access, USER));
            assert!(!page(true, false, true).permits(access, USER));
            assert!(page(true, false, true).permits(access, KERNEL));
        }
    }

    #[test]
    fn the_kernel_writes_read_only_pages_only_without_write_protection() {
        let unprotected = Accessor {
            write_protect: false,
            ..KERNEL
        };
        assert!(!page(false, false, true).permits(Access::WRITE, KERNEL));
        assert!(page(false, false, true).permits(Access::WRITE, unprotected));
        let user = Accessor {
            user: true,
            ..unprotected
        };
        assert!(!page(false, true, true).permits(Access::WRITE, user));
    }

    #[test]
    fn the_kernel_stays_out_of_user_pages_where_it_has_said_so() {
        let open = Accessor {
            smep: false,
            smap: false,
            ..KERNEL
        };
        for access in [Access::READ, Access::WRITE, Access::EXECUTE] {
            assert!(!page(true, true, true).permits(access, KERNEL));
            assert!(page(true, true, true).permits(access, open));
        }
        let special = Special {
            cr0: CR0_PG | CR0_WP,
            cr4: CR4_SMAP,
            ..Special::default()
        };
        assert!(Accessor::of(&special, 0).smap);
        assert!(!Accessor::of(&special, RFLAGS_AC).smap, "as STAC lifts it");
    }

    #[test]
    fn no_execute_is_so_for_everybody() {
        assert!(!page(true, true, false).permits(Access::EXECUTE, USER));
        assert!(!page(true, false, false).permits(Access::EXECUTE, KERNEL));
        let nothing = Accessor::of(&Special::default(), 0);
        assert_eq!(nothing, Accessor::default(), "without paging all goes");
    }
}
