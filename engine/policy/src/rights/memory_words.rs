//! Reads single words of guest memory; 0 where it cannot be read.
//!
//! A plain import. The same interface can be served at memory speed by a component of ours, put
//! in front of the policy when it is compiled; a policy cannot tell the difference.

use oriel_protocol::commands::vm::{CoversMemory, ReadWord};

use crate::{bindings::oriel::introspection::memory_words::Host, state::State};

impl Host for State {
    fn covers(&mut self, gpa: u64, length: u64) -> bool {
        self.vm(CoversMemory { gpa, length }).unwrap_or(false)
    }

    fn read_u8(&mut self, gpa: u64) -> u8 {
        word(self, gpa, 1)[0]
    }

    fn read_u16(&mut self, gpa: u64) -> u16 {
        let [a, b, ..] = word(self, gpa, 2);
        u16::from_le_bytes([a, b])
    }

    fn read_u32(&mut self, gpa: u64) -> u32 {
        let [a, b, c, d, ..] = word(self, gpa, 4);
        u32::from_le_bytes([a, b, c, d])
    }

    fn read_u64(&mut self, gpa: u64) -> u64 {
        u64::from_le_bytes(word(self, gpa, 8))
    }
}

fn word(state: &mut State, gpa: u64, size: u8) -> [u8; 8] {
    let word = state.vm(ReadWord { gpa, size });
    word.unwrap_or(0).to_le_bytes()
}
