//! What a written value asks for: its low byte says what, the rest with what.

use oriel_sdk::{
    Access, Exception, Host, MemoryRange, Moment, ReadStructures, Refusal, Register, Severity, hex,
    msr,
};

/// What is asked for.
pub(crate) enum Deed<H> {
    /// This verdict.
    Answer(msr::Verdict),
    /// That the old value stays.
    Keep,
    /// A question to the host; the answer is for the log.
    Ask(Question<H>, u64),
}

/// Asks something, and says what came of it.
type Question<H> = fn(&Moment, u64, &mut H) -> String;

/// How many deeds there are.
const DEEDS: u64 = 30;

impl<H: Host> Deed<H> {
    /// What this value asks for.
    pub(crate) fn of(value: u64) -> Self {
        let with = value >> 8;
        let question: Question<H> = match value % 256 % DEEDS {
            0 | 1 => return Self::Answer(msr::Verdict::Continue),
            2 => return Self::Answer(msr::Verdict::Deny),
            3 => return Self::Answer(msr::Verdict::Replace(with)),
            4 => return Self::Answer(msr::Verdict::Skip),
            5 => return Self::Answer(msr::Verdict::Inject(exception(with))),
            6 => return Self::Answer(msr::Verdict::Retry),
            7 if with % 8 == 7 => return Self::Answer(msr::Verdict::Crash),
            7 | 8 => return Self::Keep,
            9 => read,
            10 => read_virtual,
            11 => read_scattered,
            12 => words,
            13 => list,
            14 => text,
            15 => write,
            16 => write_virtual,
            17 => registers,
            18 => set_register,
            19 => set_registers,
            20 => set_msr,
            21 => set_rip,
            22 => numbers,
            23 => bytes,
            24 => swap,
            25 => alert,
            26 => inject,
            27 => trap_page,
            28 => intercept,
            _ => breakpoints,
        };
        Self::Ask(question, with)
    }
}

fn exception(with: u64) -> Exception {
    let vectors = [0, 6, 13, 14];
    let vector = vectors[usize::try_from(with % 4).unwrap_or(0)];
    Exception {
        vector,
        error_code: (vector > 8).then_some(0),
        address: with,
    }
}

fn said<T: std::fmt::Debug>(answer: Result<T, Refusal>) -> String {
    format!("{answer:?}")
}

/// An address in the first two pages of interest and a little beyond, and now and then where no RAM
/// is.
fn address(with: u64) -> u64 {
    if with % 16 == 15 {
        return 0x100_0000 + with % 64;
    }
    0x5000 + with % 0x5000
}

fn length(with: u64) -> u32 {
    u32::try_from(with % 33).unwrap_or(0)
}

fn read(_: &Moment, with: u64, host: &mut impl Host) -> String {
    let bytes = host.read_memory(address(with), length(with));
    said(bytes) + &said(host.read_u64(address(with / 3)))
}

fn read_virtual(at: &Moment, with: u64, host: &mut impl Host) -> String {
    let gva = 0xffff_ffff_8100_0000 + with % 0x3000;
    let bytes = host.read_virtual(at.vcpu, gva, length(with));
    let other = host.read_virtual_in(at.vcpu, 0x8000, gva, 4);
    said(bytes)
        + &said(other)
        + &said(host.translate(at.vcpu, gva))
        + &said(host.translate_in(at.vcpu, at.cr3, with))
}

fn read_scattered(_: &Moment, with: u64, host: &mut impl Host) -> String {
    let range = |at: u64| MemoryRange {
        gpa: address(with + at * 7),
        length: length(with + at),
    };
    let ranges: Vec<_> = (0..4).map(range).collect();
    said(host.read_batch(&ranges))
}

fn words(_: &Moment, with: u64, host: &mut impl Host) -> String {
    let gpa = address(with);
    let covers = (host.covers(gpa, 8), host.covers(gpa, 1 << 40));
    let words = (host.word_u8(gpa), host.word_u16(gpa), host.word_u32(gpa));
    format!("{covers:?} {words:?} {:#x}", host.word_u64(gpa))
}

fn list(at: &Moment, with: u64, host: &mut impl Host) -> String {
    let most = usize::try_from(with % 5).unwrap_or(0);
    said(host.walk_list(at.vcpu, 0x6000, most))
}

fn text(at: &Moment, with: u64, host: &mut impl Host) -> String {
    said(host.read_text(at.vcpu, 0x9000 + with % 40, length(with)))
}

fn write(_: &Moment, with: u64, host: &mut impl Host) -> String {
    let bytes = with.to_le_bytes();
    let length = usize::try_from(with % 9).unwrap_or(0);
    said(host.write_memory(address(with), &bytes[..length]))
}

fn write_virtual(at: &Moment, with: u64, host: &mut impl Host) -> String {
    let gva = 0xffff_ffff_8100_0ffc + with % 0x2000;
    said(host.write_virtual(at.vcpu, gva, &with.to_le_bytes()))
}

fn registers(at: &Moment, with: u64, host: &mut impl Host) -> String {
    let names = [
        Register::Rax,
        Register::Cr4,
        Register::Efer,
        Register::GsBase,
        Register::Rip,
    ];
    let one = names[usize::try_from(with % 5).unwrap_or(0)];
    let vcpu = at.vcpu + u32::from(with % 7 == 6) * 9;
    let area = host.get_xsave(vcpu).map(|area| area.len());
    let function = u32::try_from(with % 9).unwrap_or(0);
    said(host.get_register(vcpu, one))
        + &said(host.get_msr(vcpu, msr::STAR))
        + &said(host.get_msr(vcpu, 0x4242))
        + &said(host.get_xcr(vcpu, 0))
        + &said(
            host.get_cpuid(vcpu, function, 0)
                .map(|leaf| (leaf.eax, leaf.edx)),
        )
        + &said(host.get_mtrr_type(vcpu, address(with)))
        + &said(area)
}

fn set_register(at: &Moment, with: u64, host: &mut impl Host) -> String {
    let names = [
        Register::Rbx,
        Register::R8,
        Register::Cr2,
        Register::Cr4,
        Register::Efer,
    ];
    let one = names[usize::try_from(with % 5).unwrap_or(0)];
    let set = host.set_register(at.vcpu, one, with);
    said(set) + &said(host.get_register(at.vcpu, one))
}

fn set_registers(at: &Moment, with: u64, host: &mut impl Host) -> String {
    let Ok(mut all) = host.get_registers(at.vcpu) else {
        return "none".to_owned();
    };
    (all.rsi, all.r15) = (with, all.rsi);
    let set = host.set_registers(at.vcpu, all);
    said(set) + &said(host.get_register(at.vcpu, Register::Rsi))
}

fn set_msr(at: &Moment, with: u64, host: &mut impl Host) -> String {
    let numbers = [msr::STAR, msr::SFMASK, msr::LSTAR, 0x4242];
    let number = numbers[usize::try_from(with % 4).unwrap_or(0)];
    said(host.set_msr(at.vcpu, number, with << (with % 60)))
}

fn set_rip(at: &Moment, with: u64, host: &mut impl Host) -> String {
    said(host.set_register(at.vcpu, Register::Rip, 0x4000 + with % 0x100))
}

fn numbers(_: &Moment, with: u64, host: &mut impl Host) -> String {
    let key = format!("n{}", with % 3);
    let sum = host.add_number(&key, with);
    said(sum) + &said(host.get_number("n0")) + &said(host.set_number("n2", with))
}

fn bytes(_: &Moment, with: u64, host: &mut impl Host) -> String {
    let key = format!("n{}", with % 4);
    let set = host.set_bytes(
        &key,
        &with.to_le_bytes()[..usize::from(with.is_multiple_of(2)) * 5 + 3],
    );
    said(set) + &said(host.get_bytes("n1")) + &said(host.remove_key("n0")) + &said(host.keys("n"))
}

fn swap(_: &Moment, with: u64, host: &mut impl Host) -> String {
    let number = host.compare_and_swap_number("n1", Some(with), with + 1);
    let bytes = host.compare_and_swap_bytes("n3", None, &[1, 2]);
    said(number) + &said(bytes) + &said(host.first_number("first", with))
}

fn alert(at: &Moment, with: u64, host: &mut impl Host) -> String {
    let fields: [(&str, &dyn std::fmt::Display); 2] = [("with", &hex(with)), ("ip", &hex(at.ip))];
    let severity = if with.is_multiple_of(2) {
        Severity::Low
    } else {
        Severity::Critical
    };
    said(host.alert(severity, "asked for", &fields))
}

fn inject(at: &Moment, with: u64, host: &mut impl Host) -> String {
    let vector = u8::try_from(with % 40).unwrap_or(0);
    let exception = Exception {
        vector,
        error_code: None,
        address: 0,
    };
    said(host.inject(at.vcpu, exception)) + &said(host.inject(at.vcpu, exception))
}

fn trap_page(_: &Moment, with: u64, host: &mut impl Host) -> String {
    let rights = [
        Access::READ,
        Access::READ | Access::WRITE,
        Access::all(),
        Access::empty(),
    ];
    let allowed = rights[usize::try_from(with % 4).unwrap_or(0)];
    let gpa = 0x8000 + (with / 4 % 3) * 0x1000;
    let set = host.set_page_access(gpa, allowed, with);
    said(set) + &said(host.get_page_access(gpa)) + &said(host.set_page_access(1 << 40, allowed, 1))
}

fn intercept(at: &Moment, with: u64, host: &mut impl Host) -> String {
    let on = !with.is_multiple_of(3);
    said(host.intercept_msr(at.vcpu, msr::KERNEL_GS_BASE, on))
        + &said(host.intercept_cr(at.vcpu, u8::try_from(with % 5).unwrap_or(0), on))
        + &said(host.single_step(at.vcpu, on))
}

fn breakpoints(_: &Moment, with: u64, host: &mut impl Host) -> String {
    let gva = 0x7100 + with % 4 * 8;
    let point = host.set_hardware_breakpoint(gva, 100 + with % 6);
    let watch = host.set_watchpoint(0x5000 + with % 3 * 4, 4, Access::WRITE, 200 + with % 4);
    let code = host.set_breakpoint(
        0,
        oriel_sdk::BreakpointPlace::Gva(0x7200 + with % 3),
        with % 5,
    );
    let clear = host.clear_breakpoint(100 + with % 3);
    said(point) + &said(watch) + &said(code) + &said(clear) + &said(host.breakpoints())
}
