//! The file of the audit trail. Never writes over one that is there.

use std::{fs::OpenOptions, os::unix::fs::OpenOptionsExt, path::PathBuf, sync::Arc};

use anyhow::Context;
use oriel_engine::{
    Audit,
    audit::{Full, Settings},
};
use oriel_protocol::Identity;

use crate::{args::AuditFull, config::AuditConfig};

/// Where every command is written down.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AuditPlan {
    pub(crate) file: PathBuf,
    pub(crate) full: Full,
}

impl AuditPlan {
    /// What was typed goes before what is configured.
    pub(crate) fn resolve(
        file: Option<PathBuf>,
        full: Option<AuditFull>,
        configured: Option<AuditConfig>,
    ) -> Option<Self> {
        let (known, known_full) = configured.map_or((None, None), |it| (Some(it.file), it.full));
        let full = match full.or(known_full) {
            Some(AuditFull::Drop) => Full::Drop,
            Some(AuditFull::Refuse) | None => Full::Refuse,
        };
        file.or(known).map(|file| Self { file, full })
    }

    /// Begins the trail.
    pub(crate) fn start(&self, identity: &Identity) -> anyhow::Result<Arc<Audit>> {
        let name = self.file.display();
        let options = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.file);
        let file = options.with_context(|| {
            format!("--audit {name} cannot be begun; one that is there already is kept: move it away, or name another file")
        })?;
        let settings = Settings {
            full: self.full,
            ..Settings::default()
        };
        Audit::start(file, identity, settings)
            .with_context(|| format!("--audit {name} cannot be written"))
    }
}

/// Closes the trail, and tells what it lacks.
pub(crate) fn finish(audit: &Audit, detail: &str) {
    let Some(closed) = audit.finish(detail) else {
        return;
    };
    if closed.lost > 0 {
        tracing::warn!(commands = closed.lost, "not in the audit trail");
    }
    if let Some(hash) = closed.hash {
        tracing::info!(lines = closed.lines, hash, "the audit trail is closed");
    }
}
