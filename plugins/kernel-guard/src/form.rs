//! Instructions that a kernel puts at the places where it patches its own code. Owns how they look;
//! which may be where is the site's to say.

/// What stands at such a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Nothing happens.
    Nop,
    /// A jump, and where to.
    Jump(u64),
    /// A call, and what of.
    Call(u64),
    /// A jump under a condition.
    Condition(u64),
    /// The function returns; what follows does not run.
    Return,
    /// The result is made 0.
    Zero,
    /// The INT3 that stands in front while the rest is written.
    Breakpoint,
    /// Something else.
    Other,
}

/// Sequences of five bytes that do nothing, as kernels since 5.4 have them (`asm/nops.h`): of
/// P6, of K8, with a prefix, and a jump to the next instruction.
const NOPS: [[u8; 5]; 4] = [
    [0x0f, 0x1f, 0x44, 0x00, 0x00],
    [0x66, 0x66, 0x66, 0x66, 0x90],
    [0x3e, 0x8d, 0x74, 0x26, 0x00],
    [0xe9, 0x00, 0x00, 0x00, 0x00],
];
/// The one of two bytes.
const SHORT_NOP: [u8; 2] = [0x66, 0x90];
/// XOR of EAX or RAX with itself, in five bytes (`xor5rax` in `arch/x86/kernel/static_call.c`).
const ZEROS: [[u8; 5]; 2] = [
    [0x66, 0x66, 0x48, 0x31, 0xc0],
    [0x2e, 0x2e, 0x2e, 0x31, 0xc0],
];

impl Form {
    /// What the bytes of a site are, at their address.
    pub(crate) fn of(at: u64, bytes: &[u8]) -> Self {
        let known = |all: &[[u8; 5]]| all.iter().any(|one| one == bytes);
        match bytes {
            [0xcc, ..] => Self::Breakpoint,
            _ if known(&NOPS) || bytes == SHORT_NOP => Self::Nop,
            _ if known(&ZEROS) => Self::Zero,
            [0xc3, ..] => Self::Return,
            [0xe8, a, b, c, d] => Self::Call(near(at + 5, [*a, *b, *c, *d])),
            [0xe9, a, b, c, d] => Self::Jump(near(at + 5, [*a, *b, *c, *d])),
            [0x0f, 0x80..=0x8f, a, b, c, d] => Self::Condition(near(at + 6, [*a, *b, *c, *d])),
            [0xeb, short] => Self::Jump(short_of(at + 2, *short)),
            _ => Self::Other,
        }
    }
}

fn near(behind: u64, distance: [u8; 4]) -> u64 {
    behind.wrapping_add_signed(i32::from_le_bytes(distance).into())
}

fn short_of(behind: u64, distance: u8) -> u64 {
    behind.wrapping_add_signed(distance.cast_signed().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_told_by_its_bytes_and_leads_where_it_says() {
        for (bytes, form) in [
            (&[0x0f, 0x1f, 0x44, 0, 0][..], Form::Nop),
            (&[0x66, 0x66, 0x66, 0x66, 0x90], Form::Nop),
            (&[0x66, 0x90], Form::Nop),
            (&[0x2e, 0x2e, 0x2e, 0x31, 0xc0], Form::Zero),
            (&[0xc3, 0xcc, 0xcc, 0xcc, 0xcc], Form::Return),
            (&[0xcc, 0x1f, 0x44, 0, 0], Form::Breakpoint),
            (&[0xe8, 0xfb, 0xff, 0xff, 0xff], Form::Call(0x1000)),
            (&[0xe9, 0x10, 0, 0, 0], Form::Jump(0x1015)),
            (&[0x0f, 0x84, 0x10, 0, 0, 0], Form::Condition(0x1016)),
            (&[0xeb, 0xfe], Form::Jump(0x1000)),
            (&[0x90; 5], Form::Other),
            (&[0xe8, 0, 0, 0], Form::Other),
            (&[], Form::Other),
        ] {
            assert_eq!(Form::of(0x1000, bytes), form, "{bytes:x?}");
        }
    }
}
