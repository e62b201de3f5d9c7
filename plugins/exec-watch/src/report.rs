//! What the operator hears of an exec. Owns its words; judges none.

use std::fmt::Display;

use oriel_sdk::{Alert, GuestOs, Level, Log, Refusal, Severity};

use crate::exec::{Exec, Role};
use crate::rules::Breach;
use crate::words::{shown, shown_if};

/// The most characters that are shown of a path, so that an alert fits into its 4 KiB.
const PATH: usize = 512;
/// A task's name has 15 bytes, each of which may have to be written with many characters.
const NAME: usize = 64;

/// What became of an exec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It goes on.
    GoesOn,
    /// The kernel refuses it.
    Refused,
    /// It was to be refused, and goes on.
    CouldNot(Refusal),
}

/// Something that is told of an exec.
struct Field {
    name: &'static str,
    value: String,
    /// A guest has chosen it.
    is_text: bool,
}

/// An exec, and who wants it.
pub(crate) struct Report(Vec<Field>);

impl Report {
    /// Asks who the vCPU's current task is.
    pub(crate) fn of(exec: &Exec, vcpu: u32, host: &mut impl GuestOs) -> Self {
        let mut fields = Self(Vec::new());
        fields.text("path", shown_if(exec.path.as_deref(), PATH));
        fields.text("file", shown_if(exec.file.as_deref(), PATH));
        if let Some(interpreter) = &exec.interpreter {
            fields.text("interpreter", shown(interpreter, PATH));
        }
        fields.value("argc", or_unknown(exec.arguments.count));
        fields.value("envc", or_unknown(exec.variables));
        fields.value("arguments", exec.arguments.to_string());
        fields.task(vcpu, host);
        fields.value("vcpu", vcpu.to_string());
        fields
    }

    /// Whose exec it is: the task before it becomes another program.
    fn task(&mut self, vcpu: u32, host: &mut impl GuestOs) {
        let task = host.current_task(vcpu).ok();
        let task = task.as_ref();
        let parent = task.and_then(|task| task.parent);
        let parent_task = parent.and_then(|pid| host.find_task(pid).ok());
        let ids = task.and_then(|task| task.credentials.as_ref());
        self.value("pid", or_unknown(task.map(|task| task.pid)));
        self.value("tgid", or_unknown(task.map(|task| task.tgid)));
        self.text("comm", name(task.map(|task| &*task.comm)));
        self.value("parent", or_unknown(parent));
        self.text(
            "parent-comm",
            name(parent_task.as_ref().map(|task| &*task.comm)),
        );
        self.value("uid", or_unknown(ids.map(|ids| ids.uid)));
        self.value("euid", or_unknown(ids.map(|ids| ids.euid)));
    }

    fn text(&mut self, name: &'static str, value: String) {
        let is_text = true;
        self.0.push(Field {
            name,
            value,
            is_text,
        });
    }

    fn value(&mut self, name: &'static str, value: String) {
        let is_text = false;
        self.0.push(Field {
            name,
            value,
            is_text,
        });
    }

    /// As one line, for the log.
    pub(crate) fn line(&self, answer: Answer) -> String {
        let fields = self.0.iter().map(
            |Field {
                 name,
                 value,
                 is_text,
             }| {
                let quote = if *is_text { "\"" } else { "" };
                format!("{name}={quote}{value}{quote}")
            },
        );
        let fields: Vec<String> = fields.collect();
        format!("exec {} answer={}", fields.join(" "), answer.name())
    }

    /// Tells of something that may not run.
    pub(crate) fn alert(
        &self,
        (breach, role): (Breach, Role),
        answer: Answer,
        host: &mut (impl Alert + Log),
    ) {
        let message = format!("{}{}{}", breach.words(), role.words(), answer.words());
        let fields: Vec<(&str, &dyn Display)> = self
            .0
            .iter()
            .map(|field| (field.name, &field.value as &dyn Display))
            .collect();
        if let Err(refusal) = host.alert(answer.severity(), &message, &fields) {
            let line = format!(
                "{message} (no alert: {}): {}",
                refusal.name(),
                self.line(answer)
            );
            host.log(Level::Error, &line);
        }
    }
}

impl Answer {
    const fn name(self) -> &'static str {
        match self {
            Self::GoesOn => "goes-on",
            Self::Refused => "refused",
            Self::CouldNot(_) => "could-not-be-refused",
        }
    }

    fn words(self) -> String {
        match self {
            Self::GoesOn => ", and goes on".to_owned(),
            Self::Refused => ", and was refused".to_owned(),
            Self::CouldNot(refusal) => format!(", and could not be refused: {}", refusal.name()),
        }
    }

    const fn severity(self) -> Severity {
        match self {
            Self::GoesOn | Self::Refused => Severity::High,
            Self::CouldNot(_) => Severity::Critical,
        }
    }
}

impl Role {
    const fn words(self) -> &'static str {
        match self {
            Self::Program => "",
            Self::Interpreter => " as the interpreter of a script",
        }
    }
}

fn name(comm: Option<&str>) -> String {
    shown_if(comm.map(str::as_bytes), NAME)
}

fn or_unknown(value: Option<impl Display>) -> String {
    value.map_or_else(|| "unknown".to_owned(), |value| value.to_string())
}
