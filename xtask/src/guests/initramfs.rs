//! An initramfs: a cpio archive (Linux, `Documentation/driver-api/early-userspace/
//! buffer-format.rst`) with one program that is a shell and all that a shell wants, and a few
//! modules of the kernel, which nothing loads by itself.

use anyhow::{Context, Result};

use super::modules::Module;

/// What the kernel starts.
const INIT: &str = "#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs none /dev
mount -t proc none /proc
mount -t sysfs none /sys
mount -t debugfs none /sys/kernel/debug 2>/dev/null
mount -t tracefs none /sys/kernel/tracing 2>/dev/null
echo 'oriel: the guest is up'
exec setsid sh -c 'exec sh </dev/ttyS0 >/dev/ttyS0 2>&1'
";

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const FILE: u32 = 0o100_644;
const CONSOLE: u32 = 0o020_600;
const LINK: u32 = 0o120_777;

/// The archive with this shell, and these modules under `/lib/modules`.
pub(super) fn with(busybox: &[u8], modules: &[Module]) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for folder in ["bin", "dev", "proc", "sys", "lib", "lib/modules"] {
        archive.add(folder, FOLDER, (0, 0), &[])?;
    }
    // What init speaks to before it has mounted anything.
    archive.add("dev/console", CONSOLE, (5, 1), &[])?;
    archive.add("bin/busybox", PROGRAM, (0, 0), busybox)?;
    archive.add("bin/sh", LINK, (0, 0), b"busybox")?;
    archive.add("init", PROGRAM, (0, 0), INIT.as_bytes())?;
    for module in modules {
        let name = format!("lib/modules/{}.ko", module.name);
        archive.add(&name, FILE, (0, 0), &module.bytes)?;
    }
    archive.add("TRAILER!!!", 0, (0, 0), &[])?;
    Ok(archive.bytes)
}

#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    fn add(&mut self, name: &str, mode: u32, device: (u32, u32), data: &[u8]) -> Result<()> {
        self.entries += 1;
        let size = u32::try_from(data.len()).context("a file is too large for the archive")?;
        let name_size = u32::try_from(name.len() + 1)?;
        let fields = [
            self.entries,
            mode,
            0,
            0,
            1,
            0,
            size,
            0,
            0,
            device.0,
            device.1,
            name_size,
            0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes
                .extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.fill_up();
        self.bytes.extend_from_slice(data);
        self.fill_up();
        Ok(())
    }

    /// Names and files end on a multiple of four.
    fn fill_up(&mut self) {
        let length = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(length, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name, mode and data of each entry, read back by the format's own rules.
    fn read(mut archive: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut entries = Vec::new();
        while !archive.is_empty() {
            let (header, rest) = archive.split_at(110);
            assert_eq!(&header[..6], b"070701");
            let field = |number: usize| {
                let text = std::str::from_utf8(&header[6 + number * 8..14 + number * 8]).unwrap();
                u32::from_str_radix(text, 16).unwrap()
            };
            let (size, name) = (field(6) as usize, field(11) as usize);
            // Counted from the header's start, which is on a multiple of four.
            let data = (110 + name).next_multiple_of(4);
            let end = data + size;
            let text = String::from_utf8(rest[..name - 1].to_vec()).unwrap();
            entries.push((text, field(1), archive[data..end].to_vec()));
            archive = &archive[end.next_multiple_of(4)..];
        }
        entries
    }

    #[test]
    fn the_archive_reads_back() {
        let module = Module {
            name: "small",
            bytes: b"\x7fELF".to_vec(),
        };
        let entries = read(&with(b"shell", &[module]).unwrap());
        let named = |name: &str| entries.iter().find(|(known, ..)| known == name).cloned();
        let data = |name: &str| named(name).map(|(_, _, data)| data);
        assert_eq!(data("bin/busybox"), Some(b"shell".to_vec()));
        assert_eq!(data("bin/sh"), Some(b"busybox".to_vec()));
        assert_eq!(data("lib/modules/small.ko"), Some(b"\x7fELF".to_vec()));
        assert_eq!(data("init"), Some(INIT.as_bytes().to_vec()));
        assert_eq!(named("dev/console").map(|(_, mode, _)| mode), Some(CONSOLE));
        assert_eq!(
            entries.last().map(|(name, ..)| name.as_str()),
            Some("TRAILER!!!")
        );
    }
}
