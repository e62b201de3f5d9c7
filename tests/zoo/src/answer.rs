//! The acts that are verdicts. Everything else is answered with `continue`.

use oriel_sdk::{Exception, verdict};

use crate::settings::{Act, Answer, Settings};

/// #UD, an exception without an error code.
const INVALID_OPCODE: Exception = Exception {
    vector: 6,
    error_code: None,
    address: 0,
};

/// The answer to an instruction that moves a value.
pub(crate) fn value(settings: &Settings, is_meant: bool) -> verdict::Value<u64> {
    use verdict::Value;
    match chosen(settings, is_meant) {
        Answer::Continue => Value::Continue,
        Answer::Deny => Value::Deny,
        Answer::Replace => Value::Replace(settings.value),
        Answer::Crash => Value::Crash,
        Answer::Skip => Value::Skip,
        Answer::Inject => Value::Inject(INVALID_OPCODE),
        Answer::Retry => Value::Retry,
    }
}

/// The answer to what has happened already: there is no other than these.
pub(crate) fn fact(settings: &Settings, is_meant: bool) -> verdict::Fact {
    if chosen(settings, is_meant) == Answer::Crash {
        verdict::Fact::Crash
    } else {
        verdict::Fact::Continue
    }
}

fn chosen(settings: &Settings, is_meant: bool) -> Answer {
    match settings.act {
        Act::Answer(answer) if is_meant => answer,
        Act::Answer(_) | Act::Harm(_) | Act::Ask(_) | Act::HugeAnswer => Answer::Continue,
    }
}
