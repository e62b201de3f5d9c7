//! What the policy makes of a value: of its two low bytes.

/// Whether the value is one of those below 16, which are the kernel's own.
pub(crate) const fn is_the_kernels(value: u64) -> bool {
    low(value) < 16
}

/// How often two divides it.
pub(crate) const fn rank(value: u64) -> usize {
    low(value).trailing_zeros() as usize
}

const fn low(value: u64) -> u16 {
    let [low, high, ..] = value.to_le_bytes();
    u16::from_le_bytes([low, high])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_bytes_count() {
        assert!(is_the_kernels(0xffff_0000_000f));
        assert!(!is_the_kernels(0x100));
        assert_eq!((rank(0x100), rank(0)), (8, 16));
    }
}
