//! What a gdb stub sends to Oriel: packets, stop replies, the description of its registers.
//!
//! Promise: no bytes do harm, and a packet means the same however its bytes are cut.

use oriel_machine::qemu::{
    layout::{self, Layout},
    packet::{Item, PacketError, Packets},
    stop::Stop,
};

/// Runs it.
pub fn run(bytes: &[u8]) {
    let whole = packets(bytes.chunks(bytes.len().max(1)));
    let cut = packets(bytes.chunks(1));
    assert_eq!(whole, cut, "cutting changes what is read");
    for item in &whole.0 {
        if let Item::Packet(data) = item {
            let _ = Stop::read(data);
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = layout::parts(text);
        let _ = Layout::read(&[text.to_owned()]);
    }
}

/// The items of a stream, and the error that ends it.
fn packets<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Item>, Option<PacketError>) {
    let (mut stream, mut items) = (Packets::default(), Vec::new());
    for piece in pieces {
        stream.feed(piece);
        loop {
            match stream.next_item() {
                Ok(Some(item)) => items.push(item),
                Ok(None) => break,
                Err(error) => return (items, Some(error)),
            }
        }
    }
    (items, None)
}
