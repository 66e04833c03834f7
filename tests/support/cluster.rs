//! A private PostgreSQL for tests of the wire: every way to log in, on loopback and on a unix socket.
//! Dropping it stops the server and deletes its directory.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub struct Cluster {
    pub directory: PathBuf,
    pub port: u16,
    binaries: PathBuf,
    server: Child,
}

/// Each role `u_<method>` logs in over TCP by that method, with the password `p ä`.
pub const PASSWORD: &str = "p ä";
const LOGINS: [&str; 4] = ["trust", "password", "md5", "scram"];

impl Cluster {
    pub fn start() -> Self {
        let binaries = binaries();
        let directory = std::env::temp_dir().join(format!("wire-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir(&directory).unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
        if let Some((uid, gid)) = owner() {
            chown(&directory, Some(uid), Some(gid)).unwrap();
        }
        let data = directory.join("data");
        let mut initdb = as_owner(&binaries.join("initdb"));
        initdb.args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale", "-N", "-D"]).arg(&data);
        assert!(initdb.stdout(Stdio::null()).status().unwrap().success());
        fs::write(data.join("pg_hba.conf"), hba()).unwrap();
        let port = free_port();
        let log = fs::File::create(directory.join("log")).unwrap();
        let mut server = as_owner(&binaries.join("postgres"));
        server.arg("-D").arg(&data).arg("-k").arg(&directory).args(["-p", &port.to_string()]);
        server.args(["-h", "127.0.0.1", "-F", "-c", "max_connections=60"]).stdout(Stdio::null()).stderr(log);
        let cluster = Self { server: server.spawn().unwrap(), directory, port, binaries };
        cluster.await_start();
        cluster.sql("create role u_super superuser login");
        for login in LOGINS {
            let encryption = if login == "md5" { "md5" } else { "scram-sha-256" };
            cluster.sql(&format!(
                "set password_encryption = '{encryption}'; create role u_{login} login password '{PASSWORD}'"
            ));
        }
        cluster
    }

    /// Runs SQL as the superuser and returns what psql prints.
    pub fn sql(&self, text: &str) -> String {
        let output = self.psql(text).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    fn psql(&self, text: &str) -> Command {
        let mut psql = Command::new(self.binaries.join("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-U", "postgres", "-d", "postgres", "-p", &self.port.to_string(), "-h"]);
        psql.arg(&self.directory).args(["-c", text]);
        psql
    }

    fn await_start(&self) {
        for _ in 0..600 {
            if self.psql("select 1").stderr(Stdio::null()).stdout(Stdio::null()).status().unwrap().success() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("PostgreSQL did not start: {}", fs::read_to_string(self.directory.join("log")).unwrap());
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.server.id().try_into().unwrap());
        // SIGINT is PostgreSQL's fast shutdown.
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT);
        let _ = self.server.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn hba() -> String {
    let mut text = "local all all trust\nhost all u_super 127.0.0.1/32 trust\n".to_owned();
    for login in LOGINS {
        let method = if login == "scram" { "scram-sha-256" } else { login };
        text.push_str(&format!("host all u_{login} 127.0.0.1/32 {method}\n"));
    }
    text
}

fn binaries() -> PathBuf {
    let mut found: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|versions| versions.flatten().map(|version| version.path().join("bin")).collect())
        .unwrap_or_default();
    found.sort();
    if let Some(newest) = found.into_iter().rfind(|folder| folder.join("initdb").exists()) {
        return newest;
    }
    let output = Command::new("pg_config").arg("--bindir").output().expect("PostgreSQL's server programs");
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

/// PostgreSQL refuses to run as root.
fn owner() -> Option<(u32, u32)> {
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    let user = ["postgres", "nobody"].iter().find_map(|name| nix::unistd::User::from_name(name).unwrap());
    user.map(|user| (user.uid.as_raw(), user.gid.as_raw()))
}

fn as_owner(program: &Path) -> Command {
    let mut command = Command::new(program);
    if let Some((uid, gid)) = owner() {
        command.uid(uid).gid(gid);
    }
    command.current_dir("/").env("TZ", "UTC");
    command
}

/// Below the range that the kernel gives to outgoing connections.
fn free_port() -> u16 {
    let begin = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    (begin..32_768).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}
