//! The file of the journal. Never writes over one that is there.

use std::{fs::OpenOptions, os::unix::fs::OpenOptionsExt, path::PathBuf, sync::Arc};

use anyhow::Context;
use oriel_engine::{
    Journal,
    journal::{Full, Settings},
};
use oriel_protocol::Identity;

use crate::{
    args::{RecordArgs, RecordFull},
    config::RecordConfig,
    output::warn,
};

/// Where every call of a policy is written down.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RecordPlan {
    pub(crate) file: PathBuf,
    pub(crate) full: Full,
}

impl RecordPlan {
    /// What was typed goes before what is configured.
    pub(crate) fn resolve(typed: RecordArgs, configured: Option<RecordConfig>) -> Option<Self> {
        let (known, known_full) = configured.map_or((None, None), |it| (Some(it.file), it.full));
        let full = match typed.record_full.or(known_full) {
            Some(RecordFull::Drop) => Full::Drop,
            Some(RecordFull::Block) | None => Full::Block,
        };
        let file = typed.record.or(known)?;
        Some(Self { file, full })
    }

    /// Begins the journal.
    pub(crate) fn start(&self, identity: &Identity, vcpus: usize) -> anyhow::Result<Arc<Journal>> {
        let name = self.file.display();
        let options = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.file);
        let file = options.with_context(|| {
            format!("--record {name} cannot be begun; one that is there already is kept: move it away, or name another file")
        })?;
        let settings = Settings {
            full: self.full,
            ..Settings::default()
        };
        let vcpus = u32::try_from(vcpus).unwrap_or(u32::MAX - 1);
        Journal::start(file, (identity, vcpus), settings)
            .with_context(|| format!("--record {name} cannot be written"))
    }
}

/// Closes the journal, and tells what it lacks.
pub(crate) fn finish(journal: &Journal, detail: &str) {
    let Some(closed) = journal.finish(detail) else {
        return;
    };
    if closed.lost > 0 {
        warn(format_args!(
            "oriel: {} calls of policies are not in the journal",
            closed.lost
        ));
    }
    if !closed.whole {
        warn(format_args!(
            "oriel: the journal could not be written to its end; `oriel journal verify` says how far it goes"
        ));
    }
    tracing::info!(
        records = closed.records,
        bytes = closed.bytes,
        "the journal is closed"
    );
}
