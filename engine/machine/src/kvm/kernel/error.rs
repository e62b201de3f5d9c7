//! Why a kernel cannot be run, and what to do about it.

use std::{io, path::PathBuf};

use thiserror::Error;

/// A kernel cannot be run.
#[derive(Debug, Error)]
pub enum KernelError {
    /// The file cannot be read.
    #[error("{} cannot be read: name a file that is there and readable", file.display())]
    Read {
        /// Which.
        file: PathBuf,
        /// What the host said.
        source: io::Error,
    },
    /// There is nothing in it.
    #[error("{} is empty: fetch or build it again", file.display())]
    Empty {
        /// Which.
        file: PathBuf,
    },
    /// It is no kernel.
    #[error(
        "{} is neither an ELF file nor a bzImage: give a vmlinux or a bzImage for x86-64, or leave the initramfs and the command line out to run it as a flat image",
        file.display()
    )]
    NotAKernel {
        /// Which.
        file: PathBuf,
    },
    /// It cannot be entered in a way that we know.
    #[error(
        "{} has no {entry}: build it with {option}",
        file.display()
    )]
    NoEntry {
        /// Which.
        file: PathBuf,
        /// What is missing.
        entry: &'static str,
        /// What makes it be there.
        option: &'static str,
    },
    /// There is not enough memory.
    #[error(
        "{} and its initramfs take {needs_mib} MiB below 3 GiB, and the VM has {memory_mib}: give it more memory (`--memory`)",
        file.display()
    )]
    TooLarge {
        /// Which.
        file: PathBuf,
        /// MiB from address 0 on.
        needs_mib: u64,
        /// MiB that there are there.
        memory_mib: u64,
    },
    /// The command line is too long.
    #[error("the command line is {length} bytes long, and a kernel reads {most}: shorten it")]
    CommandLine {
        /// Bytes.
        length: usize,
        /// The most bytes.
        most: usize,
    },
    /// The command line holds a NUL.
    #[error("the command line holds a NUL, behind which a kernel reads nothing: take it out")]
    CommandLineBytes,
    /// It is damaged.
    #[error("{} cannot be loaded: {reason}; fetch or build it again", file.display())]
    Broken {
        /// Which.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}
