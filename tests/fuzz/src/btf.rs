//! A kernel's types, and behind them a module's that build upon them. The first two bytes say how
//! long the kernel's are.

use std::sync::Arc;

use oriel_guest::btf::{Part, Types};

use crate::input::Input;

/// How many types are laid out: what they nest is bounded for each, and each has a turn.
const MOST: u32 = 8;

/// Reads both, lays types out, and asks for each member by its path.
///
/// # Panics
/// If a member that is laid out is not found by its path.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let length = u16::from_le_bytes(input.array());
    let kernel = input.take(length.into()).to_vec();
    let Ok(kernel) = Types::parse(kernel) else {
        return;
    };
    look(&kernel);
    if let Ok(module) = Types::split(input.rest().to_vec(), Arc::new(kernel)) {
        look(&module);
    }
}

fn look(types: &Types) {
    let last = u32::try_from(types.len()).unwrap_or(MOST);
    for id in (0..MOST).chain(last.saturating_sub(MOST)..=last) {
        let shape = types.shape_of(id);
        let name = types.name(id).to_owned();
        let usual = |name: &str| !name.is_empty() && !name.contains(['.', '[', ' ']);
        if types.find(&name) != Some(id) || !usual(&name) {
            continue;
        }
        for part in shape.parts.iter().take(64) {
            let Part::Member { name: member, .. } = part else {
                continue;
            };
            if usual(member) {
                let path = format!("{name}.{member}");
                assert!(types.field(&path).is_ok(), "{path}");
            }
        }
    }
}
