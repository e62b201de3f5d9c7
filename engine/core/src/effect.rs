//! What a verdict has done to the guest, in words for event lines.

use oriel_protocol::{Event, EventData, Value, Verdict, events::EventClass};

/// What a verdict has done.
pub fn effect(event: &Event, verdict: &Verdict) -> String {
    match verdict {
        Verdict::Continue => continued(&event.data),
        Verdict::Retry => "the instruction runs again".to_owned(),
        Verdict::Crash => "the VM is stopped".to_owned(),
        Verdict::Replace(value) if event.data.old().map(Value::Word) == Some(*value) => {
            "the old value stays".to_owned()
        }
        Verdict::Replace(value) => format!("{} instead", show(value)),
        Verdict::Deny => "#GP(0)".to_owned(),
        Verdict::Skip => "the instruction has no effect".to_owned(),
        Verdict::Inject(exception) => format!("exception {}", exception.vector),
        Verdict::Emulate(bytes) => format!("{} bytes are read instead", bytes.len()),
        Verdict::Step => "it happens, once".to_owned(),
    }
}

fn continued(data: &EventData) -> String {
    match (data.kind().class(), data.proposed()) {
        (EventClass::Notice | EventClass::Wire, _) => "told".to_owned(),
        (EventClass::Vcpu, Some(value)) if data.old().is_some() => {
            format!("{} is written", show(&value))
        }
        (EventClass::Vcpu, _) => "it happens".to_owned(),
    }
}

fn show(value: &Value) -> String {
    match value {
        Value::Word(word) => format!("{word:#x}"),
        Value::Leaf(leaf) => {
            format!(
                "eax {:#x} ebx {:#x} ecx {:#x} edx {:#x}",
                leaf.eax, leaf.ebx, leaf.ecx, leaf.edx
            )
        }
    }
}
