//! The socket's file: private from the moment it exists, never another program's, and gone when
//! this one ends.

use std::{
    fs::File,
    io,
    os::unix::{
        fs::{FileTypeExt, MetadataExt},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Mode, fchmod},
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with},
};
use thiserror::Error;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 64;

/// A listening socket, whose file is removed with it.
#[derive(Debug)]
pub(crate) struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the file, to remove no other.
    file: (u64, u64),
}

/// Why there is no control socket.
#[derive(Debug, Error)]
pub(crate) enum SocketError {
    /// A program listens there.
    #[error(
        "a program takes orders at {} already: end it, or choose another place (`--control PATH`)", .0.display()
    )]
    Live(PathBuf),
    /// There is something else.
    #[error("{} is there and is no socket: remove it, or choose another place (`--control PATH`)", .0.display())]
    NoSocket(PathBuf),
    /// Another program is just making one in that directory.
    #[error("another program is at work in {}: try again", .0.display())]
    Crowded(PathBuf),
    /// The system says no.
    #[error("the control socket {} cannot be made", .0.display())]
    Make(PathBuf, #[source] io::Error),
}

impl Socket {
    /// Makes a socket that only this user (and root) can connect to.
    ///
    /// # Errors
    /// [`SocketError`] if it cannot be made, or somebody listens there.
    pub(crate) fn bind(path: &Path) -> Result<Self, SocketError> {
        let failed = |error| SocketError::Make(path.to_owned(), error);
        // Of two programs that find the same stale socket, one makes the new one.
        let directory = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            Some(_) | None => Path::new("."),
        };
        let turn = File::open(directory).map_err(failed)?;
        if turn.try_lock().is_err() {
            return Err(SocketError::Crowded(directory.to_owned()));
        }
        remove_stale(path)?;
        let listener = private(path).map_err(failed)?;
        let made = std::fs::symlink_metadata(path).map_err(failed)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            file: (made.dev(), made.ino()),
        })
    }

    /// The listener, for a thread that does not block.
    pub(super) fn listener(&self) -> io::Result<UnixListener> {
        let listener = self.listener.try_clone()?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    }
}

/// A socket whose file has mode 0600 from the start: on Linux `bind` gives the file the mode that
/// the socket has, less the umask (`unix_bind_bsd` in the kernel's net/unix/af_unix.c).
fn private(path: &Path) -> io::Result<UnixListener> {
    let kind = SocketType::STREAM;
    let socket = socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// Removes the socket of a program that is dead.
fn remove_stale(path: &Path) -> Result<(), SocketError> {
    let failed = |error| SocketError::Make(path.to_owned(), error);
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    if !found.file_type().is_socket() {
        return Err(SocketError::NoSocket(path.to_owned()));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(failed)
        }
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(failed(error)),
        // One whose queue is full is alive as well.
        Ok(_) | Err(_) => Err(SocketError::Live(path.to_owned())),
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let there = std::fs::symlink_metadata(&self.path);
        if there.is_ok_and(|there| (there.dev(), there.ino()) == self.file) {
            // If somebody has removed it in between, so be it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn place() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control");
        (directory, path)
    }

    #[test]
    fn the_file_is_private_and_goes_with_the_socket() {
        let (_directory, path) = place();
        let socket = Socket::bind(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        UnixStream::connect(&path).unwrap();
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn a_dead_programs_socket_is_replaced_and_a_live_ones_is_not() {
        let (_directory, path) = place();
        // The file stays when its listener goes without removing it, as after a kill.
        drop(UnixListener::bind(&path).unwrap());
        let socket = Socket::bind(&path).unwrap();
        let error = Socket::bind(&path).unwrap_err();
        assert!(matches!(error, SocketError::Live(_)), "{error}");
        assert!(error.to_string().contains("control"), "{error}");
        drop(socket);
    }

    #[test]
    fn what_is_no_socket_is_left_alone() {
        let (_directory, path) = place();
        std::fs::write(&path, "mine").unwrap();
        let error = Socket::bind(&path).unwrap_err();
        assert!(matches!(error, SocketError::NoSocket(_)), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    }

    #[test]
    fn a_file_that_took_its_place_is_not_removed() {
        let (_directory, path) = place();
        let socket = Socket::bind(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "another's").unwrap();
        drop(socket);
        assert!(path.exists());
    }

    #[test]
    fn a_place_that_cannot_be_is_an_error_in_words() {
        let (directory, _) = place();
        let long = directory.path().join("x".repeat(200));
        for path in [long, directory.path().join("missing/control")] {
            assert!(matches!(Socket::bind(&path), Err(SocketError::Make(_, _))));
        }
    }
}
