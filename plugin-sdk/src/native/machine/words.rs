//! The same words in the SDK and in the machine's tables. The only place here that turns one into the
//! other.

use oriel_protocol::{self as table, events, x86};

use crate::{
    Access, Capability, CpuidLeaf, EventKind, Exception, GeneralRegisters, Refusal, Register,
    Support, Verdicts, descriptor, shutdown,
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

same!(table::Refusal => Refusal:
    Denied Unsupported Unavailable NotFound Invalid Busy Conflict Limit Gone);
same!(events::Table => descriptor::Table: Idtr Gdtr Ldtr Tr);
same!(events::ShutdownCause => shutdown::Cause: TripleFault Request Halted);
same!(table::Support => Support: No Partly Yes);
same!(EventKind => table::EventKind:
    Cr Msr Xsetbv Breakpoint Hypercall Page Trap Descriptor CreateVcpu Pause
    Singlestep Cpuid Unhook MsrRead Pio Mmio Reset Shutdown);
same!(Register => x86::Register:
    Rax Rbx Rcx Rdx Rsi Rdi Rsp Rbp R8 R9 R10 R11 R12 R13 R14 R15 Rip Rflags
    Cr0 Cr2 Cr3 Cr4 Cr8 Efer FsBase GsBase IdtBase GdtBase);

same_fields!(Exception => x86::Exception: vector error_code address);
same_fields!(CpuidLeaf => x86::CpuidLeaf: eax ebx ecx edx);
same_fields!(x86::CpuidLeaf => CpuidLeaf: eax ebx ecx edx);
same_fields!(x86::General => GeneralRegisters:
    rax rbx rcx rdx rsi rdi rsp rbp r8 r9 r10 r11 r12 r13 r14 r15 rip rflags);
same_fields!(GeneralRegisters => x86::General:
    rax rbx rcx rdx rsi rdi rsp rbp r8 r9 r10 r11 r12 r13 r14 r15 rip rflags);

impl From<table::Access> for Access {
    fn from(set: table::Access) -> Self {
        let bit = |theirs, ours| {
            if set.contains(theirs) {
                ours
            } else {
                Self::empty()
            }
        };
        bit(table::Access::READ, Self::READ)
            | bit(table::Access::WRITE, Self::WRITE)
            | bit(table::Access::EXECUTE, Self::EXECUTE)
    }
}

impl From<Access> for table::Access {
    fn from(set: Access) -> Self {
        let bit = |theirs, ours| {
            if set.contains(theirs) {
                ours
            } else {
                Self::NONE
            }
        };
        bit(Access::READ, Self::READ)
            | bit(Access::WRITE, Self::WRITE)
            | bit(Access::EXECUTE, Self::EXECUTE)
    }
}

impl From<table::VerdictSet> for Verdicts {
    fn from(set: table::VerdictSet) -> Self {
        // The order of the bits is the WIT's on both sides; a test walks them by name.
        Self::from_bits_truncate(set.bits())
    }
}

impl From<&table::Capability> for Capability {
    fn from(known: &table::Capability) -> Self {
        let detail = [&*known.mechanism, &known.reason];
        let said: Vec<_> = detail.into_iter().filter(|part| !part.is_empty()).collect();
        Self {
            name: known.name.clone().into_owned(),
            support: known.support.into(),
            detail: said.join(": "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_have_the_same_bits_on_both_sides() {
        for (bit, name) in table::VerdictSet::NAMES {
            let ours = Verdicts::from(*bit);
            let shown = format!("{ours:?}").to_lowercase();
            assert!(shown.contains(name), "{shown} is not {name}");
        }
    }
}
