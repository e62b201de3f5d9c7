use std::{fs, path::PathBuf};

use vm_memory::GuestMemoryMmap;

use super::*;
use crate::GuestMemory as _;

/// A file of these bytes, gone with the test.
struct Written(PathBuf);

impl Written {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let name = format!("oriel-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, bytes).unwrap();
        Self(path)
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        // It may be gone already; nobody minds.
        let _ = fs::remove_file(&self.0);
    }
}

fn put(bytes: &mut [u8], at: usize, number: u64, size: usize) {
    bytes[at..at + size].copy_from_slice(&number.to_le_bytes()[..size]);
}

/// A vmlinux with one segment of four bytes at 16 MiB, and a PVH entry if asked for.
fn elf(with_entry: bool) -> Vec<u8> {
    let mut bytes = vec![0; 0x200];
    bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
    put(&mut bytes, 18, 62, 2);
    put(&mut bytes, 24, 0x100_0000, 8);
    put(&mut bytes, 32, 64, 8);
    put(&mut bytes, 54, 56, 2);
    put(&mut bytes, 56, 2, 2);
    for (header, kind, offset, length) in [(64, 1, 0x100, 4), (120, 4, 0x180, 20)] {
        put(&mut bytes, header, kind, 4);
        put(&mut bytes, header + 8, offset, 8);
        put(&mut bytes, header + 24, 0x100_0000, 8);
        put(&mut bytes, header + 32, length, 8);
        put(&mut bytes, header + 40, 0x2000, 8);
        put(&mut bytes, header + 48, 4, 8);
    }
    bytes[0x100..0x104].copy_from_slice(b"code");
    put(&mut bytes, 0x180, 4, 4);
    put(&mut bytes, 0x184, 4, 4);
    put(&mut bytes, 0x188, if with_entry { 18 } else { 17 }, 4);
    bytes[0x18c..0x190].copy_from_slice(b"Xen\0");
    put(&mut bytes, 0x190, 0x100_0100, 4);
    bytes
}

/// A bzImage of one setup sector, that prefers 16 MiB and takes 1 MiB.
fn bzimage() -> Vec<u8> {
    let mut bytes = vec![0; 0x600];
    bytes[0x1f1] = 1;
    bytes[0x202..0x206].copy_from_slice(b"HdrS");
    put(&mut bytes, 0x206, 0x20f, 2);
    bytes[0x211] = 1;
    put(&mut bytes, 0x214, 0x10_0000, 4);
    put(&mut bytes, 0x22c, 0x7fff_ffff, 4);
    put(&mut bytes, 0x236, 1, 2);
    put(&mut bytes, 0x258, 0x100_0000, 8);
    put(&mut bytes, 0x260, 0x10_0000, 4);
    bytes[0x400..0x404].copy_from_slice(b"code");
    bytes
}

fn memory(mib: usize) -> GuestMemoryMmap<()> {
    GuestMemoryMmap::from_ranges(&[(GuestAddress(0), mib << 20)]).unwrap()
}

fn bytes_at(memory: &GuestMemoryMmap<()>, gpa: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    memory.read_at(gpa, &mut bytes).unwrap();
    bytes
}

#[test]
fn a_vmlinux_is_told_of_its_initramfs_and_command_line() {
    let (file, initrd) = (
        Written::new("elf", &elf(true)),
        Written::new("initrd", &[7; 5000]),
    );
    let kernel = Kernel::read(&file.0, Some(&initrd.0), "quiet").unwrap();
    let memory = memory(32);
    kernel.load(&memory, 2).unwrap();
    assert_eq!(bytes_at(&memory, 0x100_0000, 4), b"code");
    let info = |offset| memory.read_u64(layout::START_INFO + offset).unwrap();
    assert_eq!(info(0) & 0xffff_ffff, 0x336e_c578);
    assert_eq!(bytes_at(&memory, info(24), 6), b"quiet\0");
    let (start, size) = (
        memory.read_u64(info(16)).unwrap(),
        memory.read_u64(info(16) + 8).unwrap(),
    );
    assert_eq!((start, size), ((32 << 20) - 0x2000, 5000));
    assert_eq!(bytes_at(&memory, start, 5000), [7; 5000]);
    assert_eq!(bytes_at(&memory, mp_table::PLACE, 4), b"_MP_");
    let ranges = usize::try_from(info(48) & 0xffff_ffff).unwrap();
    assert_eq!(ranges, 2, "below the firmware's tables, and from 1 MiB on");
    assert_eq!(memory.read_u64(info(40) + 24).unwrap(), 1 << 20);
    assert!(matches!(
        kernel.shape,
        Shape::Elf {
            entry: 0x100_0100,
            ..
        }
    ));
}

#[test]
fn a_bzimage_is_told_by_its_zero_page() {
    let (file, initrd) = (
        Written::new("bz", &bzimage()),
        Written::new("bz-initrd", &[7; 10]),
    );
    let kernel = Kernel::read(&file.0, Some(&initrd.0), "quiet").unwrap();
    let memory = memory(32);
    kernel.load(&memory, 1).unwrap();
    assert_eq!(bytes_at(&memory, 0x10_0000, 4), b"code");
    let page = |offset, length| bytes_at(&memory, layout::ZERO_PAGE + offset, length);
    assert_eq!(page(0x202, 4), b"HdrS");
    assert_eq!(page(0x210, 1), [0xff], "the loader");
    assert_eq!(page(0x228, 4), 0x2_0000u32.to_le_bytes());
    assert_eq!(page(0x218, 4), ((32u32 << 20) - 0x1000).to_le_bytes());
    assert_eq!(page(0x21c, 4), 10u32.to_le_bytes());
    assert_eq!(page(0x1e8, 1), [2], "ranges of memory");
}

#[test]
fn what_cannot_be_run_is_named_with_the_next_step() {
    let said = |name: &str, bytes: &[u8], command_line: &str| {
        let file = Written::new(name, bytes);
        let error = Kernel::read(&file.0, None, command_line)
            .unwrap_err()
            .to_string();
        assert!(error.contains(name) || name.is_empty(), "{error}");
        error
    };
    assert!(said("text", b"hello", "").contains("neither an ELF file nor a bzImage"));
    assert!(said("void", b"", "").contains("is empty"));
    assert!(said("no-pvh", &elf(false), "").contains("CONFIG_PVH"));
    let mut old = bzimage();
    put(&mut old, 0x206, 0x204, 2);
    assert!(said("old", &old, "").contains("64-bit entry"));
    let mut foreign = elf(true);
    put(&mut foreign, 18, 183, 2);
    assert!(said("arm", &foreign, "").contains("x86-64"));
    let file = Written::new("long", &elf(true));
    let long = Kernel::read(&file.0, None, &"x".repeat(2048))
        .unwrap_err()
        .to_string();
    assert!(
        long.contains("2048 bytes long") && long.contains("2047"),
        "{long}"
    );
    let missing = Kernel::read(Path::new("/no/such/kernel"), None, "")
        .unwrap_err()
        .to_string();
    assert!(
        missing.contains("/no/such/kernel cannot be read"),
        "{missing}"
    );
}

#[test]
fn too_little_memory_is_said_in_mib() {
    let (file, initrd) = (
        Written::new("big", &elf(true)),
        Written::new("big-rd", &[7; 1 << 20]),
    );
    let kernel = Kernel::read(&file.0, Some(&initrd.0), "").unwrap();
    for mib in [16, 17] {
        let error = kernel.load(&memory(mib), 1).unwrap_err().to_string();
        assert!(
            error.contains("take 18 MiB") && error.contains("--memory"),
            "{error}"
        );
    }
    kernel.load(&memory(18), 1).unwrap();
}

#[test]
fn headers_that_lie_are_no_panic() {
    for at in 0..0x200 {
        for value in [0xff, 0x7f, 0x01] {
            let mut bytes = elf(true);
            bytes[at] = value;
            let file = Written::new("lies", &bytes);
            if let Ok(kernel) = Kernel::read(&file.0, None, "") {
                // Refused or loaded; nothing else.
                let _ = kernel.load(&memory(20), 1);
            }
        }
    }
}
