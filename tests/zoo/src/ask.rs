//! What needs a right: floods, which a host must limit, and looks at the guest, by which it is
//! seen what a policy may do. Answers nothing; a refusal is told.

use oriel_sdk::{Alert, Host, Level, Log, Refusal, Severity, Store, hex};

use crate::settings::{Ask, Settings};

/// Asks it.
pub(crate) fn ask(ask: Ask, settings: &Settings, vcpu: u32, host: &mut impl Host) {
    match ask {
        Ask::LogFlood => flood_log(settings.times, host),
        Ask::AlertFlood => flood_alerts(settings.times, host),
        Ask::StoreFlood => flood_store(settings.times, host),
        Ask::ReadRegisters => {
            let read = host.get_registers(vcpu);
            tell(read.map(|registers| hex(registers.rip).to_string()), host);
        }
        Ask::ReadMemory => {
            let read = host.read_memory(settings.value, 8);
            tell(read.map(|bytes| format!("{bytes:02x?}")), host);
        }
        Ask::Alert => tell(Ok(format!("vCPU {vcpu}")), host),
        Ask::Count => count(host),
    }
}

fn flood_log(times: u64, host: &mut impl Log) {
    for time in 0..times {
        host.log(Level::Info, &format!("line {time} of the flood"));
    }
}

fn flood_alerts(times: u64, host: &mut (impl Alert + Log)) {
    let raise = |_: &u64| host.alert(Severity::Info, "one of the flood", &[]).is_err();
    let refused = (0..times).filter(raise).count();
    host.log(Level::Warn, &format!("{refused} alerts were refused"));
}

fn flood_store(times: u64, host: &mut (impl Log + Store)) {
    let put = |time: &u64| {
        let key = format!("flood/{time}");
        host.set_bytes(&key, &[7; 1024]).is_err()
    };
    let refused = (0..times).filter(put).count();
    host.log(Level::Warn, &format!("{refused} keys were refused"));
}

fn count(host: &mut (impl Log + Store)) {
    if let Err(refusal) = host.add_number("count", 1) {
        host.log(Level::Warn, &format!("not counted: {refusal}"));
    }
}

/// Raises an alert that says what was read, or why not.
fn tell(answer: Result<String, Refusal>, host: &mut (impl Alert + Log)) {
    let (name, value) = match answer {
        Ok(value) => ("value", value),
        Err(refusal) => ("refusal", refusal.name().to_owned()),
    };
    let raised = host.alert(Severity::Low, "the zoo was told to look", &[(name, &value)]);
    if let Err(refusal) = raised {
        host.log(Level::Warn, &format!("no alert: {refusal}"));
    }
}
