//! The made-up monitor.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
};

use serde_json::{Value, json};

use super::{RAM, Shared, State};
use crate::qemu::segments::tests as segments;

/// Serves one client until it goes.
pub(super) fn serve(shared: &Shared, mut stream: UnixStream) {
    let _ = stream.write_all(b"{\"QMP\": {\"version\": {}, \"capabilities\": []}}\n");
    shared.0.lock().unwrap().monitor = stream.try_clone().ok();
    for line in BufReader::new(stream.try_clone().unwrap()).lines() {
        let Ok(line) = line else { return };
        let asked: Value = serde_json::from_str(&line).unwrap();
        let answer = shared.0.lock().unwrap().monitor_answer(&asked);
        shared.1.notify_all();
        if stream.write_all(format!("{answer}\n").as_bytes()).is_err() {
            return;
        }
    }
}

impl State {
    fn monitor_answer(&mut self, asked: &Value) -> Value {
        let command = asked["execute"].as_str().unwrap_or_default();
        let answer = match command {
            "query-status" if self.over => json!({"running": false, "status": "shutdown"}),
            "query-status" if self.running => json!({"running": true, "status": "running"}),
            "query-status" => json!({"running": false, "status": "paused"}),
            "query-uuid" => json!({"UUID": "11111111-2222-3333-4444-555555555555"}),
            "query-name" => json!({"name": "made-up"}),
            "query-kvm" => json!({"enabled": false, "present": true}),
            "query-target" => json!({"arch": self.target}),
            "query-memdev" => json!([{"id": "mem0", "size": RAM, "share": true}]),
            "query-chardev" => json!([{"filename": self.chardev}]),
            "human-monitor-command" => {
                let line = asked["arguments"]["command-line"]
                    .as_str()
                    .unwrap_or_default();
                json!(self.monitor_text(line))
            }
            "cont" => {
                self.running = true;
                self.log.push("cont".to_owned());
                json!({})
            }
            "qmp_capabilities" => json!({}),
            other => return json!({"error": {"desc": format!("no {other} here")}}),
        };
        json!({ "return": answer })
    }
}

impl State {
    fn monitor_text(&self, line: &str) -> String {
        if let Some(("xp", rest)) = line.split_once(" /") {
            return self.dump(rest).expect("COUNTxb ADDRESS, in RAM");
        }
        match line {
            "info registers" => segments::TEXT.to_owned(),
            "info registers -a" => format!("{}EFER=0000000000000d01\r\n", segments::TEXT),
            _ => format!(
                "FlatView #1\n AS \"memory\", root: system\n  0000000000000000-{:016x} (prio 0, ram): mem0\n",
                RAM - 1
            ),
        }
    }

    /// Eight bytes a line.
    fn dump(&self, rest: &str) -> Option<String> {
        let (count, address) = rest.split_once("xb 0x")?;
        let at = usize::from_str_radix(address, 16).ok()?;
        let bytes = self.memory.get(at..at.checked_add(count.parse().ok()?)?)?;
        let lines = (at..).step_by(8).zip(bytes.chunks(8));
        let lines = lines.map(|(at, bytes)| {
            let words: Vec<_> = bytes.iter().map(|byte| format!("0x{byte:02x}")).collect();
            format!("{at:016x}: {}\r\n", words.join(" "))
        });
        Some(lines.collect())
    }
}
