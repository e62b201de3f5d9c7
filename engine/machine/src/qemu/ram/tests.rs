use std::io::Write as _;

use rustix::fs::{MemfdFlags, fcntl_add_seals, ftruncate, memfd_create};

use super::*;

fn block(gpa: Gpa, length: u64, offset: u64) -> Block {
    Block {
        gpa,
        length,
        offset,
        region: "mem0".to_owned(),
    }
}

/// Two pages side by side that are the other way round in the file, and a third behind a hole.
fn blocks() -> Vec<Block> {
    vec![
        block(0, 0x1000, 0x1000),
        block(0x1000, 0x1000, 0),
        block(0x4000, 0x1000, 0x2000),
    ]
}

fn contents() -> Vec<u8> {
    [vec![2; 0x1000], vec![1; 0x1000], vec![3; 0x1000]].concat()
}

fn plain() -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&contents()).unwrap();
    file
}

/// A sealed memfd, by the path that leads to it.
fn sealed() -> (File, PathBuf) {
    use std::os::fd::AsRawFd as _;
    let fd = memfd_create("ram", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    let mut file = File::from(fd);
    file.write_all(&contents()).unwrap();
    fcntl_add_seals(&file, SealFlags::SHRINK).unwrap();
    let path = format!("/proc/self/fd/{}", file.as_raw_fd()).into();
    (file, path)
}

fn reads_well(ram: &Ram) {
    let read = |gpa, length| {
        let mut bytes = vec![0; length];
        ram.read_at(gpa, &mut bytes).map(|()| bytes)
    };
    assert_eq!(read(0x10, 2), Ok(vec![1, 1]));
    assert_eq!(read(0x4ffe, 2), Ok(vec![3, 3]));
    assert_eq!(read(0xfff, 2), Ok(vec![1, 2]), "over two blocks");
    for (gpa, length) in [(0x1fff, 2), (0x2000, 1), (0x4fff, 2), (u64::MAX, 2)] {
        assert_eq!(read(gpa, length), Err(Refusal::NotFound), "{gpa:#x}");
    }
}

#[test]
fn ram_is_read_where_the_blocks_say_mapped_or_not() {
    let file = plain();
    let by_reading = Ram::open(file.path(), blocks()).unwrap();
    assert!(by_reading.mapping().is_none(), "anybody could truncate it");
    reads_well(&by_reading);
    let (_file, path) = sealed();
    let mapped = Ram::open(&path, blocks()).unwrap();
    assert!(mapped.mapping().is_some());
    reads_well(&mapped);
}

#[test]
fn a_file_that_is_truncated_meanwhile_is_no_more_than_not_there() {
    let file = plain();
    let ram = Ram::open(file.path(), blocks()).unwrap();
    ftruncate(file.as_file(), 0x1000).unwrap();
    assert_eq!(ram.read_at(0x1000, &mut [0; 8]), Ok(()));
    assert_eq!(ram.read_at(0, &mut [0; 8]), Err(Refusal::NotFound));
}

#[test]
fn a_file_of_the_wrong_size_is_refused_in_words() {
    let file = plain();
    file.as_file().set_len(0x1000).unwrap();
    let error = Ram::open(file.path(), blocks()).unwrap_err().to_string();
    assert!(error.contains("4096 bytes"), "{error}");
    assert!(error.contains("takes 12288"), "{error}");
}

#[test]
fn ranges_may_go_over_blocks_that_touch() {
    let blocks = blocks();
    for (gpa, length, all) in [
        (0, 0x2000, true),
        (0, 0x2001, false),
        (0x4000, 0, true),
        (0x3000, 0, false),
        (0xfff, 2, true),
        (u64::MAX, u64::MAX, false),
    ] {
        assert_eq!(covers(&blocks, gpa, length), all, "{gpa:#x} {length:#x}");
    }
    assert_eq!(end(&blocks), 0x5000);
}
