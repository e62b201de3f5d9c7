//! What an instance carries over a swap. Owns the way to the `state` interface; keeps nothing.

use bincode::{Decode, Encode, config};

use crate::bindings::hears_state::exports::oriel::introspection::state as wit;
use crate::export::{self, Exported};
use crate::{Engine, Failure, Host, Policy};

/// What was saved, and the author's own version of its shape.
pub use wit::Saved;

/// The most bytes that [`Saved::decode`] makes of what it reads: no host hands over more.
const MOST: usize = 1 << 20;

impl Saved {
    /// A value as bytes, with the version of its shape. Derive the trait by
    /// `#[derive(bincode::Encode)] #[bincode(crate = "oriel_sdk::bincode")]`, or save numbers,
    /// strings, lists, maps and tuples of them as they are.
    ///
    /// ```
    /// use oriel_sdk::state::Saved;
    ///
    /// let saved = Saved::encode(2, &(7_u64, vec!["init", "getty"]))?;
    /// let (count, names): (u64, Vec<String>) = saved.decode(2)?;
    /// assert_eq!((count, names.len()), (7, 2));
    /// # Ok::<(), oriel_sdk::Failure>(())
    /// ```
    ///
    /// # Errors
    /// A value that cannot be written down (a poisoned lock, for instance).
    pub fn encode(schema: u32, value: &impl Encode) -> Result<Self, Failure> {
        let data = bincode::encode_to_vec(value, config::standard());
        let data = data.map_err(|error| format!("the state cannot be saved: {error}"))?;
        Ok(Self { schema, data })
    }

    /// The value, if it was saved in this shape.
    ///
    /// # Errors
    /// Another schema, or bytes that are no such value, or more than that.
    pub fn decode<T: Decode<()>>(&self, schema: u32) -> Result<T, Failure> {
        if self.schema != schema {
            let known = self.schema;
            return Err(format!("the state has schema {known}; {schema} is known here").into());
        }
        let config = config::standard().with_limit::<MOST>();
        match bincode::decode_from_slice(&self.data, config) {
            Ok((value, length)) if length == self.data.len() => Ok(value),
            Ok(_) => Err("there is more in the state than it should have".into()),
            Err(error) => Err(format!("the state cannot be read: {error}").into()),
        }
    }
}

/// Hands what an instance knows to the instance that follows it, when the operator swaps a
/// revision for another. A trap hands over nothing: for that there is [`Store`](crate::Store).
///
/// ```
/// use oriel_sdk::{Failure, Host, State, state::Saved};
/// # use oriel_sdk::{Config, Place, Policy};
/// # struct Counter { seen: u8 }
/// # impl Policy for Counter {
/// #     fn init(_: &mut Config, _: Place, _: &mut impl Host) -> Result<Self, Failure> {
/// #         Ok(Counter { seen: 0 })
/// #     }
/// # }
///
/// impl State for Counter {
///     fn save(&mut self, _: &mut impl Host) -> Result<Saved, Failure> {
///         Saved::encode(1, &self.seen)
///     }
///
///     fn restore(&mut self, saved: Saved, _: u64, _: &mut impl Host) -> Result<(), Failure> {
///         self.seen = saved.decode(1)?;
///         Ok(())
///     }
/// }
/// ```
pub trait State: Policy {
    /// Called on the instance that goes, between two events.
    ///
    /// # Errors
    /// The swap does not take place.
    fn save(&mut self, host: &mut impl Host) -> Result<Saved, Failure>;

    /// Called on the instance that comes, after [`Policy::init`]; `revision` is the one that
    /// saved.
    ///
    /// # Errors
    /// The swap does not take place.
    fn restore(&mut self, saved: Saved, revision: u64, host: &mut impl Host)
    -> Result<(), Failure>;
}

impl<X: Exported> wit::Guest for X
where
    X::Policy: State,
{
    fn save() -> Result<Saved, String> {
        export::policy::<X, _>(|policy| Ok(policy.save(&mut Engine::here())?))
    }

    fn restore(saved: Saved, revision: u64) -> Result<(), String> {
        export::policy::<X, _>(|policy| Ok(policy.restore(saved, revision, &mut Engine::here())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_state_of_the_known_schema_is_read() {
        let saved = Saved::encode(3, &(7_u32, "seven".to_owned())).unwrap();
        assert_eq!(
            saved.decode::<(u32, String)>(3).unwrap(),
            (7, "seven".to_owned())
        );
        assert!(saved.decode::<(u32, String)>(4).is_err(), "another schema");
        assert!(saved.decode::<u32>(3).is_err(), "more than a number");
        let half = Saved {
            schema: 3,
            data: saved.data[..3].to_vec(),
        };
        assert!(half.decode::<(u32, String)>(3).is_err());
    }

    #[test]
    fn a_length_that_lies_does_not_exhaust_memory() {
        let saved = Saved {
            schema: 1,
            data: vec![253, 255, 255, 255, 255, 255, 255, 255, 127],
        };
        assert!(saved.decode::<Vec<u64>>(1).is_err());
    }
}
