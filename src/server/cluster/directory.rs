//! The folder of one cluster, closed to other users and deleted with its owner.
//! Owns: the folder and a lock on it. The lock ends with the process, however that ends: a folder whose lock can be
//! taken has lost its owner and is removed by the next one that is created. A postmaster left behind notices within
//! a minute that its data are gone, and ends.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::fcntl::{Flock, FlockArg};
use nix::unistd::chown;

use super::{ClusterError, Servant, os};

const PREFIX: &str = "trunkline-pg-";
const LOCK: &str = "lock";

#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    _lock: Flock<File>,
}

impl Directory {
    /// A new folder below `parent`, owned by the servant where there is one. Sweeps what dead owners left behind.
    pub fn create(parent: &Path, servant: Option<Servant>) -> Result<Self, ClusterError> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        sweep(parent);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("{PREFIX}{}-{number}", std::process::id()));
        let doing = || format!("making the folder {}", path.display());
        let closed = |path: &Path| DirBuilder::new().mode(0o700).create(path);
        closed(&path).map_err(os(doing()))?;
        let lock = make_lock(&path).map_err(os(doing()))?;
        let directory = Self { path: path.clone(), _lock: lock };
        for folder in [directory.data(), directory.socket()] {
            closed(&folder).map_err(os(doing()))?;
        }
        if let Some(Servant { uid, gid }) = servant {
            for folder in [&directory.path, &directory.data(), &directory.socket()] {
                chown(folder, Some(uid), Some(gid)).map_err(|errno| os(doing())(errno.into()))?;
            }
        }
        Ok(directory)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    pub fn socket(&self) -> PathBuf {
        self.path.join("socket")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Nothing can be done about a folder that stays; the next cluster's sweep tries again.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Makes the lock of a new folder. It has its name only once it is held: a sweep of another process would take one that is
/// not, and the folder with it.
fn make_lock(folder: &Path) -> io::Result<Flock<File>> {
    let unnamed = folder.join("lock.new");
    let held = take(File::create_new(&unnamed)?)?;
    fs::rename(unnamed, folder.join(LOCK))?;
    Ok(held)
}

/// The lock of a folder whose owner is gone.
fn orphaned(folder: &Path) -> io::Result<Flock<File>> {
    take(File::options().write(true).open(folder.join(LOCK))?)
}

fn take(file: File) -> io::Result<Flock<File>> {
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno.into())
}

/// Removes the folders below `parent` whose owners are gone.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        // One that is being made has no lock yet: it is left alone.
        if ours && orphaned(&entry.path()).is_ok() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_goes_with_its_owner_and_is_swept_without_one() {
        let parent = std::env::temp_dir().join(format!("trunkline-folders-{}", std::process::id()));
        fs::create_dir_all(&parent).expect("folder");
        let owned = Directory::create(&parent, None).expect("a folder");
        let orphan = parent.join(format!("{PREFIX}orphan"));
        let stranger = parent.join("stranger");
        for folder in [&orphan, &stranger] {
            fs::create_dir(folder).expect("folder");
            fs::write(folder.join(LOCK), "").expect("file");
        }
        let second = Directory::create(&parent, None).expect("a folder");
        assert!(owned.data().is_dir() && second.socket().is_dir(), "folders in use must stay");
        assert!(!orphan.exists(), "a folder without owner must go");
        assert!(stranger.exists(), "a folder of another name must stay");
        let path = owned.path().to_owned();
        drop(owned);
        assert!(!path.exists());
        drop(second);
        // Made and swept at the same time, by many: nobody's folder goes while it is in use.
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let made = Directory::create(&parent, None).expect("a folder");
                        assert!(made.data().is_dir());
                    }
                });
            }
        });
        fs::remove_dir_all(&parent).expect("removal");
    }
}
