//! The macros that read the tables. Nobody edits them to add a row.

mod stored;
mod wire;

/// One column entry: a number, or `_` where the dialect lacks the row.
macro_rules! number {
    (_) => {
        None
    };
    ($number:literal) => {
        Some($number)
    };
}

/// One column entry: the right that carries the row, or `_` where only tools have it.
macro_rules! right {
    (_) => {
        None
    };
    ($right:ident) => {
        Some($crate::grant::Right::$right)
    };
}

/// Reads a table of commands of one scope.
///
/// Each row yields its request type with [`Request`](crate::Request); the table yields the
/// numbers, the typed call that travels, its reply, and the trait of whoever does the work.
macro_rules! commands {
    (
        $(#[$doc:meta])*
        $call:ident, $reply:ident, $id:ident, $handler:ident in $scope:ident:
        $(
            $(#[$row_doc:meta])*
            $row:ident { $( $(#[$field_doc:meta])* $field:ident: $type:ty ),* $(,)? } -> $answer:ty
                = $name:literal [$rfc6:tt $v6:tt $v7:tt $v12:tt] $right:tt;
        )*
    ) => {
        $(
            $(#[$row_doc])*
            #[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
            pub struct $row { $( $(#[$field_doc])* pub $field: $type, )* }

            impl $crate::commands::Request for $row {
                type Reply = $answer;
                type Scope = $scope;
                const ID: $crate::commands::CommandId = $crate::commands::CommandId::$scope($id::$row);
                fn into_call(self) -> $call { $call::$row(self) }
                fn from_reply(reply: $reply) -> Option<$answer> {
                    if let $reply::$row(answer) = reply { Some(answer) } else { None }
                }
            }
        )*

        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "a variant is documented by its type")]
        pub enum $call { $( $row($row), )* }

        #[doc = concat!("What a [`", stringify!($call), "`] answers.")]
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "a variant is documented by the reply's type")]
        pub enum $reply { $( $row($answer), )* }

        #[doc = concat!("Which [`", stringify!($call), "`].")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
        #[expect(missing_docs, reason = "a variant is documented by the request's type")]
        pub enum $id { $( $row, )* }

        impl $id {
            /// Every row, in the table's order.
            pub const ALL: &'static [Self] = &[$(Self::$row),*];
            /// The canonical name.
            pub const fn name(self) -> &'static str {
                match self { $( Self::$row => $name, )* }
            }
            /// The numbers on the wire.
            pub const fn numbers(self) -> $crate::dialect::Numbers {
                match self { $(
                    Self::$row => $crate::dialect::Numbers(
                        [number!($rfc6), number!($v6), number!($v7), number!($v12)]),
                )* }
            }
            /// The right of a policy that carries it; none: only tools have it.
            pub const fn right(self) -> Option<$crate::grant::Right> {
                match self { $( Self::$row => right!($right), )* }
            }
        }

        impl $call {
            /// Which row it is.
            pub const fn id(&self) -> $id {
                match self { $( Self::$row(_) => $id::$row, )* }
            }
            /// Has it done.
            ///
            /// # Errors
            /// Whatever the handler of its row refuses with.
            pub fn run(self, handler: &mut impl $handler) -> Result<$reply, $crate::Refusal> {
                match self { $( Self::$row(request) => handler.handle(request).map($reply::$row), )* }
            }
        }

        $crate::table::stored! { $call by $id: $( $row )* }
        $crate::table::stored! { $reply by $id: $( $row )* }
        $crate::table::wire! { $scope $call $reply $id: $( $row [$rfc6 $v6 $v7 $v12] )* }

        #[doc = concat!("Whoever does the work of every [`", stringify!($call), "`].")]
        pub trait $handler: $( $crate::commands::Handle<$row> + )* {}
        impl<T: $( $crate::commands::Handle<$row> + )*> $handler for T {}
    };
}

/// Reads the table of events.
macro_rules! events {
    ($(
        $(#[$row_doc:meta])*
        $row:ident { $( $(#[$field_doc:meta])* $field:ident: $type:ty ),* $(,)? }
            = $name:literal [$rfc6:tt $v6:tt $v7:tt $v12:tt] $class:ident can $($verdict:ident)*;
    )*) => {
        $(
            $(#[$row_doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
            pub struct $row { $( $(#[$field_doc])* pub $field: $type, )* }

            impl From<$row> for EventData {
                fn from(row: $row) -> Self { Self::$row(row) }
            }
        )*

        /// A kind of event.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
        #[expect(missing_docs, reason = "a variant is documented by the type of its data")]
        pub enum EventKind { $( $row, )* }

        /// What happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "a variant is documented by its type")]
        pub enum EventData { $( $row($row), )* }

        impl EventKind {
            /// Every row, in the table's order.
            pub const ALL: &'static [Self] = &[$(Self::$row),*];
            /// The canonical name.
            pub const fn name(self) -> &'static str {
                match self { $( Self::$row => $name, )* }
            }
            /// The numbers on the wire.
            pub const fn numbers(self) -> Numbers {
                match self { $(
                    Self::$row => Numbers([number!($rfc6), number!($v6), number!($v7), number!($v12)]),
                )* }
            }
            /// Who raises it, and whether it is answered.
            pub const fn class(self) -> EventClass {
                match self { $( Self::$row => EventClass::$class, )* }
            }
            /// The verdicts that an event of this kind can take where the mechanism allows.
            pub const fn verdicts(self) -> VerdictSet {
                match self { $(
                    Self::$row => VerdictSet::NONE $(.union(VerdictSet::$verdict))*,
                )* }
            }
        }

        $crate::table::stored! { EventData by EventKind: $( $row )* }
        $crate::table::wire_events! { $( $row [$rfc6 $v6 $v7 $v12] )* }

        impl EventData {
            /// Which kind it is.
            pub const fn kind(&self) -> EventKind {
                match self { $( Self::$row(_) => EventKind::$row, )* }
            }
            /// Name and value of each field, in the table's order.
            pub fn fields(&self) -> Vec<(&'static str, $crate::field::Field)> {
                match self { $(
                    Self::$row($row { $($field),* }) => vec![$( (stringify!($field), (*$field).into()) ),*],
                )* }
            }
        }
    };
}

pub(crate) use stored::stored;
pub(crate) use wire::{spoken, wire, wire_events};
pub(crate) use {commands, events, number, right};
