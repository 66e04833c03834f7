//! What a connection string is completed from. A trait, so that tests bring their own.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Variables, the user, files.
pub trait Environment {
    /// `None` for a variable that is unset or empty.
    fn variable(&self, name: &str) -> Option<String>;
    /// The operating system's name for who runs this process.
    fn user(&self) -> Option<String>;
    fn home(&self) -> Option<PathBuf>;
    fn read(&self, path: &Path) -> io::Result<Contents>;
}

/// A file's text, and whether others than its owner may read it.
pub struct Contents {
    pub text: String,
    pub open_to_others: bool,
}

/// The environment this process has.
pub struct OfProcess;

impl Environment for OfProcess {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().filter(|value| !value.is_empty())
    }

    fn user(&self) -> Option<String> {
        nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten().map(|user| user.name)
    }

    fn home(&self) -> Option<PathBuf> {
        if let Some(home) = self.variable("HOME") {
            return Some(home.into());
        }
        nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten().map(|user| user.dir)
    }

    fn read(&self, path: &Path) -> io::Result<Contents> {
        let text = std::fs::read_to_string(path)?;
        let mode = std::fs::metadata(path)?.permissions().mode();
        Ok(Contents { text, open_to_others: mode & 0o077 != 0 })
    }
}
