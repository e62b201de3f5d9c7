//! The devices of the reference VMM: a serial line, the ports by which a guest reports and ends
//! (`docs/guests.md`), and the two that reset. Where no device answers, reads are all ones.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use super::{
    bus::{Bus, Effect},
    pending::Place,
    serial::SerialLine,
};
use crate::Outlet;

const END_PORT: u16 = 0xf4;
const REPORT_LOW_PORT: u16 = 0xe8;
const REPORT_HIGH_PORT: u16 = 0xec;
const COM1_PORT: u16 = 0x3f8;
const COM1_LAST: u16 = COM1_PORT + 7;
/// The keyboard controller's commands, of which one pulses the reset line.
const KEYBOARD_PORT: u16 = 0x64;
const KEYBOARD_RESET: u8 = 0xfe;
/// The chipset's reset control register; bit 2 resets.
const RESET_PORT: u16 = 0xcf9;
const RESET_BIT: u8 = 1 << 2;

/// The devices of one VM.
pub(super) struct Devices {
    serial: Arc<SerialLine>,
    /// The low half of each vCPU's next report.
    low_halves: Vec<AtomicU32>,
    outlet: Arc<dyn Outlet>,
}

impl Devices {
    pub(super) fn new(vcpus: u32, outlet: Arc<dyn Outlet>, serial: Arc<SerialLine>) -> Self {
        Self {
            serial,
            low_halves: (0..vcpus).map(|_| AtomicU32::new(0)).collect(),
            outlet,
        }
    }

    /// Puts every device in the state in which it was made.
    pub(super) fn reset(&self) {
        self.serial.reset();
        self.low_halves
            .iter()
            .for_each(|half| half.store(0, Relaxed));
    }

    fn write_port(&self, vcpu: u32, port: u16, from: &[u8]) -> Effect {
        let first = from.first().copied().unwrap_or_default();
        match port {
            COM1_PORT..=COM1_LAST => {
                for (register, byte) in (port - COM1_PORT..8).zip(from) {
                    self.serial.write(low(register), *byte);
                }
            }
            REPORT_LOW_PORT => self.report_low(vcpu, from),
            REPORT_HIGH_PORT => self.report_high(vcpu, from),
            END_PORT => return Effect::End(word(from)),
            KEYBOARD_PORT if first == KEYBOARD_RESET => return Effect::Reset,
            RESET_PORT if first & RESET_BIT != 0 => return Effect::Reset,
            _ => {}
        }
        Effect::None
    }

    fn report_low(&self, vcpu: u32, from: &[u8]) {
        if let Some(half) = self.low_halves.get(vcpu as usize) {
            half.store(word(from), Relaxed);
        }
    }

    fn report_high(&self, vcpu: u32, from: &[u8]) {
        if let Some(half) = self.low_halves.get(vcpu as usize) {
            let low = u64::from(half.load(Relaxed));
            self.outlet.report(vcpu, u64::from(word(from)) << 32 | low);
        }
    }
}

/// The number of a register, of which there are eight.
const fn low(register: u16) -> u8 {
    register.to_le_bytes()[0]
}

/// A little-endian number of up to 32 bits.
fn word(bytes: &[u8]) -> u32 {
    let mut word = [0; 4];
    word.iter_mut()
        .zip(bytes)
        .for_each(|(to, from)| *to = *from);
    u32::from_le_bytes(word)
}

impl Bus for Devices {
    fn read(&self, _vcpu: u32, place: Place, to: &mut [u8]) {
        to.fill(0xff);
        if let Place::Port(port @ COM1_PORT..=COM1_LAST) = place {
            for (register, byte) in (port - COM1_PORT..8).zip(to) {
                *byte = self.serial.read(low(register));
            }
        }
    }

    fn write(&self, vcpu: u32, place: Place, from: &[u8]) -> Effect {
        match place {
            Place::Port(port) => self.write_port(vcpu, port, from),
            Place::Memory(_) => Effect::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kvm::serial::Interrupt, outlet::Kept};

    fn devices() -> (Devices, Arc<Kept>) {
        let kept = Arc::new(Kept::default());
        let serial = SerialLine::new(kept.clone(), Interrupt::default());
        (Devices::new(2, kept.clone(), serial), kept)
    }

    #[test]
    fn two_halves_make_a_report_of_the_vcpu_that_wrote_them() {
        let (devices, kept) = devices();
        let out =
            |vcpu, port, value: u32| devices.write(vcpu, Place::Port(port), &value.to_le_bytes());
        out(0, REPORT_LOW_PORT, 0x1111_2222);
        out(1, REPORT_LOW_PORT, 7);
        out(0, REPORT_HIGH_PORT, 0x3333_4444);
        out(1, REPORT_HIGH_PORT, 0);
        out(9, REPORT_HIGH_PORT, 0);
        assert_eq!(kept.reports(), [(0, 0x3333_4444_1111_2222), (1, 7)]);
    }

    #[test]
    fn the_serial_line_goes_to_the_outlet() {
        let (devices, kept) = devices();
        for byte in b"hi" {
            assert_eq!(
                devices.write(0, Place::Port(COM1_PORT), &[*byte]),
                Effect::None
            );
        }
        assert_eq!(kept.serial_text(), "hi");
        let mut status = [0];
        devices.read(0, Place::Port(COM1_PORT + 5), &mut status);
        assert_eq!(status[0] & 0x60, 0x60, "ready for more");
    }

    #[test]
    fn ends_and_resets_are_told_from_other_commands() {
        let (devices, _) = devices();
        let out = |port, bytes: &[u8]| devices.write(0, Place::Port(port), bytes);
        assert_eq!(out(END_PORT, &[3, 0, 0, 0]), Effect::End(3));
        assert_eq!(out(KEYBOARD_PORT, &[0xfe]), Effect::Reset);
        assert_eq!(out(KEYBOARD_PORT, &[0xd1]), Effect::None);
        assert_eq!(out(RESET_PORT, &[6]), Effect::Reset);
        assert_eq!(out(RESET_PORT, &[2]), Effect::None);
        assert_eq!(out(END_PORT, &[]), Effect::End(0));
    }

    #[test]
    fn where_no_device_answers_reads_are_all_ones() {
        let (devices, _) = devices();
        let mut bytes = [0; 8];
        devices.read(0, Place::Memory(0xd000_0000), &mut bytes);
        assert_eq!(bytes, [0xff; 8]);
    }
}
