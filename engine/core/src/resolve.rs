//! Virtual memory that is granted by the pages behind it: finds them, and does there what was
//! asked for. Owns neither the grant nor the vCPU; never translates a second time, because the
//! guest may have changed its tables by then.

use oriel_machine::{
    GuestMemory,
    paging::{Mode, Walks},
};
use oriel_protocol::{
    Gpa, Refusal, Span, VcpuCall,
    commands::{
        VcpuReply,
        vcpu::{Place, SetBreakpoint},
    },
    x86::Control,
};

use crate::desk::memory;

/// What became of a command whose pages are known.
pub(crate) enum Resolved {
    /// It is done.
    Answered(Result<VcpuReply, Refusal>),
    /// This has to be run in its place.
    Instead(VcpuCall),
}

/// The pages behind virtual addresses. Where one is not mapped there is no page that could be
/// granted, and the answer is no different from that for one that is not.
pub(crate) fn pieces(
    memory: &dyn GuestMemory,
    walks: &mut Walks,
    control: &Control,
    span: &Span,
) -> Result<Vec<(Gpa, usize)>, Refusal> {
    let length = usize::try_from(span.length).map_err(|_| Refusal::Invalid)?;
    memory::check_length(length)?;
    let cr3 = span.cr3.unwrap_or(control.cr3);
    let found = walks.pieces(memory, Mode::by(control), cr3, span.gva, length);
    found.map_err(|_| Refusal::Denied)
}

/// The control registers out of an answer to `get-registers`.
pub(crate) fn control(answer: VcpuReply) -> Result<Control, Refusal> {
    if let VcpuReply::GetRegisters(registers) = answer {
        return Ok(Control::of(&registers.special));
    }
    Err(Refusal::Invalid)
}

/// Does a command at the pages that were granted.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "only what has pages is named"
)]
pub(crate) fn resolve(
    memory: &dyn GuestMemory,
    call: VcpuCall,
    pieces: &[(Gpa, usize)],
) -> Resolved {
    let first = pieces.first().map(|&(gpa, _)| gpa);
    let first = first.ok_or(Refusal::NotFound);
    Resolved::Answered(match call {
        VcpuCall::TranslateGva(_) => first.map(VcpuReply::TranslateGva),
        VcpuCall::TranslateIn(_) => first.map(VcpuReply::TranslateIn),
        VcpuCall::ReadVirtual(_) => memory::read_pieces(memory, pieces).map(VcpuReply::ReadVirtual),
        VcpuCall::WriteVirtual(request) => {
            memory::write_pieces(memory, pieces, &request.bytes).map(VcpuReply::WriteVirtual)
        }
        VcpuCall::SetBreakpoint(SetBreakpoint { tag, .. }) => match first {
            Ok(gpa) => {
                let place = Place::Gpa(gpa);
                return Resolved::Instead(VcpuCall::SetBreakpoint(SetBreakpoint { place, tag }));
            }
            Err(refusal) => Err(refusal),
        },
        other => return Resolved::Instead(other),
    })
}
