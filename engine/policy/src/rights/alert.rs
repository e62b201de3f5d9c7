//! Tells the operator.

use oriel_protocol::{self as table, commands::service::RaiseAlert};

use crate::{
    bindings::oriel::introspection::{
        alert::{Host, Severity},
        types::Refusal,
    },
    limits::{ALERT_MAX, FIELDS_MAX},
    state::State,
};

impl Host for State {
    fn raise(
        &mut self,
        severity: Severity,
        message: String,
        fields: Vec<(String, String)>,
    ) -> Result<(), Refusal> {
        if fields.len() > FIELDS_MAX || length(&message, &fields) > ALERT_MAX {
            return Err(table::Refusal::Limit.into());
        }
        self.spend_alert()?;
        let severity = severity.into();
        Ok(self.service(RaiseAlert {
            severity,
            message,
            fields,
        })?)
    }
}

fn length(message: &str, fields: &[(String, String)]) -> usize {
    let fields = fields.iter().map(|(name, value)| name.len() + value.len());
    message.len() + fields.sum::<usize>()
}
