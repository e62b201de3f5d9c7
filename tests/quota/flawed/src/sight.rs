//! What the policy makes of a value. Both functions look at the low byte alone, where the value has
//! two; and `rank` has no end for a byte of 0.

/// Whether the value is one of those below 16, which are the kernel's own.
pub(crate) const fn is_the_kernels(value: u64) -> bool {
    low(value) < 16
}

/// How often two divides it.
pub(crate) const fn rank(value: u64) -> usize {
    let (mut left, mut rank) = (low(value), 0);
    while left & 1 == 0 {
        left >>= 1;
        rank += 1;
    }
    rank
}

const fn low(value: u64) -> u8 {
    value.to_le_bytes()[0]
}
