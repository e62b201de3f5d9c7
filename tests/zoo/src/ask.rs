//! What needs a right: floods, which a host must limit, and looks at the guest, by which it is
//! seen what a policy may do. Answers nothing; a refusal is told.

use oriel_sdk::{
    Alert, BreakpointPlace, Host, Intercept, Level, Log, MemoryRange, MemoryRead, Refusal,
    RegistersRead, Severity, Store, hex,
};

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
        Ask::CommandStorm => storm(settings.times, vcpu, host),
        Ask::Forbidden => overreach(vcpu, host),
        Ask::HugeText => host.log(Level::Info, &"x".repeat(HUGE)),
        Ask::HugeList => {
            let ranges = vec![MemoryRange { gpa: 0, length: 1 }; HUGE / 16];
            tell(
                host.read_scattered(&ranges)
                    .map(|read| read.len().to_string()),
                host,
            );
        }
        // Done where the value is known.
        Ask::Remember => {}
    }
}

/// More than the host takes in one call.
const HUGE: usize = 4 << 20;

/// Asks on, whatever the answer is.
fn storm(times: u64, vcpu: u32, host: &mut (impl Log + RegistersRead)) {
    let ask = |_: &u64| host.get_registers(vcpu).is_err();
    let refused = (0..times).filter(ask).count();
    host.log(Level::Warn, &format!("{refused} commands were refused"));
}

/// Tries what a policy may not do though it has the right: to arm what it does not judge, to arm
/// without an end, and to reach for what there is not.
fn overreach(vcpu: u32, host: &mut (impl Alert + Intercept + Log + MemoryRead)) {
    let at = BreakpointPlace::Gva(0);
    let tries = [
        host.intercept_cr(vcpu, 3, true),
        host.single_step(vcpu, true),
        host.set_breakpoint(vcpu, at, 1),
        host.intercept_msr(u32::MAX, 0x10, true),
        host.read_memory(u64::MAX - 3, 8).map(|_| ()),
        host.read_memory(0, u32::MAX).map(|_| ()),
    ];
    let refused = tries.iter().filter(|answer| answer.is_err()).count();
    tell(Ok(format!("{refused} of {}", tries.len())), host);
}

/// Keeps the first value in the store; whether this one is another.
pub(crate) fn differs_from_the_first(value: u64, host: &mut impl Store) -> bool {
    let first = host.compare_and_swap_number("first", None, value);
    !matches!(first, Ok(None)) && first != Ok(Some(value))
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
