//! The serial line: a 16550A whose output goes to the outlet, and whose input comes from whoever
//! types. With an interrupt controller it raises IRQ 4; without one the guest polls.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use kvm_ioctls::VmFd;
use vm_superio::{Serial, Trigger, serial::NoEvents};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use crate::Outlet;

/// The interrupt of COM1.
const IRQ: u32 = 4;
/// The register whose reading takes a byte out of the buffer.
const DATA: u8 = 0;

/// A serial line.
pub(super) struct SerialLine {
    state: Mutex<State>,
    outlet: Arc<dyn Outlet>,
    interrupt: Interrupt,
}

struct State {
    uart: Uart,
    /// What has been typed and does not fit into the device's buffer yet.
    typed: VecDeque<u8>,
}

type Uart = Serial<Interrupt, NoEvents, ToOutlet>;

/// An interrupt line, where there is a controller at its end.
#[derive(Clone, Default)]
pub(super) struct Interrupt(Option<Arc<EventFd>>);

impl Interrupt {
    /// A line to the VM's interrupt controller (KVM API, 4.75).
    pub(super) fn connect(vm: &VmFd) -> io::Result<Self> {
        let line = EventFd::new(EFD_NONBLOCK)?;
        vm.register_irqfd(&line, IRQ)?;
        Ok(Self(Some(Arc::new(line))))
    }
}

impl Trigger for Interrupt {
    type E = io::Error;

    fn trigger(&self) -> io::Result<()> {
        self.0.as_ref().map_or(Ok(()), |line| line.write(1))
    }
}

struct ToOutlet(Arc<dyn Outlet>);

impl Write for ToOutlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.serial(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SerialLine {
    /// A line to this outlet.
    pub(super) fn new(outlet: Arc<dyn Outlet>, interrupt: Interrupt) -> Arc<Self> {
        let uart = Serial::new(interrupt.clone(), ToOutlet(outlet.clone()));
        Arc::new(Self {
            state: Mutex::new(State {
                uart,
                typed: VecDeque::new(),
            }),
            outlet,
            interrupt,
        })
    }

    /// Puts the device in the state in which it was made. What has been typed stays typed.
    pub(super) fn reset(&self) {
        let mut state = self.state();
        state.uart = Serial::new(self.interrupt.clone(), ToOutlet(self.outlet.clone()));
        state.fill();
    }

    /// Writes one of the eight registers.
    pub(super) fn write(&self, register: u8, byte: u8) {
        // All that can fail is the outlet, which does not, a counter of interrupts that is full,
        // which then is raised already, and a loop-back buffer that is full, which drops the byte
        // as a real line does.
        let _ = self.state().uart.write(register, byte);
    }

    /// Reads one of the eight registers.
    pub(super) fn read(&self, register: u8) -> u8 {
        let mut state = self.state();
        let byte = state.uart.read(register);
        if register == DATA {
            state.fill();
        }
        byte
    }

    /// Types. What does not fit into the device's buffer waits for the guest to read.
    pub(super) fn type_in(&self, bytes: &[u8]) {
        let mut state = self.state();
        state.typed.extend(bytes);
        state.fill();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Hands the device as much of what has been typed as fits; none while it is in loop-back.
    fn fill(&mut self) {
        let room = self.uart.fifo_capacity().min(self.typed.len());
        let (next, _) = self.typed.as_slices();
        let room = room.min(next.len());
        if let Ok(taken) = self.uart.enqueue_raw_bytes(&next[..room]) {
            self.typed.drain(..taken);
        }
    }
}

/// Types whatever comes from `source`, on a thread of its own, until it ends or the line is gone.
/// The thread is left alone when the VM ends: it may be waiting for somebody to press a key.
pub(super) fn type_from(line: &Arc<SerialLine>, source: Box<dyn Read + Send>) -> io::Result<()> {
    let line = Arc::downgrade(line);
    let thread = std::thread::Builder::new().name("serial-input".to_owned());
    thread.spawn(move || read_all(&line, source)).map(drop)
}

fn read_all(line: &Weak<SerialLine>, mut source: Box<dyn Read + Send>) {
    let mut bytes = [0; 256];
    loop {
        let read = match source.read(&mut bytes) {
            Ok(0) => return,
            Ok(read) => read.min(bytes.len()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return tracing::warn!(%error, "the serial line's input has failed"),
        };
        let Some(line) = line.upgrade() else { return };
        line.type_in(&bytes[..read]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outlet::Kept;

    const STATUS: u8 = 5;
    const READY: u8 = 1;

    fn line() -> Arc<SerialLine> {
        SerialLine::new(Arc::new(Kept::default()), Interrupt::default())
    }

    fn read_everything(line: &SerialLine) -> Vec<u8> {
        let mut bytes = Vec::new();
        while line.read(STATUS) & READY != 0 {
            bytes.push(line.read(DATA));
        }
        bytes
    }

    #[test]
    fn more_than_the_buffer_holds_waits_and_comes_in_order() {
        let line = line();
        let text: Vec<u8> = (0..=255).cycle().take(1000).collect();
        text.chunks(300).for_each(|some| line.type_in(some));
        assert_eq!(read_everything(&line), text);
    }

    #[test]
    fn a_reset_loses_nothing_that_has_not_reached_the_device() {
        let line = line();
        line.type_in(&[7; 100]);
        line.reset();
        let left = read_everything(&line);
        assert!((1..100).contains(&left.len()), "{}", left.len());
    }

    #[test]
    fn an_interrupt_is_raised_for_input_where_the_guest_asks_for_it() {
        let event = Arc::new(EventFd::new(EFD_NONBLOCK).unwrap());
        let interrupt = Interrupt(Some(event.clone()));
        let line = SerialLine::new(Arc::new(Kept::default()), interrupt);
        line.type_in(b"a");
        assert!(event.read().is_err(), "nobody has asked");
        line.read(DATA);
        line.write(1, 1);
        line.type_in(b"b");
        assert_eq!(event.read().unwrap(), 1);
    }

    #[test]
    fn input_ends_with_its_source() {
        let line = line();
        type_from(&line, Box::new(io::Cursor::new(b"typed".to_vec()))).unwrap();
        let mut bytes = Vec::new();
        while bytes.len() < 5 {
            bytes.extend(read_everything(&line));
            std::thread::yield_now();
        }
        assert_eq!(bytes, b"typed");
    }
}
