//! Telling the operator.

use std::fmt::Display;

use crate::bindings::rights::oriel::introspection::alert as wit;
use crate::{Engine, Refusal};

/// How bad it is.
pub use wit::Severity;

/// The right to raise alerts.
///
/// ```
/// use oriel_sdk::{Alert, Refusal, Severity, hex};
///
/// fn report(host: &mut impl Alert, msr: u32, vcpu: u32) -> Result<(), Refusal> {
///     host.alert(
///         Severity::High,
///         "the guest changed where system calls go",
///         &[("msr", &hex(msr)), ("vcpu", &vcpu)],
///     )
/// }
/// ```
pub trait Alert {
    /// Raises an alert: the message is for a person, the fields are for a machine.
    ///
    /// # Errors
    /// Denied, or the policy has raised too many.
    fn alert(
        &mut self,
        severity: Severity,
        message: &str,
        fields: &[(&str, &dyn Display)],
    ) -> Result<(), Refusal>;

    /// As [`alert`](Self::alert), for a policy whose answer does not depend on whether anybody hears
    /// of it.
    ///
    /// ```
    /// use oriel_sdk::{Alert, Refusal, Severity};
    /// use oriel_sdk::testing::{Command, MockEngine};
    ///
    /// let mut host = MockEngine::default();
    /// host.refuse(Command::Alert, Refusal::Limit);
    /// host.report(Severity::Low, "nobody hears of this", &[]);
    /// assert_eq!(host.asked, [Command::Alert]);
    /// ```
    fn report(&mut self, severity: Severity, message: &str, fields: &[(&str, &dyn Display)]) {
        // The engine counts what it has refused.
        let _ = self.alert(severity, message, fields);
    }
}

impl Alert for Engine {
    fn alert(
        &mut self,
        severity: Severity,
        message: &str,
        fields: &[(&str, &dyn Display)],
    ) -> Result<(), Refusal> {
        let text = |(name, value): &(&str, &dyn Display)| (String::from(*name), value.to_string());
        let fields: Vec<_> = fields.iter().map(text).collect();
        wit::raise(severity, message, &fields)
    }
}
