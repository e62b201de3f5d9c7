//! The same words in WIT and in the tables. The only place that turns one into the other; a test
//! walks all of them.

use oriel_protocol::{self as table, x86};

use crate::bindings::{
    exports::oriel::introspection::{judge_descriptor, judge_shutdown},
    oriel::introspection::{alert, log, types as wit, x86_registers_read as registers},
};

/// Words that have the same list of names on both sides.
macro_rules! same {
    ($from:path => $to:path: $($word:ident)*) => {
        impl From<$from> for $to {
            fn from(word: $from) -> Self {
                use {$from as Theirs, $to as Ours};
                match word { $( Theirs::$word => Ours::$word, )* }
            }
        }
    };
}
pub(crate) use same;

/// Sets that have the same list of bits on both sides.
macro_rules! same_bits {
    ($from:path => $to:path: $($bit:ident)*) => {
        impl From<$from> for $to {
            fn from(set: $from) -> Self {
                use {$from as Theirs, $to as Ours};
                let none = Ours::default();
                none $( | if set.contains(Theirs::$bit) { Ours::$bit } else { none } )*
            }
        }
    };
}

same!(table::Refusal => wit::Refusal:
    Denied Unsupported Unavailable NotFound Invalid Busy Conflict Limit Gone);
same!(table::Decision => wit::Decision:
    Continue Retry Crash Replace Deny Skip Inject Emulate Step Keep);
same!(table::events::Table => judge_descriptor::Table: Idtr Gdtr Ldtr Tr);
same!(judge_descriptor::Table => table::events::Table: Idtr Gdtr Ldtr Tr);
same!(table::events::ShutdownCause => judge_shutdown::Cause: TripleFault Request Halted);
same!(wit::EventKind => table::EventKind:
    Cr Msr Xsetbv Breakpoint Hypercall Page Trap Descriptor CreateVcpu Pause
    Singlestep Cpuid Unhook MsrRead Pio Mmio Reset Shutdown);
same!(registers::Register => x86::Register:
    Rax Rbx Rcx Rdx Rsi Rdi Rsp Rbp R8 R9 R10 R11 R12 R13 R14 R15 Rip Rflags
    Cr0 Cr2 Cr3 Cr4 Cr8 Efer FsBase GsBase IdtBase GdtBase);
same!(alert::Severity => table::commands::service::Severity: Info Low Medium High Critical);
same!(log::Level => table::commands::service::Level: Trace Debug Info Warn Error);

same_bits!(table::VerdictSet => wit::Verdicts:
    CONTINUE RETRY CRASH REPLACE DENY SKIP INJECT EMULATE STEP);
same_bits!(table::Access => wit::Access: READ WRITE EXECUTE);
same_bits!(wit::Access => table::Access: READ WRITE EXECUTE);
same_bits!(wit::Rings => table::Rings: RING0 RING1 RING2 RING3);

/// Records that have the same fields on both sides.
macro_rules! same_fields {
    ($from:path => $to:path: $($field:ident)*) => {
        impl From<$from> for $to {
            fn from(record: $from) -> Self {
                Self { $( $field: record.$field.into(), )* }
            }
        }
    };
}

pub(crate) use same_fields;

same_fields!(wit::Exception => x86::Exception: vector error_code address);
same_fields!(wit::CpuidLeaf => x86::CpuidLeaf: eax ebx ecx edx);
same_fields!(x86::CpuidLeaf => wit::CpuidLeaf: eax ebx ecx edx);
same_fields!(wit::Scope => table::Scope: cr3 rings);
same_fields!(x86::General => registers::General:
    rax rbx rcx rdx rsi rdi rsp rbp r8 r9 r10 r11 r12 r13 r14 r15 rip rflags);
same_fields!(registers::General => x86::General:
    rax rbx rcx rdx rsi rdi rsp rbp r8 r9 r10 r11 r12 r13 r14 r15 rip rflags);

impl From<&table::Case<'_>> for wit::Moment {
    fn from(case: &table::Case<'_>) -> Self {
        let (event, moment) = (case.event, case.moment);
        Self {
            vcpu: moment.vcpu,
            cpl: event.cpl,
            retired: event.retired,
            decided: case.decided.into(),
            allowed: event.allowed.into(),
            seq: moment.seq,
            ip: event.ip,
            cr3: event.cr3,
            time_ns: moment.time_ns,
        }
    }
}

/// Of a notice, which nobody answers.
impl From<table::Moment> for wit::Moment {
    fn from(moment: table::Moment) -> Self {
        Self {
            vcpu: moment.vcpu,
            cpl: 0,
            retired: false,
            decided: wit::Decision::Continue,
            allowed: wit::Verdicts::CONTINUE,
            seq: moment.seq,
            ip: 0,
            cr3: 0,
            time_ns: moment.time_ns,
        }
    }
}
