//! What ends an instance: the acts that a host must survive. Needs no host, and answers nothing.

use std::hint::black_box;

use crate::settings::Harm;

/// How much memory the bomb takes at a time.
const CHUNK: usize = 1 << 20;

/// Does not come back; at random, it may. `chance` is the number of the event.
pub(crate) fn inflict(harm: Harm, chance: u64) {
    match harm {
        Harm::Trap => panic!("the zoo was told to trap"),
        Harm::Loop => spin(),
        Harm::MemoryBomb => swell(),
        Harm::Recurse => {
            black_box(descend(0));
        }
        Harm::TrapAtRandom if scrambled(chance).is_multiple_of(2) => {
            panic!("the zoo traps at random")
        }
        Harm::TrapAtRandom => {}
    }
}

/// A number that says little of the one it is made of.
const fn scrambled(number: u64) -> u64 {
    let number = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (number ^ (number >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93) >> 32
}

fn spin() -> ! {
    loop {
        std::hint::spin_loop();
    }
}

fn swell() -> ! {
    let mut chunks = Vec::new();
    loop {
        chunks.push(black_box(vec![1_u8; CHUNK]));
    }
}

/// Never comes back: each call waits for the next, and the compiler cannot know which is last.
fn descend(depth: u64) -> u64 {
    if black_box(true) {
        descend(depth + 1) ^ black_box(depth)
    } else {
        depth
    }
}
