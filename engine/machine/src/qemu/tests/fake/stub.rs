//! The made-up stub: one debugger at a time, as QEMU's.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    time::Duration,
};

use super::{Act, Registers, Shared, State};
use crate::qemu::{
    layout::tests as description,
    packet::{Item, Packets, framed, hex, number, unhex},
};

/// Serves one debugger until it goes, or is thrown out.
pub(super) fn serve(shared: &Shared, mut stream: UnixStream) {
    stream
        .set_read_timeout(Some(Duration::from_millis(2)))
        .unwrap();
    if shared.0.lock().unwrap().over {
        return;
    }
    shared.0.lock().unwrap().stop_for_debugger();
    shared.1.notify_all();
    let mut packets = Packets::default();
    loop {
        let mut bytes = [0; 4096];
        match stream.read(&mut bytes) {
            Ok(0) => return,
            Ok(count) => {
                for byte in &bytes[..count] {
                    if *byte == 3 {
                        let stop = shared.0.lock().unwrap().interrupt();
                        send(&mut stream, stop.as_deref());
                        continue;
                    }
                    packets.feed(&[*byte]);
                    answer(shared, &mut packets, &mut stream);
                }
            }
            Err(_) => {}
        }
        let said = shared.0.lock().unwrap().play();
        shared.1.notify_all();
        match said {
            Said::Nothing => {}
            Said::Stop(stop) => send(&mut stream, Some(&stop)),
            Said::Garbage => drop(stream.write_all(b"\x7fELF")),
            Said::Closed => return,
        }
    }
}

/// Answers what has come whole.
fn answer(shared: &Shared, packets: &mut Packets, stream: &mut UnixStream) {
    while let Ok(Some(item)) = packets.next_item() {
        let Item::Packet(packet) = item else { continue };
        let packet = String::from_utf8(packet).unwrap();
        let answer = shared.0.lock().unwrap().answer(&packet);
        shared.1.notify_all();
        let _ = stream.write_all(b"+");
        send(stream, answer.as_deref());
    }
}

/// A debugger that has gone hears nothing.
fn send(stream: &mut UnixStream, packet: Option<&str>) {
    let _ = packet.map(|packet| stream.write_all(&framed(packet)));
}

enum Said {
    Nothing,
    Stop(String),
    Garbage,
    Closed,
}

impl State {
    fn stop_for_debugger(&mut self) {
        self.connections += 1;
        self.running = false;
    }

    fn interrupt(&mut self) -> Option<String> {
        std::mem::take(&mut self.running).then(|| "T02thread:01;".to_owned())
    }

    fn resume(&mut self) {
        self.running = true;
        self.tell("RESUME");
    }

    pub(super) fn tell(&mut self, event: &str) {
        if let Some(monitor) = &mut self.monitor {
            let _ = monitor.write_all(format!("{{\"event\": \"{event}\"}}\n").as_bytes());
        }
    }

    /// What happens while it runs.
    fn play(&mut self) -> Said {
        if self.over {
            return Said::Closed;
        }
        let by_another = self.acts.front() == Some(&Act::Resumed);
        if !self.running && !by_another {
            return Said::Nothing;
        }
        match self.acts.pop_front() {
            None => Said::Nothing,
            Some(Act::Reach(vcpu, ip)) => self.reach(vcpu, ip),
            Some(Act::Write(vcpu, gva)) => self.stop(vcpu, &format!("watch:{gva:x};")),
            Some(Act::Paused) => {
                self.running = false;
                Said::Stop("T02thread:01;".to_owned())
            }
            Some(Act::Resumed) => {
                self.resume();
                Said::Nothing
            }
            Some(Act::Break) => Said::Closed,
            Some(Act::Garbage) => Said::Garbage,
            Some(Act::ShutDown) => {
                self.tell("SHUTDOWN");
                self.over = true;
                Said::Closed
            }
        }
    }

    fn reach(&mut self, vcpu: u32, ip: u64) -> Said {
        let at = usize::try_from(vcpu).unwrap();
        self.vcpus[at].insert("rip".to_owned(), ip);
        let there = |kind: u32| self.points.contains(&format!("{kind},{ip:x},1"));
        if there(0) || there(1) {
            self.stop(vcpu, "")
        } else {
            Said::Nothing
        }
    }

    fn stop(&mut self, vcpu: u32, more: &str) -> Said {
        self.running = false;
        // As QEMU does (`gdb_set_stop_cpu`).
        self.selected = usize::try_from(vcpu).unwrap();
        Said::Stop(format!("T05thread:{:02x};{more}", vcpu + 1))
    }

    fn answer(&mut self, packet: &str) -> Option<String> {
        let (first, rest) = packet.split_at(1);
        self.asked.push(packet.to_owned());
        if !matches!(first, "q" | "m" | "g" | "p" | "H" | "?") {
            self.log.push(packet.to_owned());
        }
        Some(match first {
            "q" => self.query(rest),
            "?" => {
                self.points.clear();
                "T05thread:01;".to_owned()
            }
            "H" => {
                let thread = usize::try_from(number(&rest.as_bytes()[1..]).unwrap()).unwrap();
                self.selected = thread - 1;
                "OK".to_owned()
            }
            "g" => all(&self.vcpus[self.selected]),
            "p" => one(&self.vcpus[self.selected], rest),
            "P" => self.set(rest),
            "m" => self.read(rest),
            "M" => self.write(rest),
            "Z" => {
                self.points.insert(rest.to_owned());
                "OK".to_owned()
            }
            "z" => {
                self.points.remove(rest);
                "OK".to_owned()
            }
            "D" => {
                self.points.clear();
                self.resume();
                "OK".to_owned()
            }
            "v" => return self.go(rest),
            "Q" => "OK".to_owned(),
            _ => String::new(),
        })
    }

    fn query(&self, rest: &str) -> String {
        let target = self.description.as_deref().unwrap_or(description::TARGET);
        match rest {
            "fThreadInfo" => {
                let all: Vec<_> = (1..=self.vcpus.len())
                    .map(|at| format!("{at:02x}"))
                    .collect();
                format!("m{}", all.join(","))
            }
            "qemu.sstep" => "0x7".to_owned(),
            _ if rest.starts_with("Supported") => "PacketSize=1000".to_owned(),
            _ if rest.starts_with("Xfer:features:read:target.xml:") => format!("l{target}"),
            _ if rest.starts_with("Xfer:features:read:core.xml:") => {
                format!("l{}", description::description())
            }
            _ => "l".to_owned(),
        }
    }

    fn go(&mut self, rest: &str) -> Option<String> {
        let actions = rest.strip_prefix("Cont;")?;
        let stepped = actions.strip_prefix("s:").map(|rest| {
            let end = rest.find(';').unwrap_or(rest.len());
            usize::try_from(number(&rest.as_bytes()[..end]).unwrap() - 1).unwrap()
        });
        self.resume();
        let vcpu = stepped?;
        *self.vcpus[vcpu].entry("rip".to_owned()).or_default() += 1;
        self.running = false;
        self.selected = vcpu;
        Some(format!("T05thread:{:02x};", vcpu + 1))
    }

    fn set(&mut self, rest: &str) -> String {
        let (register, value) = rest.split_once('=').unwrap();
        let register = number(register.as_bytes()).unwrap();
        let bytes = unhex(value.as_bytes()).unwrap();
        let value = bytes
            .iter()
            .rev()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let name = names()[usize::try_from(register).unwrap()].clone();
        self.vcpus[self.selected].insert(name, value);
        "OK".to_owned()
    }

    fn range(rest: &str) -> (usize, usize) {
        let (at, length) = rest.split_once(',').unwrap();
        let number = |text: &str| usize::try_from(number(text.as_bytes()).unwrap()).unwrap();
        (number(at), number(length))
    }

    fn read(&self, rest: &str) -> String {
        let (at, length) = Self::range(rest);
        match self.memory.get(at..at + length) {
            Some(bytes) => hex(bytes),
            None => "E14".to_owned(),
        }
    }

    fn write(&mut self, rest: &str) -> String {
        let (range, bytes) = rest.split_once(':').unwrap();
        let (at, length) = Self::range(range);
        let bytes = unhex(bytes.as_bytes()).unwrap();
        self.memory[at..at + length].copy_from_slice(&bytes);
        "OK".to_owned()
    }
}

/// The registers of the description, with their bits, in order.
fn registers() -> Vec<(String, usize)> {
    let text = description::description();
    let text = text.split_once("-->").unwrap().1;
    let tags = text.split("<reg name=\"").skip(1);
    let one = |tag: &str| {
        let (name, rest) = tag.split_once("\" bitsize=\"").unwrap();
        let bits = rest.split_once('"').unwrap().0;
        (name.to_owned(), bits.parse().unwrap())
    };
    tags.map(one).collect()
}

fn names() -> Vec<String> {
    registers().into_iter().map(|(name, _)| name).collect()
}

fn all(known: &Registers) -> String {
    let each = registers().into_iter();
    each.map(|register| bytes(known, &register)).collect()
}

fn one(known: &Registers, number_of: &str) -> String {
    let at = usize::try_from(number(number_of.as_bytes()).unwrap()).unwrap();
    bytes(known, &registers()[at])
}

fn bytes(known: &Registers, (name, bits): &(String, usize)) -> String {
    let value = known.get(name).copied().unwrap_or(0).to_le_bytes();
    let bytes: Vec<u8> = value.into_iter().chain([0; 8]).take(bits / 8).collect();
    hex(&bytes)
}
