//! Why QEMU's stub says that the world stands: its stop replies (GDB manual, "Stop Reply Packets").

use oriel_protocol::{Access, Gva};

use super::packet::number;

/// The signals that QEMU's stub speaks of (gdb's own numbers).
const INTERRUPT: u64 = 2;
const QUIT: u64 = 3;
const TRAP: u64 = 5;
const ABORT: u64 = 6;

/// Why the world stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// A vCPU has met a breakpoint, or was stepped.
    Met {
        /// The stub's number of the vCPU, from 1.
        thread: u64,
    },
    /// A vCPU has made an access that was watched for.
    Watched {
        /// The stub's number of the vCPU, from 1.
        thread: u64,
        /// What the watchpoint watches for.
        access: Access,
        /// Where it watches.
        gva: Gva,
    },
    /// Somebody has stopped it: we, or whoever said `stop` on a monitor.
    Interrupted,
    /// The guest has shut down.
    ShutDown,
    /// QEMU cannot go on.
    Broken,
    /// For another reason: a device's error, a watchdog, a migration.
    Other(u64),
    /// QEMU ends.
    Exited,
}

impl Stop {
    /// Reads a stop reply; none if it is something else.
    pub fn read(packet: &[u8]) -> Option<Self> {
        let signal = || number(packet.get(1..3)?);
        match packet.first()? {
            b'T' => Some(Self::of(signal()?, packet.get(3..)?)),
            b'S' => Some(Self::of(signal()?, b"thread:1;")),
            b'W' | b'X' => Some(Self::Exited),
            _ => None,
        }
    }

    /// The vCPU that it is about, by the stub's number; none: no single one.
    pub(super) const fn thread(self) -> Option<u64> {
        match self {
            Self::Met { thread } | Self::Watched { thread, .. } => Some(thread),
            Self::Interrupted | Self::ShutDown | Self::Broken | Self::Other(_) | Self::Exited => {
                None
            }
        }
    }

    fn of(signal: u64, rest: &[u8]) -> Self {
        match signal {
            TRAP => Self::trap(rest),
            INTERRUPT => Self::Interrupted,
            QUIT => Self::ShutDown,
            ABORT => Self::Broken,
            other => Self::Other(other),
        }
    }

    fn trap(rest: &[u8]) -> Self {
        let (mut thread, mut watched) = (1, None);
        for field in rest.split(|byte| *byte == b';') {
            let Some(colon) = field.iter().position(|byte| *byte == b':') else {
                continue;
            };
            let (name, value) = (&field[..colon], &field[colon + 1..]);
            match name {
                b"thread" => thread = thread_number(value).unwrap_or(thread),
                b"watch" => watched = number(value).map(|gva| (Access::WRITE, gva)),
                b"rwatch" => watched = number(value).map(|gva| (Access::READ, gva)),
                b"awatch" => {
                    watched = number(value).map(|gva| (Access::READ.union(Access::WRITE), gva));
                }
                _ => {}
            }
        }
        match watched {
            Some((access, gva)) => Self::Watched {
                thread,
                access,
                gva,
            },
            None => Self::Met { thread },
        }
    }
}

/// `NN`, or `pPP.NN` where the stub speaks of processes too.
pub(super) fn thread_number(text: &[u8]) -> Option<u64> {
    let last = text.rsplit(|byte| *byte == b'.').next()?;
    number(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_replies_are_read() {
        let watched = Stop::Watched {
            thread: 1,
            access: Access::WRITE,
            gva: 0xffff_ffff_82a0_79c0,
        };
        for (packet, stop) in [
            (&b"T05thread:02;"[..], Stop::Met { thread: 2 }),
            (b"T05thread:p01.03;", Stop::Met { thread: 3 }),
            (b"T05thread:01;watch:ffffffff82a079c0;", watched),
            (b"T02thread:01;", Stop::Interrupted),
            (b"S05", Stop::Met { thread: 1 }),
            (b"T03thread:01;", Stop::ShutDown),
            (b"T17thread:01;", Stop::Other(0x17)),
            (b"W00", Stop::Exited),
        ] {
            assert_eq!(Stop::read(packet), Some(stop));
        }
        for none in [&b""[..], b"OK", b"T", b"T0", b"Tzz", b"E01", b"m01"] {
            assert_eq!(Stop::read(none), None, "{none:?}");
        }
    }
}
