//! Unpacks what Debian has packed with XZ: kernels, and modules since 6.10. Knows no other packing.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// How a stream begins.
pub(super) const XZ: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];

/// What is in this stream, whatever follows it, by the program `xz`, which Debian has everywhere.
pub(super) fn xz(payload: &[u8]) -> Result<Vec<u8>> {
    let mut xz = Command::new("xz")
        .args(["--decompress", "--stdout", "--single-stream", "--quiet"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("the kernel and its modules are packed with XZ: install `xz-utils`")?;
    let mut input = xz.stdin.take().context("xz takes input")?;
    let payload = payload.to_vec();
    // What is behind the stream (its length) is not read: xz closes its end.
    let feeding = std::thread::spawn(move || input.write_all(&payload).ok());
    let output = xz.wait_with_output()?;
    feeding.join().ok();
    ensure!(!output.stdout.is_empty(), "xz has unpacked nothing");
    Ok(output.stdout)
}
