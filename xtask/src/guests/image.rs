//! Takes the vmlinux out of a bzImage (Linux, `Documentation/arch/x86/boot.rst`, `payload_offset`).

use anyhow::{Context, Result, bail, ensure};

use super::unpacked::{XZ, ZSTD, xz, zstd};

/// LZ4's legacy frame: this, then blocks of a length and that many bytes.
const LZ4: &[u8] = &[0x02, 0x21, 0x4c, 0x18];
/// The most bytes that one block unpacks to.
const LZ4_BLOCK: usize = 8 << 20;

/// The vmlinux in these bytes of a bzImage.
pub(super) fn unpack(image: &[u8]) -> Result<Vec<u8>> {
    let payload = payload(image).context("this is no bzImage, or it is cut short")?;
    let vmlinux = if payload.starts_with(LZ4) {
        lz4(&payload[LZ4.len()..])?
    } else if payload.starts_with(XZ) {
        xz(payload)?
    } else if payload.starts_with(ZSTD) {
        zstd(payload)?
    } else {
        bail!("the kernel is packed in a way that is not known here: not by LZ4, XZ or Zstandard")
    };
    ensure!(
        vmlinux.starts_with(b"\x7fELF"),
        "what is packed is no ELF file"
    );
    Ok(vmlinux)
}

/// The packed part, behind the setup sectors.
fn payload(image: &[u8]) -> Option<&[u8]> {
    if image.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let sectors = match *image.get(0x1f1)? {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let start = (sectors + 1) * 512 + number(image, 0x248)?;
    image.get(start..start.checked_add(number(image, 0x24c)?)?)
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at + 4)?.try_into().ok()?;
    usize::try_from(u32::from_le_bytes(bytes)).ok()
}

/// The kernel's build puts the length of the whole behind the last block, where another block's
/// length would be; nothing follows it.
fn lz4(mut blocks: &[u8]) -> Result<Vec<u8>> {
    let mut whole = Vec::new();
    while let Some(length) = number(blocks, 0) {
        let Some(block) = blocks.get(4..4 + length).filter(|block| !block.is_empty()) else {
            break;
        };
        let mut piece = vec![0; LZ4_BLOCK];
        let length_unpacked = lz4_flex::block::decompress_into(block, &mut piece)?;
        whole.extend_from_slice(&piece[..length_unpacked]);
        blocks = &blocks[4 + length..];
    }
    ensure!(
        number(blocks, 0) == Some(whole.len() & 0xffff_ffff),
        "the packed kernel is cut short"
    );
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bzImage of one setup sector with this payload.
    fn image(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 0x400];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x24c..0x250].copy_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
        image.extend_from_slice(payload);
        image
    }

    fn lz4_payload(parts: &[&[u8]]) -> Vec<u8> {
        let mut payload = LZ4.to_vec();
        for part in parts {
            let block = lz4_flex::block::compress(part);
            payload.extend(u32::try_from(block.len()).unwrap().to_le_bytes());
            payload.extend(block);
        }
        let whole: usize = parts.iter().map(|part| part.len()).sum();
        payload.extend(u32::try_from(whole).unwrap().to_le_bytes());
        payload
    }

    #[test]
    fn blocks_are_put_together() -> Result<()> {
        let second = vec![7; 5000];
        let packed = lz4_payload(&[b"\x7fELF first", &second]);
        let whole = unpack(&image(&packed))?;
        assert_eq!(whole, [b"\x7fELF first".as_slice(), &second].concat());
        Ok(())
    }

    #[test]
    fn what_is_cut_short_or_something_else_is_refused() {
        let packed = lz4_payload(&[b"\x7fELF"]);
        let short = image(&packed[..packed.len() - 5]);
        assert!(unpack(&short).is_err());
        assert!(unpack(&image(b"BZh9")).is_err());
        assert!(unpack(&lz4_payload(&[b"text"])).is_err(), "no bzImage");
        assert!(unpack(&image(&lz4_payload(&[b"text"]))).is_err(), "no ELF");
    }
}
