//! Unpacks what Debian has packed: kernels, and modules since 6.10. Knows XZ and Zstandard.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// How a stream begins.
pub(super) const XZ: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];

/// How a frame of Zstandard begins (RFC 8878, section 3.1.1).
pub(super) const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// What is in this frame, whatever follows it.
pub(super) fn zstd(payload: &[u8]) -> Result<Vec<u8>> {
    let mut frame = ruzstd::decoding::StreamingDecoder::new(payload)?;
    let mut whole = Vec::new();
    frame.read_to_end(&mut whole)?;
    Ok(whole)
}

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
