//! What the policies of a VM have together: time for one event, and stack.

use std::time::Duration;

use anyhow::bail;
use oriel_engine::Settings;
use oriel_policy::HostSettings;

use crate::{config::VmConfig, host};

/// The stacks that fit a vCPU's thread, in KiB.
const STACKS: std::ops::RangeInclusive<usize> = 64..=1024;

/// What policies have together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// CPU time that all of them have for one event.
    pub(crate) round: Duration,
    /// Bytes that the calls of one can be deep.
    stack: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            round: Settings::default().round,
            stack: HostSettings::default().stack,
        }
    }
}

impl Room {
    /// That of a configuration.
    pub(crate) fn configured(vm: &VmConfig) -> anyhow::Result<Self> {
        let mut room = Self::default();
        match vm.round_ms {
            Some(0) => bail!("[vm] round-ms cannot be 0: no policy could be asked"),
            Some(ms) => room.round = Duration::from_millis(ms),
            None => {}
        }
        match vm.stack_kib {
            Some(kib) if STACKS.contains(&kib) => room.stack = kib << 10,
            Some(kib) => bail!(
                "[vm] stack-kib is {kib}; it can be {} to {}",
                STACKS.start(),
                STACKS.end()
            ),
            None => {}
        }
        Ok(room)
    }

    /// The host of policies with this room.
    pub(crate) fn host(self) -> HostSettings {
        HostSettings {
            stack: self.stack,
            ..host::settings()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(text: &str) -> anyhow::Result<Room> {
        Room::configured(&toml::from_str(text)?)
    }

    #[test]
    fn time_and_stack_are_the_operators() {
        assert_eq!(room("").unwrap(), Room::default());
        let read = room("round-ms = 7\nstack-kib = 128").unwrap();
        assert_eq!(read.round, Duration::from_millis(7));
        assert_eq!(read.host().stack, 128 << 10);
    }

    #[test]
    fn no_time_and_odd_stacks_are_refused() {
        for (text, named) in [
            ("round-ms = 0", "round-ms"),
            ("stack-kib = 9999", "1024"),
            ("stack-kib = 1", "64"),
        ] {
            let error = room(text).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
