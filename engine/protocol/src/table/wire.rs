//! What the macros make of the tables for a KVMI wire: a row with a number in any dialect must
//! have a layout, or it does not compile; a row without one has no decoder.

/// One of two: the first for a row that a dialect has a number for, the second for the others.
macro_rules! spoken {
    ([_ _ _ _] $spoken:expr, $ours:expr) => {
        $ours
    };
    ([$($number:tt)*] $spoken:expr, $ours:expr) => {
        $spoken
    };
}

/// What a table of commands is on a KVMI wire.
///
/// A row with a number must have a [`Layout`](crate::kvmi::Layout). The table of services has
/// neither: nothing of it reaches a wire.
macro_rules! wire {
    (Service $($rest:tt)*) => {};
    (
        $scope:ident $call:ident $reply:ident $id:ident:
        $( $row:ident $numbers:tt )*
    ) => {
        impl $id {
            /// The row of this number in this dialect.
            pub fn of(dialect: $crate::Dialect, number: u16) -> Option<Self> {
                Self::ALL.iter().copied().find(|id| id.numbers().of(dialect) == Some(number))
            }
            /// Whether a successful answer carries data.
            pub const fn returns_data(self) -> bool {
                match self { $(
                    Self::$row => $crate::table::spoken!($numbers
                        <$row as $crate::kvmi::Layout>::RETURNS_DATA, false),
                )* }
            }
        }

        impl $call {
            /// The request out of its payload, what goes before it already read.
            ///
            /// # Errors
            /// [`Flaw`](crate::kvmi::Flaw) where the payload breaks a rule of the dialect, or the
            /// row is spoken in none.
            pub fn decode(
                id: $id,
                from: &mut $crate::kvmi::bytes::Reader<'_>,
            ) -> Result<Self, $crate::kvmi::Flaw> {
                match id { $(
                    $id::$row => $crate::table::spoken!($numbers
                        <$row as $crate::kvmi::Layout>::take(from).map(Self::$row),
                        Err($crate::kvmi::Errno::OPNOTSUPP.into())),
                )* }
            }
            /// Writes the request; nothing if the row is spoken in no dialect.
            pub fn encode(&self, to: &mut $crate::kvmi::bytes::Writer) {
                match self { $(
                    Self::$row(request) => $crate::table::spoken!($numbers
                        $crate::kvmi::Layout::put(request, to), { let _ = request; }),
                )* }
            }
        }

        impl $reply {
            /// Writes the data of the answer; nothing if the row is spoken in no dialect.
            pub fn encode(&self, to: &mut $crate::kvmi::bytes::Writer) {
                match self { $(
                    Self::$row(answer) => $crate::table::spoken!($numbers
                        <$row as $crate::kvmi::Layout>::put_reply(answer, to), { let _ = answer; }),
                )* }
            }
            /// The answer out of its data, the error code already read.
            ///
            /// # Errors
            /// [`Malformed`](crate::kvmi::Malformed) if it makes no sense, or the row is spoken in
            /// no dialect.
            pub fn decode(
                id: $id,
                from: &mut $crate::kvmi::bytes::Reader<'_>,
            ) -> Result<Self, $crate::kvmi::Malformed> {
                match id { $(
                    $id::$row => $crate::table::spoken!($numbers
                        <$row as $crate::kvmi::Layout>::take_reply(from).map(Self::$row),
                        Err($crate::kvmi::Malformed::NotSpoken {
                            what: id.name(),
                            dialect: from.dialect(),
                        })),
                )* }
            }
        }
    };
}

/// What the table of events is on a KVMI wire.
///
/// A row with a number must be [`Specific`](crate::kvmi::event::Specific), or it does not compile.
macro_rules! wire_events {
    ($( $row:ident $numbers:tt )*) => {
        impl EventKind {
            /// The row of this number in this dialect.
            pub fn of(dialect: $crate::Dialect, number: u16) -> Option<Self> {
                Self::ALL.iter().copied().find(|kind| kind.numbers().of(dialect) == Some(number))
            }
        }

        impl EventData {
            /// Writes what the kind has of its own; nothing if it is spoken in no dialect.
            pub(crate) fn encode(&self, to: &mut $crate::kvmi::bytes::Writer) {
                match self { $(
                    Self::$row(event) => $crate::table::spoken!($numbers
                        $crate::kvmi::event::Specific::put(event, to), { let _ = event; }),
                )* }
            }
            /// Reads what the kind has of its own, and fills in the rest from the vCPU's state.
            pub(crate) fn decode(
                kind: EventKind,
                from: &mut $crate::kvmi::bytes::Reader<'_>,
                state: &$crate::kvmi::Snapshot,
            ) -> Result<Self, $crate::kvmi::Malformed> {
                match kind { $(
                    EventKind::$row => $crate::table::spoken!($numbers
                        <$row as $crate::kvmi::event::Specific>::take(from, state)
                            .map(Self::$row),
                        Err($crate::kvmi::Malformed::NotSpoken {
                            what: kind.name(),
                            dialect: from.dialect(),
                        })),
                )* }
            }
        }
    };
}

pub(crate) use {spoken, wire, wire_events};
