//! What a tool's answer to an event means: a pure function.
//!
//! An action that is unknown, or that the event does not take, is "not continue", as in the
//! kernel: a register keeps its value, an instruction is met again.

use oriel_protocol::{
    Access, Case, EventData, Value, Verdict, VerdictSet,
    events::Page,
    kvmi::{Action, Body, EventReply, PageReply},
};

/// The verdict on what was put to the tool, which is `asked`. `load` reads guest memory.
pub(super) fn verdict(
    case: &Case<'_>,
    asked: &EventData,
    reply: &EventReply,
    load: impl FnOnce(&Page) -> Option<Vec<u8>>,
) -> Verdict {
    match reply.action {
        Action::Crash => Verdict::Crash,
        Action::Continue => goes_on(case, asked, &reply.body, load),
        Action::Retry | Action::Other(_) => again(case, asked, &reply.body),
    }
}

fn goes_on(
    case: &Case<'_>,
    asked: &EventData,
    body: &Body,
    load: impl FnOnce(&Page) -> Option<Vec<u8>>,
) -> Verdict {
    match (asked, body) {
        (EventData::Cr(_) | EventData::Msr(_), Body::Value(value)) => {
            replace_unless(asked.proposed(), *value)
        }
        (EventData::Page(page), Body::Page(answer)) => emulate(case, page, answer, load),
        // Whoever asks its introspector is answered 0, as by the kernel.
        (EventData::Hypercall(_), _) => Verdict::Replace(Value::Word(0)),
        _ => Verdict::Continue,
    }
}

fn replace_unless(proposed: Option<Value>, value: u64) -> Verdict {
    let value = Value::Word(value);
    if proposed == Some(value) {
        Verdict::Continue
    } else {
        Verdict::Replace(value)
    }
}

/// Bytes of the tool's lie over those that a load gets.
fn emulate(
    case: &Case<'_>,
    page: &Page,
    answer: &PageReply,
    load: impl FnOnce(&Page) -> Option<Vec<u8>>,
) -> Verdict {
    let takes = case.event.allowed.contains(VerdictSet::EMULATE);
    if answer.ctx_size == 0 || !takes || !page.access.contains(Access::READ) {
        return Verdict::Continue;
    }
    let (Some(gva), Some(mut bytes)) = (page.gva, load(page)) else {
        return Verdict::Continue;
    };
    let given = answer.ctx_data.iter().take(answer.ctx_size as usize);
    for (at, byte) in (answer.ctx_addr..).zip(given) {
        let offset = at.checked_sub(gva).and_then(|at| usize::try_from(at).ok());
        if let Some(to) = offset.and_then(|offset| bytes.get_mut(offset)) {
            *to = *byte;
        }
    }
    Verdict::Emulate(bytes.into())
}

#[expect(clippy::wildcard_enum_match_arm, reason = "what is only told goes on")]
fn again(case: &Case<'_>, asked: &EventData, body: &Body) -> Verdict {
    if let (EventData::Page(_), Body::Page(answer)) = (asked, body)
        && answer.singlestep
        && case.event.allowed.contains(VerdictSet::STEP)
    {
        return Verdict::Step;
    }
    match asked {
        EventData::Cr(_) | EventData::Msr(_) => {
            let old = asked.old().unwrap_or_default();
            Verdict::Replace(Value::Word(old))
        }
        EventData::Breakpoint(_) | EventData::Page(_) | EventData::Descriptor(_) => {
            // A store that has been carried out already cannot be met again: it stands.
            let retries = case.event.allowed.contains(VerdictSet::RETRY);
            if retries {
                Verdict::Retry
            } else {
                Verdict::Continue
            }
        }
        _ => Verdict::Continue,
    }
}

#[cfg(test)]
mod tests;
