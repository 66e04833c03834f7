//! Where PostgreSQL's server programs are: `PG_BINDIR`, then `PATH`, then the folders that packages install into.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::ClusterError;

/// Folders that hold one folder per major version, and where the programs are below it.
const PACKAGED: &[(&str, &str)] = &[("/usr/lib/postgresql", "bin"), ("/usr/local/lib/postgresql", "bin")];

/// One installation's programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binaries {
    pub folder: PathBuf,
    pub major: u32,
}

impl Binaries {
    /// The installation in `bindir`, or named by `PG_BINDIR`, or the first in `PATH`, or the newest packaged one; of
    /// `major` if given.
    pub fn find(bindir: Option<&Path>, major: Option<u32>) -> Result<Self, ClusterError> {
        let named = bindir.map(Path::to_owned).or_else(|| std::env::var_os("PG_BINDIR").map(PathBuf::from));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let packaged: Vec<_> = PACKAGED.iter().map(|(root, below)| (PathBuf::from(root), *below)).collect();
        let folders = candidates(named.as_deref(), &path, &packaged);
        choose(&folders, major, |folder| version(&folder.join("postgres"))).ok_or(ClusterError::NotInstalled { major })
    }

    pub fn initdb(&self) -> PathBuf {
        self.folder.join("initdb")
    }

    pub fn basebackup(&self) -> PathBuf {
        self.folder.join("pg_basebackup")
    }

    pub fn postgres(&self) -> PathBuf {
        self.folder.join("postgres")
    }

    /// psql comes with the server packages, but may have been left in `PATH` alone.
    pub fn psql(&self) -> PathBuf {
        let own = self.folder.join("psql");
        if own.is_file() { own } else { PathBuf::from("/usr/bin/psql") }
    }
}

/// The folders to look at, best first. One that was named is the only one.
fn candidates(named: Option<&Path>, path: &OsStr, packaged: &[(PathBuf, &str)]) -> Vec<PathBuf> {
    if let Some(named) = named {
        return vec![named.to_owned()];
    }
    let mut folders: Vec<PathBuf> = std::env::split_paths(path).collect();
    let mut versions: Vec<(u32, PathBuf)> = Vec::new();
    for (root, below) in packaged {
        let Ok(entries) = fs::read_dir(root) else { continue };
        for entry in entries.flatten() {
            if let Some(major) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
                versions.push((major, entry.path().join(below)));
            }
        }
    }
    versions.sort_by_key(|(major, _)| std::cmp::Reverse(*major));
    folders.extend(versions.into_iter().map(|(_, folder)| folder));
    folders
}

/// The first folder that has a server, of the wanted major.
fn choose(folders: &[PathBuf], wanted: Option<u32>, version: impl Fn(&Path) -> Option<u32>) -> Option<Binaries> {
    let complete = |folder: &&PathBuf| ["initdb", "postgres"].iter().all(|name| folder.join(name).is_file());
    folders.iter().filter(complete).find_map(|folder| {
        let major = version(folder)?;
        wanted.is_none_or(|wanted| wanted == major).then(|| Binaries { folder: resolved(folder), major })
    })
}

/// `PATH` may lead to links to some of the programs; their folder has all of them.
fn resolved(folder: &Path) -> PathBuf {
    let initdb = fs::canonicalize(folder.join("initdb")).ok();
    initdb.as_deref().and_then(Path::parent).unwrap_or(folder).to_owned()
}

/// Asks a `postgres` program for its major version.
fn version(postgres: &Path) -> Option<u32> {
    let output = Command::new(postgres).arg("--version").output().ok()?;
    parse_version(std::str::from_utf8(&output.stdout).ok()?)
}

/// `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)` → 15, `… 19devel` → 19.
fn parse_version(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once("(PostgreSQL) ")?;
    let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn versions() {
        let check = |text: &str, expect: Option<u32>| assert_eq!(parse_version(text), expect, "{text}");
        check("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", Some(15));
        check("postgres (PostgreSQL) 19devel\n", Some(19));
        check("postgres (PostgreSQL) 9.6.24\n", Some(9));
        check("postgres (PostgreSQL) beta\n", None);
        check("mysqld 8\n", None);
        check("", None);
    }

    #[test]
    fn order_of_the_search() {
        let root = std::env::temp_dir().join(format!("trunkline-binaries-{}", std::process::id()));
        for (folder, names) in [
            ("lib/9/bin", &["initdb", "postgres"][..]),
            ("lib/15/bin", &["initdb", "postgres"]),
            ("lib/16/bin", &["initdb"]),
            ("lib/not-a-version/bin", &["initdb", "postgres"]),
            ("path", &["initdb", "postgres"]),
        ] {
            fs::create_dir_all(root.join(folder)).expect("folder");
            for name in names {
                fs::write(root.join(folder).join(name), "").expect("file");
            }
        }
        fs::create_dir(root.join("links")).expect("folder");
        for name in ["initdb", "postgres"] {
            symlink(root.join("lib/15/bin").join(name), root.join("links").join(name)).expect("link");
        }
        let packaged = [(root.join("lib"), "bin")];
        let major = |folder: &Path| Some(if folder.ends_with("15/bin") { 15 } else { 14 });
        let check = |named: Option<&str>, path: &str, wanted: Option<u32>, expect: Option<&str>| {
            let named = named.map(|folder| root.join(folder));
            let folders = candidates(named.as_deref(), root.join(path).as_os_str(), &packaged);
            let found = choose(&folders, wanted, major).map(|found| found.folder);
            assert_eq!(found, expect.map(|folder| root.join(folder)), "{named:?} {path} {wanted:?}");
        };
        check(None, "path", None, Some("path"));
        check(None, "elsewhere", None, Some("lib/15/bin"));
        check(None, "links", None, Some("lib/15/bin"));
        check(None, "path", Some(15), Some("lib/15/bin"));
        check(None, "path", Some(17), None);
        check(Some("lib/9/bin"), "path", None, Some("lib/9/bin"));
        check(Some("elsewhere"), "path", None, None);
        fs::remove_dir_all(&root).expect("removal");
    }
}
