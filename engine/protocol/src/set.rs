//! Small sets of bits with names. the macro here makes one; the tables make the masks over their rows.

/// Makes a set type out of named bits.
macro_rules! flags {
    (
        $(#[$doc:meta])*
        pub struct $name:ident: $bits:ty {
            $( $(#[$bit_doc:meta])* $bit:ident = $value:expr, $word:literal; )*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, Hash, bincode::Encode, bincode::Decode)]
        pub struct $name($bits);

        impl $name {
            $( $(#[$bit_doc])* pub const $bit: Self = Self($value); )*
            /// No bit.
            pub const NONE: Self = Self(0);
            /// Every bit that has a name.
            pub const ALL: Self = Self(0 $(| $value)*);
            /// Each bit with its name, lowest first.
            pub const NAMES: &'static [(Self, &'static str)] = &[$((Self($value), $word)),*];

            /// The set with these bits; none if one of them has no name.
            pub const fn from_bits(bits: $bits) -> Option<Self> {
                if bits & !Self::ALL.0 == 0 { Some(Self(bits)) } else { None }
            }
            /// The bits.
            pub const fn bits(self) -> $bits {
                self.0
            }
            /// Whether all of `other` is in it.
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }
            /// Whether they share a bit.
            pub const fn intersects(self, other: Self) -> bool {
                self.0 & other.0 != 0
            }
            /// Whether nothing is in it.
            pub const fn is_empty(self) -> bool {
                self.0 == 0
            }
            /// Both together.
            pub const fn union(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }
            /// What is in both.
            pub const fn intersection(self, other: Self) -> Self {
                Self(self.0 & other.0)
            }
            /// This one without the bits of the other.
            pub const fn difference(self, other: Self) -> Self {
                Self(self.0 & !other.0)
            }
            /// The names of the bits in it.
            pub fn names(self) -> impl Iterator<Item = &'static str> {
                Self::NAMES.iter().filter(move |(bit, _)| self.contains(*bit)).map(|(_, name)| *name)
            }
        }

        impl std::ops::BitOr for $name {
            type Output = Self;
            fn bitor(self, other: Self) -> Self {
                self.union(other)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.debug_set().entries(self.names()).finish()
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_seq(self.names())
            }
        }
    };
}
pub(crate) use flags;
