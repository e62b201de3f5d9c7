//! Structures where they end, and where they do not.

use super::*;
use crate::testing::{Command, MockEngine};

const CR3: u64 = 0x10_0000;

fn engine() -> MockEngine {
    let mut engine = MockEngine::default();
    engine.memory.map(CR3, 0x7000, 0x5000);
    engine
}

#[test]
fn a_string_that_ends_before_a_page_that_is_not_there_is_found() -> Result<(), Refusal> {
    let mut engine = engine();
    engine.memory.poke(0x5ffa, b"bash\0")?;
    assert_eq!(engine.read_text(0, 0x7ffa, 4096)?, "bash");
    engine.memory.poke(0x5ffa, b"bashed")?;
    assert_eq!(engine.read_text(0, 0x7ffa, 6), Err(Refusal::Limit));
    assert_eq!(engine.read_text(0, 0x7ffa, 7), Err(Refusal::NotFound));
    engine.memory.map(CR3, 0x8000, 0x9000);
    assert_eq!(engine.read_text(0, 0x7ffa, 7)?, "bashed");
    Ok(())
}

#[test]
fn a_value_that_lies_half_outside_is_not_read() {
    let mut engine = engine();
    let half: Result<(u32, u32), _> = engine.read_value(0, 0x7ffc);
    assert_eq!(half, Err(Refusal::NotFound));
}

#[test]
fn a_torn_structure_is_seen_as_the_guest_left_it() -> Result<(), Refusal> {
    let mut engine = engine();
    engine.memory.poke(0x5000, &[1; 16])?;
    engine.tear(0x5000, &[2; 16]);
    let (low, high): (u64, u64) = engine.read_value(0, 0x7000)?;
    assert_eq!((low, high), (0x0101_0101_0101_0101, 0x0202_0202_0202_0202));
    let again: (u64, u64) = engine.read_value(0, 0x7000)?;
    assert_eq!(again.0, again.1);
    Ok(())
}

#[test]
fn a_list_ends_at_its_head_at_0_or_at_its_bound() -> Result<(), Refusal> {
    let mut engine = engine();
    let mut link = |from: u64, to: u64| engine.memory.poke(from - 0x2000, &to.to_le_bytes());
    link(0x7000, 0x7100)?;
    link(0x7100, 0x7200)?;
    link(0x7200, 0)?;
    assert_eq!(engine.walk_list(0, 0x7000, 2)?, [0x7100, 0x7200]);
    assert_eq!(engine.walk_list(0, 0x7000, 1), Err(Refusal::Limit));
    engine.memory.poke(0x5200, &0x9000_u64.to_le_bytes())?;
    let astray = engine.walk_list(0, 0x7000, 9);
    assert_eq!(astray, Err(Refusal::NotFound));
    Ok(())
}

#[test]
fn a_batch_takes_as_few_commands_as_its_number_and_length_need() -> Result<(), Refusal> {
    let mut engine = engine();
    let short = vec![
        MemoryRange {
            gpa: 0x5000,
            length: 8
        };
        300
    ];
    assert_eq!(engine.read_batch(&short)?.len(), 300);
    let long = vec![
        MemoryRange {
            gpa: 0x5000,
            length: 40_000
        };
        3
    ];
    assert_eq!(engine.read_batch(&long)?.len(), 3);
    let asked = engine.asked.iter();
    let scattered = asked.filter(|command| **command == Command::ReadScattered);
    assert_eq!(scattered.count(), 2 + 3);
    let too_long = [MemoryRange {
        gpa: 0,
        length: 65537,
    }];
    assert_eq!(engine.read_batch(&too_long), Err(Refusal::Invalid));
    Ok(())
}
