//! Values whose bytes in memory are known by their type. Reads none.

/// A value of fixed layout, little-endian: integers, `bool` of a byte that is not 0, arrays of
/// those, and tuples of up to eight, one behind the other. A tuple has no padding of its own: write
/// that of the guest's structure as `[u8; N]`.
///
/// ```
/// use oriel_sdk::Fixed;
///
/// let bytes = [1, 0, 0, 0, 2, 3, 4, 5];
/// assert_eq!(<(u32, u16, [u8; 2])>::from_bytes(&bytes), Some((1, 0x302, [4, 5])));
/// assert_eq!(<(u32, u16, [u8; 2])>::SIZE, 8);
/// assert_eq!(u64::from_bytes(&bytes[1..]), None);
/// assert_eq!(<u16 as Fixed>::at(&bytes, 4), Some(0x302));
/// ```
pub trait Fixed: Sized {
    /// How many bytes it takes.
    const SIZE: usize;

    /// The value at the beginning of these bytes; none if there are too few.
    fn from_bytes(bytes: &[u8]) -> Option<Self>;

    /// The value at an offset; none if it does not lie within.
    fn at(bytes: &[u8], offset: usize) -> Option<Self> {
        Self::from_bytes(bytes.get(offset..)?)
    }
}

macro_rules! integers {
    ($($integer:ty)*) => { $(
        impl Fixed for $integer {
            const SIZE: usize = size_of::<$integer>();

            fn from_bytes(bytes: &[u8]) -> Option<Self> {
                Some(Self::from_le_bytes(*bytes.first_chunk()?))
            }
        }
    )* };
}

integers!(u8 u16 u32 u64 u128 i8 i16 i32 i64 i128);

impl Fixed for bool {
    const SIZE: usize = 1;

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.first().map(|byte| *byte != 0)
    }
}

impl<T: Fixed, const N: usize> Fixed for [T; N] {
    const SIZE: usize = T::SIZE * N;

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let each = (0..N).map(|at| T::from_bytes(bytes.get(at * T::SIZE..)?));
        let all: Option<Vec<T>> = each.collect();
        all?.try_into().ok()
    }
}

macro_rules! tuples {
    ($($($name:ident)+;)*) => { $(
        impl<$($name: Fixed),+> Fixed for ($($name,)+) {
            const SIZE: usize = 0 $(+ $name::SIZE)+;

            fn from_bytes(bytes: &[u8]) -> Option<Self> {
                let mut rest = bytes;
                Some(($(next::<$name>(&mut rest)?,)+))
            }
        }
    )* };
}

tuples! {
    A;
    A B;
    A B C;
    A B C D;
    A B C D E;
    A B C D E F;
    A B C D E F G;
    A B C D E F G H;
}

fn next<T: Fixed>(rest: &mut &[u8]) -> Option<T> {
    let (own, behind) = rest.split_at_checked(T::SIZE)?;
    *rest = behind;
    T::from_bytes(own)
}
