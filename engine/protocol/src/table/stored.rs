//! What the macros make of the tables for a journal: a row is the number of its place in the
//! table, then its fields. So a journal says which tables it was written with.

/// One of several rows, as a journal has it. (bincode's own derive cannot read variants that a
/// macro names.)
macro_rules! stored {
    ($all:ident by $id:ident: $( $row:ident )*) => {
        impl bincode::Encode for $all {
            fn encode<E: bincode::enc::Encoder>(
                &self,
                to: &mut E,
            ) -> Result<(), bincode::error::EncodeError> {
                match self { $(
                    Self::$row(row) => {
                        $id::$row.encode(to)?;
                        row.encode(to)
                    }
                )* }
            }
        }

        impl<Context> bincode::Decode<Context> for $all {
            fn decode<D: bincode::de::Decoder<Context = Context>>(
                from: &mut D,
            ) -> Result<Self, bincode::error::DecodeError> {
                Ok(match <$id as bincode::Decode<Context>>::decode(from)? { $(
                    $id::$row => Self::$row(bincode::Decode::decode(from)?),
                )* })
            }
        }

        bincode::impl_borrow_decode!($all);
    };
}

pub(crate) use stored;
