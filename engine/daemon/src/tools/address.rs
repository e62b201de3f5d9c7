//! Where a tool listens.

use std::{fmt, path::PathBuf, str::FromStr};

use thiserror::Error;

/// Where a tool listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// A UNIX socket.
    Unix(PathBuf),
    /// A socket of another VM, or of this host.
    Vsock { cid: u32, port: u32 },
}

/// Not an address.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is no address of a tool: write `unix:PATH` or `vsock:CID:PORT`")]
pub(crate) struct BadAddress(String);

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let bad = || BadAddress(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(Self::Unix(path.into()));
        }
        let (cid, port) = text
            .strip_prefix("vsock:")
            .and_then(|rest| rest.split_once(':'))
            .ok_or_else(bad)?;
        Ok(Self::Vsock {
            cid: cid.parse().map_err(|_| bad())?,
            port: port.parse().map_err(|_| bad())?,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(out, "unix:{}", path.display()),
            Self::Vsock { cid, port } => write!(out, "vsock:{cid}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_are_read_and_written_alike() {
        for text in ["unix:/run/tool.sock", "unix:tool", "vsock:2:1234"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_named() {
        for text in ["", "unix:", "tcp:1:2", "vsock:1", "vsock:x:1", "vsock:1:-1"] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains("vsock:CID:PORT"), "{error}");
        }
    }
}
