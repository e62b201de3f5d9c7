//! The policy's own log.

use oriel_protocol::commands::service::{self, WriteLog};

use crate::{
    bindings::oriel::introspection::log::{Host, Level},
    limits::cut,
    state::State,
};

impl Host for State {
    fn write(&mut self, level: Level, message: String) {
        let message = cut(message);
        let level = level.into();
        if level == service::Level::Error {
            self.keep_words(&message);
        }
        let spent = self.spend_log(message.len());
        if spent
            .and_then(|()| self.service(WriteLog { level, message }))
            .is_err()
        {
            self.drop_log();
        }
    }
}
