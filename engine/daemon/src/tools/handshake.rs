//! Shaking hands: which VM this is, and whether the tool knows the secret. What follows on the
//! stream is KVMI.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use oriel_machine::Machine;
use oriel_protocol::{
    Dialect,
    kvmi::handshake::{Answer, Hello},
};
use tokio::time::timeout;

use super::{cookie::Cookie, dial::Stream};

/// How long a tool may take to answer (QEMU's default).
const PATIENCE: Duration = Duration::from_secs(10);

/// What a tool is told of the VM.
#[derive(Clone, Debug)]
pub(crate) struct Greeting(Hello);

impl Greeting {
    /// Of a VM that starts now.
    pub(crate) fn of(machine: &dyn Machine) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let identity = machine.identity();
        Self(Hello {
            uuid: *identity.uuid.as_bytes(),
            // A clock before 1970 is no time at all.
            start_time: since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(0)),
            name: identity.name.clone(),
            max_gpa: machine.memory().end(),
        })
    }
}

/// Greets a tool, and checks its answer.
pub(crate) async fn shake(
    stream: &mut Stream,
    greeting: &Greeting,
    dialect: Dialect,
    cookie: Option<&Cookie>,
) -> anyhow::Result<()> {
    let exchange = async {
        stream.write_all(&greeting.0.write(dialect)).await?;
        answer(stream).await
    };
    let answer = timeout(PATIENCE, exchange)
        .await
        .with_context(|| format!("the tool did not answer the handshake within {PATIENCE:?}"))?
        .context("the handshake failed")?;
    match cookie {
        Some(cookie) if !cookie.is(&answer.cookie) => bail!(
            "the tool does not know the secret: its cookie is not that of the file given with `--tool-cookie`"
        ),
        Some(_) | None => Ok(()),
    }
}

async fn answer(stream: &mut Stream) -> anyhow::Result<Answer> {
    let mut first = [0; Answer::SIZE_FIELD];
    stream.read_exact(&mut first).await.context(
        "the tool closed the connection without a word; perhaps it wants another dialect (`--dialect`)",
    )?;
    let mut whole = vec![0; Answer::size(first)?];
    let (size, rest) = whole
        .split_at_mut_checked(Answer::SIZE_FIELD)
        .context("a handshake without a size")?;
    size.copy_from_slice(&first);
    stream
        .read_exact(rest)
        .await
        .context("the tool closed the connection in its answer")?;
    Ok(Answer::read(&whole))
}
