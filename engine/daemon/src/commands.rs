//! One file a command.

pub(crate) mod attach;
pub(crate) mod caps;
pub(crate) mod demo;
pub(crate) mod explain;
pub(crate) mod guest;
pub(crate) mod journal;
pub(crate) mod plugin;
pub(crate) mod policy;
pub(crate) mod replay;
pub(crate) mod run;
pub(crate) mod verify;
