//! The bytes before the first message. The first byte chooses the dialect; the rest is read as
//! what a VM says, and as what a tool answers.

use oriel_protocol::{
    Dialect,
    kvmi::handshake::{Answer, Hello},
};

use crate::input::Input;

/// Reads the bytes both ways.
///
/// # Panics
/// If a size is out of its bounds, or what was read does not read the same once it is written.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let (dialect, _) = input.dialect();
    hello(dialect, input.rest());
    answer(input.rest());
}

fn hello(dialect: Dialect, bytes: &[u8]) {
    let size = Hello::size(Input::new(bytes).array());
    match &size {
        Ok(size) => assert!((32..=65_536).contains(size)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    // A tool reads as many as the size says, if they come.
    let bytes = size
        .ok()
        .and_then(|size| bytes.get(..size))
        .unwrap_or(bytes);
    let greeting = Hello::read(bytes);
    assert_eq!(greeting.size, bytes.len());
    let sent = greeting.hello.write(dialect);
    assert_eq!(Hello::size(Input::new(&sent).array()), Ok(sent.len()));
    let again = Hello::read(&sent);
    assert_eq!(again.is_v12(), dialect == Dialect::V12);
    // The name may have been cut once; what is left is whole.
    assert_eq!(again.hello.write(dialect), sent);
    assert_eq!(again.hello.uuid, greeting.hello.uuid);
    assert_eq!(again.hello.start_time, greeting.hello.start_time);
}

fn answer(bytes: &[u8]) {
    match Answer::size(Input::new(bytes).array()) {
        Ok(size) => assert!((24..=65_536).contains(&size)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    let answer = Answer::read(bytes);
    let sent = answer.write();
    assert_eq!(Answer::size(Input::new(&sent).array()), Ok(sent.len()));
    assert_eq!(Answer::read(&sent), answer);
}
