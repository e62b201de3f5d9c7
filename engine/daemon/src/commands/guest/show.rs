//! Answers about a guest for people: lines and tables.

mod entries;
mod info;
mod lists;
mod types;

use serde_json::Value as Json;

use crate::linux::Question;

/// The answer to a question, line by line.
pub(super) fn lines(question: &Question, answer: &Json) -> Vec<String> {
    match question {
        Question::Info => info::info(answer),
        Question::Symbols { .. } => lists::symbols(answer),
        Question::At { .. } => lists::at(answer),
        Question::Type { .. } => types::types(answer),
        Question::Tasks | Question::Threads => lists::tasks(answer),
        Question::Hidden => lists::hidden(answer),
        Question::Modules => lists::modules(answer),
        Question::Syscalls { .. } => entries::calls(answer),
        Question::Interrupts => entries::interrupts(answer),
    }
}

#[cfg(test)]
mod tests;
