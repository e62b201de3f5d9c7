//! Every limit by its name: the keys of `[policy.limits]` in an operator's configuration, and of
//! `limits` in a manifest. The only list of them.

use std::time::Duration;

use thiserror::Error;

use super::Limits;

/// One limit.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its name. Times are in milliseconds, and end in `-ms`.
    pub key: &'static str,
    /// What it bounds, in a line.
    pub doc: &'static str,
    get: fn(&Limits) -> u64,
    put: fn(&mut Limits, u64),
}

/// A limit cannot be set.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum LimitError {
    /// There is none of this name.
    #[error("`{key}` is no limit; there are {}", names())]
    Unknown {
        /// What was named.
        key: String,
    },
    /// Nothing could be done in no time.
    #[error("`{0}` cannot be 0; leave it out for the default")]
    Zero(&'static str),
    /// A manifest says its times elsewhere.
    #[error("`{0}` is for the operator; a manifest has `deadlines`")]
    NotHere(&'static str),
}

/// A field of [`Limits`], as the number that people write. What is too large is the largest.
trait Amount: Copy {
    fn number(self) -> u64;
    fn of(number: u64) -> Self;
}

impl Amount for Duration {
    fn number(self) -> u64 {
        u64::try_from(self.as_millis()).unwrap_or(u64::MAX)
    }

    fn of(number: u64) -> Self {
        Self::from_millis(number)
    }
}

impl Amount for u32 {
    fn number(self) -> u64 {
        self.into()
    }

    fn of(number: u64) -> Self {
        Self::try_from(number).unwrap_or(Self::MAX)
    }
}

impl Amount for u64 {
    fn number(self) -> u64 {
        self
    }

    fn of(number: u64) -> Self {
        number
    }
}

impl Amount for usize {
    fn number(self) -> u64 {
        u64::try_from(self).unwrap_or(u64::MAX)
    }

    fn of(number: u64) -> Self {
        Self::try_from(number).unwrap_or(Self::MAX)
    }
}

/// Reads the rows: the field, its key, what it bounds.
macro_rules! rows {
    ($( $field:ident $key:literal $doc:literal )*) => {
        /// Every limit.
        pub const TABLE: &[Row] = &[ $( Row {
            key: $key,
            doc: $doc,
            get: |limits| Amount::number(limits.$field),
            put: |limits, number| limits.$field = Amount::of(number),
        }, )* ];
    };
}

rows! {
    event "event-ms" "CPU time of one judgement, observation or notice"
    init "init-ms" "CPU time of instantiation and `init`, and of being asked for filters"
    tick "tick-ms" "CPU time of one call by the clock"
    state "state-ms" "CPU time of `save`, and of `restore`"
    wall_factor "wall-factor" "how many times its CPU time a call may take on the wall clock"
    memory "memory-bytes" "linear memory of an instance"
    renew "renew-bytes" "linear memory past which an instance is replaced by a new one"
    table_elements "table-elements" "elements of one table"
    tables "tables" "tables of one instance"
    instances "instances" "instances at once, with those that wait to be dropped"
    commands "commands" "commands of one call"
    reply_bytes "reply-bytes" "bytes that one command answers with"
    logs "logs" "log lines of one call"
    log_bytes_per_second "log-bytes-per-second" "bytes that all instances log in a second"
    alerts "alerts" "alerts of one call"
    alerts_per_second "alerts-per-second" "alerts that all instances raise in a second"
    store_keys "store-keys" "keys in the store"
    store_bytes "store-bytes" "bytes of all keys and values in the store"
    saved "saved-bytes" "bytes of saved state"
}

impl Row {
    /// The row of this name.
    ///
    /// # Errors
    /// [`LimitError::Unknown`] lists those that there are.
    pub fn named(key: &str) -> Result<&'static Self, LimitError> {
        let found = TABLE.iter().find(|row| row.key == key);
        found.ok_or_else(|| LimitError::Unknown {
            key: key.to_owned(),
        })
    }

    /// What it is now.
    pub fn of(&self, limits: &Limits) -> u64 {
        (self.get)(limits)
    }

    /// Whether it says something of time, of which there cannot be none.
    fn is_time(&self) -> bool {
        self.key.ends_with("-ms") || self.key == "wall-factor"
    }

    /// Whether a manifest can have it under `limits`.
    pub(crate) fn check_manifest(&self) -> Result<(), LimitError> {
        if self.is_time() {
            return Err(LimitError::NotHere(self.key));
        }
        Ok(())
    }
}

impl Limits {
    /// Sets the limit of this name.
    ///
    /// # Errors
    /// [`LimitError`] if there is none of this name, or it cannot be that.
    pub fn set(&mut self, key: &str, number: u64) -> Result<(), LimitError> {
        let row = Row::named(key)?;
        if number == 0 && row.is_time() {
            return Err(LimitError::Zero(row.key));
        }
        (row.put)(self, number);
        Ok(())
    }

    /// Lowers the limit of this name, if it is higher. Of a name that there is not nothing is
    /// lowered: manifests with such a name have been refused.
    pub(super) fn tighten(&mut self, key: &str, number: u64) {
        if let Ok(row) = Row::named(key) {
            (row.put)(self, row.of(self).min(number));
        }
    }
}

fn names() -> String {
    TABLE
        .iter()
        .map(|row| row.key)
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_sets_its_own_field_and_no_other() {
        let mut seen = Vec::new();
        for row in TABLE {
            let mut limits = Limits::default();
            limits.set(row.key, 3).unwrap();
            assert_eq!(row.of(&limits), 3, "{}", row.key);
            assert!(!seen.contains(&limits), "{}", row.key);
            let changed = TABLE
                .iter()
                .filter(|other| other.of(&limits) != other.of(&Limits::default()));
            assert_eq!(changed.count(), 1, "{}", row.key);
            seen.push(limits);
        }
    }

    #[test]
    fn every_row_is_in_the_operators_guide_with_its_default() {
        let guide = include_str!("../../../../docs/operating-policies.md");
        for row in TABLE {
            let default = row.of(&Limits::default());
            let line = format!("| `{}` | {default} |", row.key);
            assert!(guide.contains(&line), "{line}");
        }
    }

    #[test]
    fn what_cannot_be_set_is_named() {
        let mut limits = Limits::default();
        let error = limits.set("event", 1).unwrap_err();
        assert!(error.to_string().contains("event-ms"), "{error}");
        assert_eq!(limits.set("tick-ms", 0), Err(LimitError::Zero("tick-ms")));
        assert_eq!(limits.set("alerts", 0), Ok(()));
        assert_eq!(limits.set("commands", u64::MAX), Ok(()));
        assert_eq!(limits.commands, u32::MAX, "as much as there can be");
    }
}
