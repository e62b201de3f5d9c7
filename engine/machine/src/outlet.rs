//! What a guest says to the outside: its serial line, and the numbers it reports.

use std::sync::Mutex;

/// Takes what a guest says. Called on vCPU threads; must not block.
pub trait Outlet: Send + Sync {
    /// Bytes of the serial line.
    fn serial(&self, bytes: &[u8]);

    /// A number that the guest reported through the report ports (`docs/guests.md`).
    fn report(&self, vcpu: u32, value: u64);
}

/// Keeps what the guest says, for tests.
#[derive(Debug, Default)]
pub struct Kept {
    serial: Mutex<Vec<u8>>,
    reports: Mutex<Vec<(u32, u64)>>,
}

impl Kept {
    /// What came over the serial line.
    pub fn serial_text(&self) -> String {
        let bytes = self
            .serial
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// vCPU and value of each report, in order.
    pub fn reports(&self) -> Vec<(u32, u64)> {
        self.reports
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }
}

impl Outlet for Kept {
    fn serial(&self, bytes: &[u8]) {
        self.serial
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .extend_from_slice(bytes);
    }

    fn report(&self, vcpu: u32, value: u64) {
        self.reports
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .push((vcpu, value));
    }
}
