//! The policy host's words, put into a journal's and back. Owns neither.

use oriel_journal::entry::{Class, Parameter, Seat};
use oriel_policy::{Failure, Place, Setting};

/// What an instance in this place is for.
pub(crate) const fn seat(place: Place) -> Seat {
    match place {
        Place::Probe => Seat::Probe,
        Place::Vcpu(vcpu) => Seat::Vcpu(vcpu),
        Place::Vm => Seat::Vm,
        Place::Tick => Seat::Clock,
    }
}

/// The place of an instance that is for this.
pub(super) const fn place(seat: Seat) -> Place {
    match seat {
        Seat::Probe => Place::Probe,
        Seat::Vcpu(vcpu) => Place::Vcpu(vcpu),
        Seat::Vm => Place::Vm,
        Seat::Clock => Place::Tick,
    }
}

/// A setting as it is written down.
pub(super) fn parameter(setting: Setting) -> Parameter {
    match setting {
        Setting::Flag(flag) => Parameter::Flag(flag),
        Setting::Number(number) => Parameter::Number(number),
        Setting::Text(text) => Parameter::Text(text),
        Setting::Numbers(numbers) => Parameter::Numbers(numbers),
        Setting::Texts(texts) => Parameter::Texts(texts),
    }
}

/// A setting as a policy is given it.
pub(super) fn setting(parameter: Parameter) -> Setting {
    match parameter {
        Parameter::Flag(flag) => Setting::Flag(flag),
        Parameter::Number(number) => Setting::Number(number),
        Parameter::Text(text) => Setting::Text(text),
        Parameter::Numbers(numbers) => Setting::Numbers(numbers),
        Parameter::Texts(texts) => Setting::Texts(texts),
    }
}

/// In what way a call failed.
pub(super) const fn class(failure: &Failure) -> Class {
    match failure {
        Failure::Trap { .. } => Class::Trap,
        Failure::Overdue { .. } => Class::Overdue,
        Failure::Stalled { .. } | Failure::RoundOver | Failure::Full => Class::Host,
        Failure::Crowded { .. } | Failure::Foreign | Failure::Nested => Class::Host,
        Failure::Illegal { .. } | Failure::TooLong { .. } => Class::Illegal,
        Failure::Storm { .. } => Class::Storm,
        Failure::Init(_) | Failure::Declined(_) => Class::Declined,
        Failure::Mismatch(_) | Failure::Unheard(_) => Class::Unheard,
        // It is dead of something that has been told before.
        Failure::Dead => Class::Host,
    }
}
